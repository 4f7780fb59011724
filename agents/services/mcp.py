"""MCP servers of a workspace and their tools: connecting, looking, accepting; each change is in the audit log.

What a server says of its tools is its word. A person accepts each definition, with a risk that then counts, and what
the server makes of it later is not called before it is accepted again.
"""

import asyncio
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from accounts.models import Actor, Role
from accounts.permissions import RoleMissing
from agents.mcp import pinned
from agents.models import McpServer, McpTool
from agents.models.described import RetryClass
from agents.models.mcp import McpTransport
from agents.services import asking
from agents.tools import offers, outside
from agents.tools.registry import ToolError
from approvals.models import Risk
from approvals.services import audit, policies
from core import commits, guarded
from core.errors import Conflict, Invalid, NotFound

MOST_SERVERS = 50  # of a workspace
MOST_SECRETS = 20
ASKING = "It is being asked for its tools."
FAILED = "It could not be asked: something went wrong here. The server's log has it."
_NAME = re.compile(r"[a-z][a-z0-9_]{0,29}")
_HEADER = re.compile(r"[A-Za-z0-9-]{1,100}")
_SECRET = re.compile(r"[ -~]{1,4000}")
_OURS = {"host", "content-length", "content-type", "connection", "transfer-encoding", "accept", "accept-encoding"}


class UnknownServer(NotFound):
    """The workspace has no such server, or the server no such tool."""

    code = "unknown_mcp_server"
    title = "There is no such MCP server or tool"


class ServerNameTaken(Conflict):
    """There is a server of this name."""

    code = "name_taken"
    title = "The name is taken"


class DefinitionMoved(Conflict):
    """The definition that was looked at is not the one that is offered now."""

    code = "definition_changed"
    title = "The tool's definition changed"


class BeingAsked(Conflict):
    """A server of the workspace is being asked for its tools."""

    code = "being_asked"
    title = "An MCP server is being asked already"


def find(actor: Actor, server_id: UUID) -> McpServer:
    """The caller's server; raises UnknownServer."""
    found = McpServer.objects.visible_to(actor).filter(pk=server_id).first()
    if found is None:
        raise UnknownServer(f"There is no MCP server {server_id} in this workspace. GET /v1/ai/mcp-servers lists them.")
    return found


def find_tool(actor: Actor, server_id: UUID, tool_id: UUID) -> McpTool:
    """A tool of the caller's server; raises UnknownServer."""
    found = McpTool.objects.visible_to(actor).filter(pk=tool_id, server_id=server_id).select_related("server").first()
    if found is None:
        raise UnknownServer(f"There is no tool {tool_id} of this MCP server.")
    return found


def save(server: McpServer, *, by: Actor, secrets: Mapping[str, str] | None = None) -> McpServer:
    """Keep a server. Its secrets stay unless they are given, or it moves. Raises DomainError."""
    admit(by)
    with transaction.atomic():
        before = McpServer.objects.select_for_update().filter(pk=server.pk, workspace=by.workspace).first()
        if before is None and McpServer.objects.filter(workspace=by.workspace).count() >= MOST_SERVERS:
            raise Invalid(f"A workspace has {MOST_SERVERS} MCP servers at most. Delete one first.")
        if before is None and not server._state.adding:
            raise UnknownServer("The MCP server was deleted meanwhile.")
        moved = before is not None and before.place != server.place
        if before is not None and before.name != server.name:
            raise Invalid.field("name", "stays: the names of the tools begin with it")
        if moved and before is not None and before.secrets and secrets is None:
            raise Invalid.field("secrets", "give them again: those that are there were for another server")
        _check(server, secrets)
        if moved:  # what was accepted was somebody else's
            _let_go(server)
        if secrets is not None:
            server.secrets = msgspec.json.encode(dict(secrets)).decode() if secrets else ""
        try:
            with transaction.atomic():
                server.save()
        except IntegrityError:
            raise ServerNameTaken(f"There is an MCP server {server.name} in this workspace.") from None
        _record(
            server, by, "mcp.server_changed", before=_told(before), after=_told(server), secrets=secrets is not None
        )
    return server


@transaction.atomic
def delete(server: McpServer, *, by: Actor) -> None:
    """Disconnect a server, and forget its tools; raises RoleMissing."""
    admit(by)
    _record(server, by, "mcp.server_changed", before=_told(server), after=None)
    server.delete()


def refresh(server: McpServer, *, by: Actor) -> McpServer:
    """Ask the server for its tools, and wait for it; what goes wrong is its `problem`.

    Raises RoleMissing, BeingAsked where a server of the workspace is being asked already, TooManyAsked, and
    UnknownServer where it is deleted meanwhile.
    """
    admit(by, Role.MANAGER)
    with asking.place():
        _claim(server)
        from agents.mcp import sessions  # noqa: PLC0415  the SDK, which only who has servers needs

        problem = FAILED
        try:
            found = asyncio.run(sessions.tools(pinned.reach(server)))
            problem = offers.noticed(server.pk, found)
        except ToolError as error:
            problem = outside.line(error.detail, 300)
        finally:  # whatever came of it: nobody else of the workspace is asked while the note says that it is
            McpServer.objects.filter(pk=server.pk).update(checked_at=Now(), problem=problem)
    try:
        server.refresh_from_db(fields=["checked_at", "problem"])
    except McpServer.DoesNotExist:
        raise UnknownServer("The MCP server was deleted meanwhile.") from None
    return server


@transaction.atomic
def _claim(server: McpServer) -> None:
    """Note that the server is being asked. The note of a process that died holds for a while, and no longer."""
    rows = McpServer.objects.filter(workspace=server.workspace_id)
    list(rows.select_for_update().order_by("pk").values_list("pk"))
    since = Now() - timedelta(seconds=pinned.LIST_SECONDS + 10.0)
    if rows.filter(problem=ASKING, checked_at__gt=since).exists():
        raise BeingAsked("An MCP server of the workspace is being asked for its tools. Try again when it has answered.")
    if not rows.filter(pk=server.pk).update(checked_at=Now(), problem=ASKING):
        raise UnknownServer("The MCP server is gone.")


def accept(tool: McpTool, *, by: Actor, definition: str, risk: str, retry: str) -> McpTool:
    """Let models have a tool as it is defined now, by its hash; raises RoleMissing or DefinitionMoved.

    That it is less risky than its hints say, or than it was when it was accepted before, only an admin says.
    """
    admit(by, Role.MANAGER)
    if risk not in Risk.values:
        raise Invalid.field("risk", f"one of {', '.join(Risk.values)}")
    if retry not in RetryClass.values:
        raise Invalid.field("retry", f"one of {', '.join(RetryClass.values)}")
    with transaction.atomic():
        row = _locked(tool)
        if not row.offered_hash or row.offered_hash != definition:
            raise DefinitionMoved("The tool is not defined any more as you saw it. Look at it again.")
        if not by.may(Role.ADMIN):
            _check_caution(row, risk, retry)
        row.accepted, row.accepted_hash, row.risk, row.retry = row.offered, row.offered_hash, risk, retry
        row.save()
        _record(row.server, by, "mcp.tool_accepted", tool=row.name, definition=definition, risk=risk, retry=retry)
    return row


def _check_caution(row: McpTool, risk: str, retry: str) -> None:
    """Raises RoleMissing for less caution than is due: who waits for a call's approval may not make it harmless."""
    said = [proposed(row), *([(row.risk, row.retry)] if row.accepted else [])]
    least = max((one for one, _ in said), key=Risk.values.index)
    worst = max((one for _, one in said), key=RetryClass.values.index)
    if Risk.values.index(risk) < Risk.values.index(least):
        raise RoleMissing(f"Only an admin accepts it with a lower risk than {least}.")
    if RetryClass.values.index(retry) < RetryClass.values.index(worst):
        raise RoleMissing(f"Only an admin accepts it with a safer retry class than {worst}.")


def withdraw(tool: McpTool, *, by: Actor) -> McpTool:
    """Let models have a tool no more; raises RoleMissing."""
    admit(by, Role.MANAGER)
    with transaction.atomic():
        row = _locked(tool)
        row.accepted_hash = ""  # what was accepted is kept: it says that its risk was a person's word
        row.save()
        _record(row.server, by, "mcp.tool_accepted", tool=row.name, definition="")
    return row


def proposed(tool: McpTool) -> tuple[str, str]:
    """The risk and the retry class that a server's hints speak for; without hints, the worst."""
    hints = tool.offered.get("annotations", {})
    if hints.get("readOnlyHint") is True:
        return Risk.READ.value, RetryClass.IDEMPOTENT.value
    retry = RetryClass.IDEMPOTENT if hints.get("idempotentHint") is True else RetryClass.UNKNOWN
    if hints.get("destructiveHint") is not False:
        return Risk.DESTRUCTIVE.value, retry.value
    return (Risk.WRITE if hints.get("openWorldHint") is False else Risk.EXTERNAL).value, retry.value


def admit(by: Actor, *roles: Role) -> None:
    """Raises RoleMissing for everybody but admins, and these."""
    if not by.may(Role.ADMIN, *roles):
        raise RoleMissing("Only an admin of the workspace, or for its tools a manager, sets MCP servers up.")


def _check(server: McpServer, secrets: Mapping[str, str] | None) -> None:
    if not _NAME.fullmatch(server.name) or "__" in server.name:
        raise Invalid.field("name", "up to 30 of a-z, 0-9 and _, a letter first, no two _ together")
    names: set[str] | None = None
    if server.transport == McpTransport.HTTP:
        server.program = ""
        guarded.parse(server.url, longest=500)
    elif server.transport == McpTransport.STDIO:
        server.url = ""
        if server.program not in settings.MCP_STDIO_SERVERS:
            raise Invalid.field("program", "is none that the operator names in MCP_STDIO_SERVERS")
        names = set(settings.MCP_STDIO_SERVERS[server.program]["env"])
    else:
        raise Invalid.field("transport", "stdio or http")
    for name, value in (secrets or {}).items():
        allowed = name in names if names is not None else _HEADER.fullmatch(name) and name.lower() not in _OURS
        if not allowed or not isinstance(value, str) or not _SECRET.fullmatch(value):
            raise Invalid.field("secrets", f"{name[:60]!r} cannot be set here, or its value is not printable ASCII")
    if len(secrets or {}) > MOST_SECRETS:
        raise Invalid.field("secrets", f"at most {MOST_SECRETS}")


def _let_go(server: McpServer) -> None:
    for row in server.tools.exclude(accepted_hash=""):
        row.accepted, row.accepted_hash = {}, ""
        row.save()


def _locked(tool: McpTool) -> McpTool:
    row = McpTool.objects.select_for_update(of=("self",)).select_related("server").filter(pk=tool.pk).first()
    if row is None:
        raise UnknownServer("The tool is gone.")
    return row


def _told(server: McpServer | None) -> dict[str, Any] | None:
    if server is None:
        return None
    return {name: getattr(server, name) for name in ("name", "transport", "url", "program", "enabled")}


def _record(server: McpServer, by: Actor, event: str, **data: Any) -> None:
    audit.record(
        audit.Entry(
            type=event,
            workspace_id=server.workspace_id,
            who=audit.person(by),
            target=("mcp_server", server.pk),
            data=data,
        )
    )
    commits.after(policies.rejudge, server.workspace_id)
