"""Tools of MCP servers: those that were accepted, and are still what they were then."""

import time
from collections.abc import Mapping
from functools import cache, partial
from importlib import import_module
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F, TextField
from django.db.models.functions import Cast
from django.db.models.signals import post_delete, post_save

from agents.mcp import pinned
from agents.models import McpServer, McpTool
from agents.tools import offers, schema
from agents.tools.registry import Context, Preview, Retry, Risk, ToolFailed, ToolResult, ToolSpec, source
from core import bridge, sealed

ROWS_SECONDS = 3.0  # how long a change made by another process may go unseen
MOST_KEPT = 1_000
CHANGED = "The tool was changed, or is accepted no more. Propose the call again."

_rows: dict[UUID, tuple[float, Mapping[str, ToolSpec]]] = {}


@source
def of_workspace(workspace_id: UUID) -> Mapping[str, ToolSpec]:
    """The tools of a workspace's servers, by name."""
    held = _rows.get(workspace_id)
    if held is None or held[0] < time.monotonic():
        if len(_rows) >= MOST_KEPT:
            _rows.clear()
        opened = cache(sealed.opened)  # once for all tools of a server
        found = {row.name: spec_of(row, opened(row.sealed_secrets)) for row in _usable(workspace_id)}
        held = _rows[workspace_id] = time.monotonic() + ROWS_SECONDS, found
    return held[1]


def _usable(workspace_id: UUID) -> Any:
    rows = McpTool.objects.filter(workspace_id=workspace_id, server__enabled=True, accepted_hash=F("offered_hash"))
    rows = rows.exclude(accepted_hash="").select_related("server").defer("server__secrets")
    return rows.annotate(sealed_secrets=Cast("server__secrets", TextField()))


def version_of(row: McpTool, secrets: str) -> str:
    """What an approval is bound to: what the tool is, where its server is, and who we are there, by a keyed hash."""
    server = row.server
    return pinned.hash_of(
        {
            "definition": row.accepted_hash,
            "risk": row.risk,
            "retry": row.retry,
            "server": [str(server.pk), *server.place],
            "secrets": sealed.fingerprint(str(server.pk), secrets),
        }
    )


def spec_of(row: McpTool, secrets: str) -> ToolSpec:
    """An accepted tool, of a server with these secrets; raises Invalid where its schema is none."""
    said, version = row.accepted, version_of(row, secrets)
    title = str(said["title"] or row.remote_name)[:100]
    return ToolSpec(
        name=row.name,
        title=title,
        description=str(said["description"] or title)[:2_000],
        risk=Risk(row.risk),
        retry=Retry(row.retry),
        version=version,
        timeout=pinned.CALL_SECONDS + 10.0,  # the conversation has its own clock, which knows more of what happened
        signature=schema.given(said["parameters"]),
        run=partial(_run, row.pk, version),
        preview=partial(_preview, row.remote_name, row.server.name),
    )


def _preview(tool: str, server: str, _context: Context, /, **arguments: Any) -> Preview:
    """The call as it will be made."""
    told = {name: value if isinstance(value, str) else repr(value) for name, value in arguments.items()}
    return Preview(f"Call {tool} at the MCP server {server}.", details=told)


async def _run(pk: UUID, version: str, context: Context, /, **arguments: Any) -> ToolResult:
    where, row = await bridge.in_thread(_read, context.workspace_id, pk, version)
    from agents.mcp import sessions  # noqa: PLC0415  loaded already, in the thread

    try:
        return await sessions.call(where, row.remote_name, row.accepted_hash, arguments, context.key)
    except pinned.Changed as changed:
        await bridge.in_thread(offers.noticed, row.server_id, changed.found)
        raise


def _read(workspace_id: UUID, pk: UUID, version: str) -> tuple[pinned.Reach, McpTool]:
    """The tool as it is now, and where; raises ToolFailed unless it is the accepted one, of this version."""
    import_module("agents.mcp.sessions")  # takes half a second the first time, in which this thread alone waits
    row = (
        McpTool.objects.filter(pk=pk, workspace_id=workspace_id, server__enabled=True).select_related("server").first()
    )
    if row is None or not row.accepted_hash or row.accepted_hash != row.offered_hash:
        raise ToolFailed(CHANGED)
    if version_of(row, str(row.server.secrets)) != version:
        raise ToolFailed(CHANGED)
    return pinned.reach(row.server), row


def forget(workspace_id: UUID) -> None:
    """Read a workspace's rows anew the next time."""
    _rows.pop(workspace_id, None)


def _forget(sender: object, instance: McpTool | McpServer, **_: Any) -> None:
    forget(instance.workspace_id)
    transaction.on_commit(partial(forget, instance.workspace_id))


for _model in (McpServer, McpTool):
    post_save.connect(_forget, sender=_model, dispatch_uid=f"mcp forgets the saved {_model.__name__}")
    post_delete.connect(_forget, sender=_model, dispatch_uid=f"mcp forgets the deleted {_model.__name__}")
