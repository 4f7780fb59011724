"""Faults told to Sentry, where SENTRY_DSN names it: what broke where, and nothing of whom it broke for.

What is sent is put together anew from what is known to hold no content: types, places in the code, the fixed words of
our own log lines, and ids. Texts of exceptions, arguments, bodies, headers, users and variables are never among it; the
log, which has them without secrets, finds them by the request's id.
"""

import logging
from importlib import import_module
from typing import Any
from uuid import UUID

from django.conf import settings

from core import logs

OURS = ("config", "chat", "memory", "companions", "agents", "approvals", "accounts", "core")
KEPT = ("event_id", "timestamp", "level", "platform", "logger", "release", "environment", "server_name", "sdk")
FRAME = ("filename", "function", "module", "lineno", "in_app")
IDS = ("request_id", "run_id", "action_id", "session_id")  # of a line's fields, beside those words of the code:
CODES = ("code", "tool", "task")
LONGEST_CODE = 100


def start(process: str) -> None:
    """Tell faults of this process from now on, where somebody wants to know; nothing is loaded elsewhere."""
    if not settings.SENTRY_DSN:
        return
    sdk: Any = import_module("sentry_sdk")
    lines = import_module("sentry_sdk.integrations.logging")
    uncaught = import_module("sentry_sdk.integrations.excepthook")
    ending = import_module("sentry_sdk.integrations.atexit")
    sdk.init(
        dsn=settings.SENTRY_DSN,
        release=settings.VERSION,
        send_default_pii=False,
        include_local_variables=False,
        include_source_context=False,
        max_request_body_size="never",
        max_breadcrumbs=0,
        auto_session_tracking=False,
        send_client_reports=False,
        default_integrations=False,
        auto_enabling_integrations=False,
        integrations=[
            # Whatever breaks is logged by whoever stands outermost; the access line only says so once more.
            lines.LoggingIntegration(level=None, event_level=logging.ERROR, sentry_logs_level=None),
            uncaught.ExcepthookIntegration(),
            ending.AtexitIntegration(callback=lambda pending, timeout: None),
        ],
        before_send=lambda event, hint: told(event, process),
    )
    lines.ignore_logger("access")


def told(event: dict[str, Any], process: str) -> dict[str, Any] | None:
    """The event as it is sent; None where it only says once more that a request failed."""
    found: dict[str, Any] = {name: event[name] for name in KEPT if name in event}
    logger = str(event.get("logger") or "")
    if logger == "django.request" and not event.get("exception"):
        return None
    if template := (event.get("logentry") or {}).get("message"):
        # Only our own lines are sure to be written with their words apart from what they tell.
        ours = logger.partition(".")[0] in OURS
        found["logentry"] = {"message": logs.redact(template) if ours else f"a line of {logger}"}
    if values := (event.get("exception") or {}).get("values"):
        found["exception"] = {"values": [_error(value) for value in values]}
    found["tags"] = {"process": process, **_ids(event.get("extra") or {}), **_ids(logs.fields())}
    return found


def _error(value: dict[str, Any]) -> dict[str, Any]:
    """An exception's type and where it came from."""
    frames = (value.get("stacktrace") or {}).get("frames") or []
    kept = [{name: frame[name] for name in FRAME if name in frame} for frame in frames]
    return {"type": value.get("type"), "module": value.get("module"), "stacktrace": {"frames": kept}}


def _ids(extra: dict[str, Any]) -> dict[str, str]:
    """What says which row it was, or which kind of thing."""
    ids = {name: str(extra[name]) for name in IDS if _is_id(extra.get(name))}
    return ids | {name: extra[name] for name in CODES if _is_code(extra.get(name))}


def _is_id(value: object) -> bool:
    try:
        return isinstance(value, UUID) or bool(isinstance(value, str) and len(value) == 36 and UUID(value))
    except ValueError:
        return False


def _is_code(value: object) -> bool:
    return isinstance(value, str) and value.isidentifier() and len(value) <= LONGEST_CODE
