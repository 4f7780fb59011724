"""Tools whose effects are counted elsewhere, for the stack that the harness breaks: see tests/servers/sink.py."""

import os

from agents.tools import http
from agents.tools.http import Remote
from agents.tools.registry import Context, Retry, Risk, ToolResult, tool


async def _post(mode: str, context: Context, n: int, how: str) -> ToolResult:
    sink = Remote("The sink", os.environ["CHAOS_SINK"])
    await http.request(sink, "POST", f"/{mode}", key=context.key, body={"n": n, "how": how})
    return ToolResult(f"done {n}", f"done {n}")


@tool(risk=Risk.EXTERNAL, retry=Retry.KEYED, timeout=20)
async def chaos_keyed(context: Context, n: int, how: str) -> ToolResult:
    """Have an effect that is not had again for the same key."""
    return await _post("keyed", context, n, how)


@tool(risk=Risk.DESTRUCTIVE, retry=Retry.UNKNOWN, timeout=20)
async def chaos_unkeyed(context: Context, n: int, how: str) -> ToolResult:
    """Have an effect at every call."""
    return await _post("unkeyed", context, n, how)


@tool(risk=Risk.READ, retry=Retry.IDEMPOTENT, timeout=20)
async def chaos_look(context: Context, n: int, how: str) -> ToolResult:
    """Have no effect."""
    await http.request(Remote("The sink", os.environ["CHAOS_SINK"]), "GET", "/look")
    return ToolResult(f"seen {n}", f"seen {n}")
