"""Typed readers of environment variables: each raises with the variable's name when its text does not fit.

A text may lie in a file instead, which NAME_FILE names: that is how containers are given secrets.
"""

import json
import os
import re
from collections.abc import Collection
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from core.publicnet import Endpoint, Network, Place

_ENDPOINT = re.compile(r"(?P<host>[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?")

_ADDRESS = re.compile(r"https?://[^\s/?#]+[^\s#]*")

FILE_LIMIT = 65_536
SHORTEST_TOKEN = 16
TRUE, FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off", ""}


def text(name: str, default: str = "") -> str:
    """The variable's text, or that of the file which NAME_FILE names; the default where there is none or it is empty.

    Raises where both are set, and where the file cannot be read.
    """
    value, file = os.environ.get(name, "").strip(), os.environ.get(f"{name}_FILE", "").strip()
    if value and file:
        raise ImproperlyConfigured(f"{name} and {name}_FILE are both set; set one of them")
    return value or (_content(f"{name}_FILE", file) if file else "") or default


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


def pairs(name: str) -> dict[str, str]:
    """A comma-separated list such as `staff=member, leads=manager`; raises where a part is no pair."""
    found = [part.partition("=") for part in listing(name, [])]
    if any(not key.strip() or not value.strip() for key, _, value in found):
        raise ImproperlyConfigured(f"{name} must be pairs such as staff=member, leads=manager")
    return {key.strip(): value.strip() for key, _, value in found}


def refuse_open_valkey(name: str, url: str) -> None:
    """Raise where an address leads off this machine without a password: who reaches such a server decides what runs."""
    parts = urlsplit(url)
    if parts.scheme == "unix" or parts.password or "password=" in parts.query:
        return
    if parts.hostname in (None, "localhost") or _is_loopback(parts.hostname):
        return
    raise ImproperlyConfigured(f"{name} leads to {parts.hostname} without a password: redis://:PASSWORD@host:6379/0")


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


def token(name: str) -> str:
    """A secret that somebody brings to be let in, empty by default; raises where it can be guessed or not be sent."""
    value = text(name)
    if value and (len(value) < SHORTEST_TOKEN or not value.isascii() or not value.isprintable() or " " in value):
        raise ImproperlyConfigured(f"{name} must have {SHORTEST_TOKEN} characters or more, of ASCII without spaces")
    return value


def address(name: str) -> str:
    """An http or https address, empty by default; raises where the text is none."""
    value = text(name)
    if value and not _ADDRESS.fullmatch(value):
        raise ImproperlyConfigured(f"{name} must be an address such as https://host.example:4318")
    return value


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _content(name: str, file: str) -> str:
    try:
        with open(file, encoding="utf-8") as lines:
            value = lines.read(FILE_LIMIT + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise ImproperlyConfigured(f"{name} names {file}, which cannot be read: {error}") from None
    if len(value) > FILE_LIMIT:
        raise ImproperlyConfigured(f"{name} names {file}, which has more than {FILE_LIMIT} characters")
    return value.strip()


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
