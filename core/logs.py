"""Structured logs: one JSON object a line on stderr, with the request's id, and with secrets kept out."""

import datetime
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from pythonjsonlogger.json import JsonFormatter

REDACTED = "[redacted]"
LONGEST = 10_000  # characters of one text in a line
SHORTEST = 6  # what is shorter matches no part of the pattern

_context: ContextVar[dict[str, str] | None] = ContextVar("log_context", default=None)

_SECRET_WORD = (
    r"(?:password|passwd|secret|(?:api|access|private)[_-]?key|authorization|cookie|credential"
    r"|(?:access|refresh|auth|bearer|csrf|session|id)[_-]?token)"
)
_secret_name = re.compile(rf"{_SECRET_WORD}|^(?:token|access|refresh|ticket)$", re.IGNORECASE)
_IN_TEXT = re.compile(  # every part begins with fixed characters or is bounded, so that no text makes it slow
    # our own keys and invitations, signing secrets, and the common keys of providers; a JSON web token
    r"(?P<key>\b(?:(?:[sp]k_(?:live|test)_|at_cs_|iv_cs_|sk-|gsk_|xox[abp]-|ghp_|AKIA)[A-Za-z0-9_-]{8,}"
    r"|whsec_[A-Za-z0-9+/=]{8,}))"
    r"|(?P<jwt>\beyJ[\w-]{5,300}\.[\w-]{5,4000}\.[\w-]*)"
    r"|(?P<scheme>\b(?:Bearer|Basic))\s+[\w.~+/=-]{6,}"
    # a user's password in a URL
    r"|(?P<url>://[^\s/:@]{0,200}):[^\s/@]{1,1000}@"
    r"|(?P<cookie>\bcookie:\s*)[^\r\n]+"
    # name = value, name: value, "name": "value"
    rf"|(?P<name>{_SECRET_WORD}[\w.-]{{0,40}}[\"']?\s{{0,9}}[:=]\s{{0,9}})"
    r"(?:\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|(?:(?:Bearer|Basic)\s+)?[^\s,;&})\]]+)"
    # thirteen to nineteen digits, as cards have them
    r"|(?P<card>(?<![\w.-])\d(?:[ -]?\d){12,18}(?![\w-]))",
    re.IGNORECASE,
)


@contextmanager
def context(**fields: str) -> Iterator[dict[str, str]]:
    """Every line logged inside carries these fields."""
    held = {**(_context.get() or {}), **fields}
    token = _context.set(held)
    try:
        yield held
    finally:
        _context.reset(token)


def bind(**fields: str) -> None:
    """Add fields to the lines of the request at hand, its access line included; else does nothing."""
    held = _context.get()
    if held is not None:
        held.update(fields)


def fields() -> dict[str, str]:
    """The fields of the lines that are logged here."""
    return dict(_context.get() or {})


def is_secret_name(name: str) -> bool:
    """Whether what stands under this name is a secret."""
    return _secret_name.search(name) is not None


def mask(text: str, hide: Callable[[str], str]) -> str:
    """The text with each thing in it that looks like a secret replaced by what `hide` makes of it."""
    return _IN_TEXT.sub(lambda match: _masked(match, hide), text) if len(text) >= SHORTEST else text


def redact(value: Any) -> Any:
    """The value without the secrets in it: those under a telling name, and those that look like one."""
    if isinstance(value, str):
        if len(value) > LONGEST:
            value = value[:LONGEST] + "…"
        return mask(value, lambda _: REDACTED)
    if isinstance(value, Mapping):
        return {
            str(name): REDACTED if is_secret_name(str(name)) and inner is not None else redact(inner)
            for name, inner in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [redact(inner) for inner in value]
    if isinstance(value, bytes | bytearray | memoryview):
        return redact(bytes(value[: LONGEST + 1]).decode(errors="replace"))
    if isinstance(value, int | float | datetime.datetime | None):
        return value
    return redact(str(value))


class Formatter(JsonFormatter):
    """Writes a record as JSON after its message, arguments, extras and traceback have been redacted."""

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        """The fields of one line."""
        trace = log_data.get("exc_info")
        if isinstance(trace, str) and len(trace) > LONGEST:  # its end says what went wrong
            log_data = {**log_data, "exc_info": trace[-LONGEST:].partition("\n")[2]}
        line: dict[str, Any] = redact({**log_data, **(_context.get() or {})})
        return line


def config(level: str = "INFO") -> dict[str, Any]:
    """The LOGGING setting: everything through one handler, the servers' own loggers too."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "json": {
                "()": "core.logs.Formatter",
                "fmt": ["levelname", "name", "message"],
                "rename_fields": {"levelname": "level", "name": "logger"},
                "timestamp": "at",
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            name: {"handlers": [], "propagate": True, "level": level_of or level} for name, level_of in _LOGGERS.items()
        },
    }


# `django.request` and `django.security` say of each 4xx what the access line says already, the latter with a traceback
# for any stranger's wrong Host; the others bring handlers of their own.
_LOGGERS = {
    "django": "",
    "django.request": "ERROR",
    "django.security": "CRITICAL",
    "django.server": "WARNING",
    "uvicorn": "",
    "uvicorn.error": "",
    "uvicorn.access": "WARNING",
    "celery": "",
    "celery.worker.strategy": "WARNING",  # a line when a doorbell is heard and a line when it was answered
    "celery.app.trace": "WARNING",
    "httpx": "WARNING",
    "axes": "ERROR",  # the audit log has what it says
}


def _masked(match: re.Match[str], hide: Callable[[str], str]) -> str:
    groups, whole = match.groupdict(), match[0]
    if before := groups["name"] or groups["cookie"]:
        return f"{before}{hide(whole[len(before) :])}"
    if scheme := groups["scheme"]:
        return f"{scheme} {hide(whole[len(scheme) :].lstrip())}"
    if url := groups["url"]:
        return f"{url}:{hide(whole[len(url) + 1 : -1])}@"
    if groups["key"]:
        return f"{whole[:6]}{hide(whole)}"
    return hide(whole)
