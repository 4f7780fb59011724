"""Typed readers of environment variables: each raises with the variable's name when its text does not fit."""

import json
import os
import re
from collections.abc import Collection
from ipaddress import ip_network

from django.core.exceptions import ImproperlyConfigured

from core.publicnet import Endpoint, Network, Place

_ENDPOINT = re.compile(r"(?P<host>[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?")

TRUE, FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off", ""}


def text(name: str, default: str = "") -> str:
    """The variable's text, or the default where it is unset or empty."""
    return os.environ.get(name, "").strip() or default


def flag(name: str, default: bool = False) -> bool:
    """True or False; raises where the text is neither."""
    value = os.environ.get(name)
    if value is None:
        return default
    if value.strip().lower() in TRUE:
        return True
    if value.strip().lower() in FALSE:
        return False
    raise ImproperlyConfigured(f"{name} must be one of 1, 0, true, false, yes, no, on, off; it is {value!r}")


def choice(name: str, default: str, known: Collection[str]) -> str:
    """One of the known words; raises where the text is another."""
    value = text(name, default)
    if value not in known:
        raise ImproperlyConfigured(f"{name} must be one of {', '.join(sorted(known))}; it is {value!r}")
    return value


def integer(name: str, default: int, *, low: int = 0, high: int = 2**31) -> int:
    """A whole number from low to high; raises where the text is none."""
    value = text(name)
    if not value:
        return default
    try:
        number = int(value)
    except ValueError:
        raise ImproperlyConfigured(f"{name} must be a whole number; it is {value!r}") from None
    if not low <= number <= high:
        raise ImproperlyConfigured(f"{name} must be from {low} to {high}; it is {number}")
    return number


def seconds(name: str, default: float, *, low: float = 0.0, high: float = 86_400.0) -> float:
    """A duration in seconds, fractions allowed; raises where the text is none or out of its bounds."""
    value = text(name)
    if not value:
        return default
    try:
        number = float(value)
    except ValueError:
        raise ImproperlyConfigured(f"{name} must be a number of seconds; it is {value!r}") from None
    if not low <= number <= high:
        raise ImproperlyConfigured(f"{name} must be from {low:g} to {high:g} seconds; it is {number:g}")
    return number


def listing(name: str, default: list[str]) -> list[str]:
    """A comma-separated list, blanks dropped."""
    value = text(name)
    return [part.strip() for part in value.split(",") if part.strip()] if value else default


def endpoints(name: str, *, port: int) -> tuple[Endpoint, ...]:
    """A comma-separated list of hosts, none by default, each with a port or with this one; raises where one is none."""
    return tuple(_endpoint(name, part, port) for part in listing(name, []))


def places(name: str) -> tuple[Place, ...]:
    """A comma-separated list of networks such as 10.0.0.0/8 and of `host:port`, none by default; raises as above."""
    return tuple(_network(part) or _endpoint(name, part) for part in listing(name, []))


def weights(name: str, default: dict[str, float]) -> dict[str, float]:
    """The default with what a JSON object such as {"session": 0.5} says instead; raises for names it does not have."""
    try:
        found = {str(key): float(value) for key, value in json.loads(text(name, "{}")).items()}
    except (ValueError, TypeError, AttributeError):
        raise ImproperlyConfigured(f"{name} must be JSON: names and numbers") from None
    if unknown := sorted({*found} - {*default}):
        raise ImproperlyConfigured(f"{name} has {', '.join(unknown)}; it may have {', '.join(default)}")
    return {**default, **found}


def programs(name: str) -> dict[str, dict[str, list[str]]]:
    """Programs by name, as JSON: {"time": {"command": ["/usr/bin/x"], "env": ["TZ"]}}; raises where it is none."""
    try:
        found = json.loads(text(name, "{}"))
        return {
            key: {"command": _words(one["command"], least=1), "env": _words(one.get("env", []))}
            for key, one in found.items()
        }
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ImproperlyConfigured(f'{name} must be JSON such as {{"time": {{"command": ["/usr/bin/x"]}}}}') from None


def _words(value: object, *, least: int = 0) -> list[str]:
    if not isinstance(value, list) or len(value) < least or not all(isinstance(one, str) and one for one in value):
        raise ValueError
    return value


def _network(text: str) -> Network | None:
    try:
        return ip_network(text)
    except ValueError:
        return None


def _endpoint(name: str, text: str, port: int | None = None) -> Endpoint:
    match = _ENDPOINT.fullmatch(text)
    number = int(match["port"] or port or 0) if match else 0
    if match is None or not 0 < number < 65_536:
        raise ImproperlyConfigured(f"{name} must name hosts and ports such as search.lan:8080; it has {text!r}")
    return Endpoint(match["host"].strip("[]").lower(), number)
