"""Conversations with MCP servers: what tools a server has, and a call of one whose definition is as it was accepted.

Each has a session of its own, so that nothing of one workspace, run or failure is there for the next. To be imported
where a server is spoken with: the SDK takes 35 MB of each process that has it.
"""

import asyncio
import json
import threading
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import mcp_types as types
import msgspec
from mcp.client.session import ClientSession
from mcp.shared.exceptions import MCPError

from agents.mcp import transports
from agents.mcp.pinned import CALL_SECONDS, LIST_SECONDS, Changed, Reach, hash_of
from agents.models.mcp import McpTransport
from agents.tools import outside
from agents.tools.registry import MaybeSent, NotSent, ToolError, ToolFailed, ToolResult
from core import guarded
from core.errors import DomainError, Invalid

MOST_PAGES = 10
MOST_TOOLS = 200
MOST_SESSIONS = 16  # at once in a process
MOST_CONTENT = 100_000
REFUSED = (types.INVALID_REQUEST, types.METHOD_NOT_FOUND, types.INVALID_PARAMS, types.PARSE_ERROR)
FAILURES = (
    MCPError, TimeoutError, OSError, ValueError, RuntimeError, ExceptionGroup, httpx2.HTTPError, httpx2.InvalidURL,
)  # fmt: skip

_free = threading.BoundedSemaphore(MOST_SESSIONS)


class _Progress:
    """How far a conversation came: whether the call can have reached the server."""

    sent = False


def definition(tool: types.Tool) -> dict[str, Any]:
    """What a server says of a tool, as it is pinned."""
    hints = tool.annotations.model_dump(by_alias=True, exclude_none=True) if tool.annotations else {}
    title = tool.title or hints.get("title") or ""
    return {
        "name": tool.name,
        "title": title,
        "description": tool.description or "",
        "parameters": tool.input_schema,
        "annotations": hints,
    }


def _is(said: Mapping[str, Any], tool: str, pinned: str) -> bool:
    try:
        return said["name"] == tool and hash_of(said) == pinned
    except Invalid:
        return False


async def tools(where: Reach) -> list[dict[str, Any]]:
    """The definitions of a server's tools; raises ToolError."""
    async with _conversation(where, LIST_SECONDS, _Progress()) as session:
        return await _listed(session, where)


async def call(where: Reach, tool: str, pinned: str, arguments: dict[str, Any], key: str) -> ToolResult:
    """What a tool says; raises Changed where its definition is not the pinned one, and other ToolErrors."""
    progress = _Progress()
    async with _conversation(where, CALL_SECONDS, progress) as session:
        found = await _listed(session, where)
        if not any(_is(one, tool, pinned) for one in found):
            raise Changed(found)
        params = types.CallToolRequestParams.model_validate(
            {"name": tool, "arguments": arguments, "_meta": {"countersign/idempotency-key": key}}
        )
        progress.sent = True
        # Not by call_tool(), which would hold the answer against a schema that the server wrote, without bounds.
        result = await session.send_request(types.CallToolRequest(params=params), types.CallToolResult)
    said = where.clean(_text(result))[:MOST_CONTENT]  # and only then cut, which could leave a part of a secret
    if result.is_error:
        raise ToolFailed(outside.marked(f"Error of {tool} at the MCP server {where.name}", text=said[:2_000]))
    return ToolResult(
        outside.marked(f"Answer of {tool} at the MCP server {where.name}", text=said), f"{where.name}: {tool} answered"
    )


async def _listed(session: ClientSession, where: Reach) -> list[dict[str, Any]]:
    found: list[types.Tool] = []
    cursor: str | None = None
    for _ in range(MOST_PAGES):
        page = await session.list_tools(params=types.PaginatedRequestParams(cursor=cursor))
        found += page.tools
        cursor = page.next_cursor
        if len(found) > MOST_TOOLS:
            break
        if not cursor:
            said = json.dumps([definition(one) for one in found], ensure_ascii=False)
            return list(json.loads(where.clean(said)))
    raise ToolFailed(f"The server has more than {MOST_TOOLS} tools, or its list has no end.")


@asynccontextmanager
async def _conversation(where: Reach, seconds: float, progress: _Progress) -> AsyncGenerator[ClientSession]:
    """An initialised session; what goes wrong in it is told as a ToolError that says what may have happened.

    The server is offered nothing: it may not sample, elicit or ask for roots.
    """
    if not _free.acquire(blocking=False):
        raise NotSent(f"There are {MOST_SESSIONS} conversations with MCP servers already.")
    guard = transports.Guarded(seconds)
    try:
        streams = (
            transports.stdio(where.command, where.secrets)
            if where.transport == McpTransport.STDIO
            else transports.http(where.url, where.secrets, guard)
        )
        async with asyncio.timeout(seconds), streams as (heard, said), ClientSession(heard, said) as session:
            await session.initialize()
            yield session
    except BaseException as error:
        told = _told(where, error, guard, progress)
        if told is None:
            raise
        raise told from None
    finally:
        _free.release()


def _told(where: Reach, error: BaseException, guard: transports.Guarded, progress: _Progress) -> ToolError | None:
    """A failure in our words; None for what is none of a server's: a fault of ours, or that we were cancelled."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    if isinstance(error, ToolError):
        return error
    if not isinstance(error, FAILURES):
        return None
    reason = _reason(where, error, guard.failure)
    if isinstance(guard.failure, guarded.UrlRefused):
        return ToolFailed(f"The MCP server {where.name} cannot be asked. {reason}")
    if progress.sent and isinstance(error, MCPError) and error.code in REFUSED:
        return ToolFailed(f"The MCP server {where.name} refuses the call. {reason}")
    kind = MaybeSent if progress.sent and not isinstance(guard.failure, guarded.NotConnected) else NotSent
    return kind(f"The MCP server {where.name} does not answer as it should. {reason}")


def _reason(where: Reach, error: BaseException, failure: DomainError | None) -> str:
    if failure is not None:
        return where.clean(failure.detail)
    if isinstance(error, MCPError):
        return outside.line(f"It says: {where.clean(error.message)}", 200)
    if isinstance(error, TimeoutError):
        return "It took too long."
    return "It could not be started." if isinstance(error, OSError) else "It broke the protocol."


def _text(result: types.CallToolResult) -> str:
    """The texts of a result; of everything else, that it is there."""
    parts = []
    for one in result.content:
        if isinstance(one, types.TextContent):
            parts.append(one.text)
        else:
            parts.append(f"[{outside.line(one.type, 40)}: left out]")
    if not parts and result.structured_content is not None:
        parts.append(msgspec.json.encode(result.structured_content).decode())
    return "\n".join(parts)
