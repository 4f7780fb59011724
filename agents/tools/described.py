"""Tools that workspaces describe: rows as tools, and their requests through the guarded client.

A row is read anew before its request is sent: what runs is what was approved, and secrets are read only
then.
"""

import contextlib
import logging
import time
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache, partial
from typing import Any
from urllib.parse import quote
from uuid import UUID

import msgspec
from django.conf import settings
from django.db import transaction
from django.db.models import TextField
from django.db.models.functions import Cast
from django.db.models.signals import post_delete, post_save

from agents.models import Tool, ToolSecret
from agents.tools import http, outside, schema, templates
from agents.tools.http import Remote
from agents.tools.registry import (
    Context,
    MaybeSent,
    NotSent,
    Preview,
    Retry,
    Risk,
    ToolFailed,
    ToolResult,
    ToolSpec,
    source,
)  # fmt: skip
from agents.tools.schema import Signature
from core import bridge, guarded, sealed
from core.errors import Invalid

ROWS_SECONDS = 3.0  # how long a change made by another process may go unseen
MOST_BYTES = 200_000  # of an answer
MOST_KEPT = 1_000
LONGEST_SHOWN = 5_000  # characters of one value in a preview
CHANGED = "The tool was changed or deleted since the call was judged. Propose it again."

log = logging.getLogger(__name__)

_rows: dict[UUID, tuple[float, Mapping[str, ToolSpec]]] = {}


@source
def of_workspace(workspace_id: UUID) -> Mapping[str, ToolSpec]:
    """The tools that a workspace describes and has switched on, by name."""
    held = _rows.get(workspace_id)
    if held is None or held[0] < time.monotonic():
        if len(_rows) >= MOST_KEPT:
            _rows.clear()
        rows = Tool.objects.filter(workspace_id=workspace_id, enabled=True)
        held = _rows[workspace_id] = time.monotonic() + ROWS_SECONDS, dict(_specs(rows))
    return held[1]


def _specs(rows: Collection[Tool]) -> Iterator[tuple[str, ToolSpec]]:
    """Those that can run: one that was kept under other bounds takes none of the rest with it."""
    kept = _secrets(rows)
    for row in rows:
        try:
            yield row.name, spec_of(row, kept)
        except Invalid as error:
            log.warning("The tool %s of workspace %s cannot run: %s", row.name, row.workspace_id, error.detail)


def _secrets(rows: Collection[Tool]) -> dict[str, str]:
    """The secrets that tools of one workspace name; one that cannot be opened is empty, and takes no tool away."""
    wanted = {name for row in rows for name in templates.names(row)}
    if not wanted:
        return {}
    kept = ToolSecret.objects.filter(workspace_id=next(iter(rows)).workspace_id, name__in=wanted)
    return {name: sealed.opened(token) for name, token in kept.values_list("name", Cast("value", TextField()))}


def version_of(row: Tool, secrets: Mapping[str, str]) -> str:
    """What an approval is bound to: the description and, by a keyed hash, the secrets that it names, of those kept."""
    wanted = templates.names(row)
    if not wanted:
        return row.version
    told = (f"{name}={secrets[name]}" if name in secrets else name for name in wanted)
    return sealed.fingerprint(str(row.workspace_id), row.version, *told)


def spec_of(row: Tool, secrets: Mapping[str, str]) -> ToolSpec:
    """A row as a tool, with the secrets of its workspace; raises Invalid for a schema that is none."""
    signature, version = _signature(msgspec.json.encode(row.parameters)), version_of(row, secrets)
    return ToolSpec(
        name=row.name,
        title=row.title,
        description=row.description,
        risk=Risk(row.risk),
        retry=Retry(row.retry),
        version=version,
        timeout=row.timeout + 5.0,  # the request has its own clock, which knows more of what happened
        signature=signature,
        run=partial(_run, row.pk, version),
        validate=partial(_fits, row),
        preview=partial(_preview, row, signature.secrets),
    )


@lru_cache(maxsize=1_000)
def _signature(parameters: bytes) -> Signature:
    return schema.given(msgspec.json.decode(parameters))


def _fits(row: Tool, _context: Context, /, **arguments: Any) -> None:
    templates.made(row, arguments)


def _preview(row: Tool, hide: frozenset[str], _context: Context, /, **arguments: Any) -> Preview:
    """The request as it will be sent, with secrets as names."""
    asked = templates.made(row, arguments, hide=hide)
    details = {"request": f"{asked.method} {asked.url}"}
    details |= {f"header {name}": value for name, value in asked.headers.items()}
    body = _grouped(asked.body) if asked.form and asked.body else asked.body
    if isinstance(body, dict):
        details |= {f"body {name}": _words(value) for name, value in body.items()}
    elif body is not None:
        details["body"] = _words(body)
    return Preview(f"{row.title}: {asked.method} to {templates.host(row)}.", details=details)


def _grouped(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """The fields of a form, with all of what a field is sent with."""
    found = dict[str, Any]()
    for name, value in pairs:
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def _words(value: Any) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    cut = f"… (the first {LONGEST_SHOWN:,} of {len(text):,} characters)"
    return text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + cut


async def _run(pk: UUID, version: str, context: Context, /, **arguments: Any) -> ToolResult:
    """The result of the request of one version of a row, bounded and without secrets."""
    row, secrets = await bridge.in_thread(_read, context.workspace_id, pk, version)
    return await _ask(row, templates.made(row, arguments), secrets, context.key)


def _read(workspace_id: UUID, pk: UUID, version: str) -> tuple[Tool, dict[str, str]]:
    """The row of this version as it is now, and its secrets; raises ToolFailed."""
    row = Tool.objects.filter(pk=pk, workspace_id=workspace_id, enabled=True).first()
    if row is None:
        raise ToolFailed(CHANGED)
    wanted, host = templates.names(row), templates.host(row)
    kept = {one.name: one for one in ToolSecret.objects.filter(workspace_id=workspace_id, name__in=wanted)}
    if version_of(row, {name: str(one.value) for name, one in kept.items()}) != version:
        raise ToolFailed(CHANGED)
    for name in wanted:
        if name not in kept or host not in kept[name].hosts:
            raise ToolFailed(f"The secret {name} is missing, or may not be sent to {host}.")
    return row, {name: str(kept[name].value) for name in wanted}


async def _ask(row: Tool, asked: templates.Request, secrets: Mapping[str, str], key: str) -> ToolResult:
    title = f"{row.title} at {templates.host(row)}"
    before, mark, query = asked.url.partition("?")
    url = before + mark + templates.SECRET.sub(lambda found: quote(secrets[found[1]], safe=""), query)
    fixed = {name: templates.SECRET.sub(lambda found: secrets[found[1]], row.headers[name]) for name in row.headers}
    headers = {"Accept": "application/json, text/*;q=0.9", **asked.headers, **fixed, "Idempotency-Key": key}
    if asked.body is not None:
        headers["Content-Type"] = "application/x-www-form-urlencoded" if asked.form else "application/json"
    try:
        answer = await guarded.request(
            asked.method,
            url,
            headers=headers,
            content=asked.content,
            seconds=row.timeout,
            most_bytes=MOST_BYTES,
            private=settings.TOOL_PRIVATE_ADDRESSES,
        )
    except guarded.UrlRefused as error:
        raise ToolFailed(f"{title} cannot be asked. {error.detail}") from None
    except guarded.NotConnected as error:
        raise NotSent(f"{title} does not answer. {error.detail}") from None
    except guarded.Unreachable as error:
        raise MaybeSent(f"{title} does not answer. {error.detail}") from None
    hidden = _hidden(row, secrets)
    body = outside.redacted(answer.body, hidden)
    if answer.status in (401, 403):
        raise ToolFailed(f"{title} answered {answer.status}: it refuses what the tool signs in with.")
    if not 200 <= answer.status < 300:
        refusal = http.refusal(Remote(title, before), asked.method, answer.status, body)
        raise type(refusal)(_clean(refusal.detail, hidden))
    return _result(row, answer, body, hidden)


def _hidden(row: Tool, secrets: Mapping[str, str]) -> list[str]:
    """What no answer may bring back: the secrets and, of names with passwords that are sent in Base64, those too."""
    found = [*secrets.values()]
    for name in templates.SECRET.findall(" ".join(one for one in row.headers.values() if one.startswith("Basic "))):
        found += outside.parts(f"Basic {secrets[name]}")
    return found


def _clean(text: str, hidden: Collection[str]) -> str:
    """Text without what nobody sees, and then without secrets: those that were written with escapes show by now."""
    return outside.redacted(outside.plain(text).encode(), hidden).decode()


def _result(row: Tool, answer: guarded.Answer, body: bytes, hidden: Collection[str]) -> ToolResult:
    told: Any = None
    with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        told = msgspec.json.decode(body)
    text = body.decode("utf-8", "replace") if told is None else None
    missing = None if answer.whole else f"These are the first {MOST_BYTES:,} bytes of the answer."
    text = outside.plain(text) if text else None
    content = outside.marked(
        f"Answer of {row.title}", status=answer.status, missing=missing, answer=told, text=text or None
    )
    return ToolResult(_clean(content, hidden), f"{row.title}: {templates.host(row)} answered {answer.status}")


def forget(workspace_id: UUID) -> None:
    """Read a workspace's rows anew the next time."""
    _rows.pop(workspace_id, None)


def _forget(sender: object, instance: Tool | ToolSecret, **_: Any) -> None:
    """Forget them now, for this transaction, and when it commits, for those who read meanwhile."""
    forget(instance.workspace_id)
    transaction.on_commit(partial(forget, instance.workspace_id))


for _model in (Tool, ToolSecret):
    post_save.connect(_forget, sender=_model, dispatch_uid=f"described tools forget the saved {_model.__name__}")
    post_delete.connect(_forget, sender=_model, dispatch_uid=f"described tools forget the deleted {_model.__name__}")
