"""The tool that searches the web, by the engine that the workspace has."""

import html
import re
from typing import Annotated, Any

from msgspec import Meta

from agents.models import ConnectionKind
from agents.tools import outside
from agents.tools.registry import Context, Retry, Risk, ToolFailed, ToolResult, tool
from agents.tools.web import brave, engines, searxng, tavily
from agents.tools.web.engines import Ask, Engine, Hit
from core import bridge, guarded
from core.errors import Invalid

ENGINES: dict[ConnectionKind, Ask] = {
    ConnectionKind.SEARXNG: searxng.search,
    ConnectionKind.BRAVE: brave.search,
    ConnectionKind.TAVILY: tavily.search,
}
NONE = "No search engine is connected."
LONGEST_TITLE, LONGEST_TEXT, LONGEST_DATE = 200, 600, 40
_TAG = re.compile(r"</?[a-zA-Z][^<>]{0,200}>")

Query = Annotated[str, Meta(description="What to look for.", min_length=1, max_length=400)]
Count = Annotated[int, Meta(description="How many results.", ge=1, le=10)]


def _connected(context: Context, query: str, **_: Any) -> None:
    """Refuse a query of nothing, and every one where there is no engine; raises Invalid."""
    if not query.strip():
        raise Invalid.field("query", "must say what to look for")
    if not engines.exists(context.workspace_id):
        raise Invalid(NONE)


def _engine(context: Context) -> Engine | None:
    """The workspace's engine; raises ToolFailed where it is another one than when the call was judged."""
    if context.place and context.place != engines.place(context.workspace_id):
        raise ToolFailed("The search engine was changed since the call was judged. Propose it again.")
    return engines.of(context.workspace_id)


@tool(
    risk=Risk.READ, retry=Retry.IDEMPOTENT, timeout=30,
    validate=_connected, available=engines.exists, where=engines.place,
)  # fmt: skip
async def web_search(context: Context, query: Query, count: Count = 5) -> ToolResult:
    """Search the web. Gives titles, addresses and short texts; read a page that it found with web_fetch."""
    engine = await bridge.in_thread(_engine, context)
    if engine is None:
        raise ToolFailed(NONE)
    found = await ENGINES[engine.kind](engine, outside.plain(query), count)
    told = [_told(hit) for hit in found if hit.url.startswith(("http://", "https://"))]
    return ToolResult(
        outside.marked("Results of a web search", engine=engine.title, results=told), _counted(told, engine)
    )


def _told(hit: Hit) -> dict[str, str]:
    """A result as a model is told of it; an address that is too long to be asked for is as good as none."""
    told = {
        "title": _line(hit.title, LONGEST_TITLE),
        "url": outside.line(hit.url, guarded.LONGEST_LINK),
        "text": _line(hit.text, LONGEST_TEXT),
        "date": outside.line(hit.date, LONGEST_DATE),
    }
    return {name: value for name, value in told.items() if value}


def _line(text: str, most: int) -> str:
    """The text without the marks that engines put around words, and with its entities resolved."""
    return outside.line(html.unescape(_TAG.sub("", text)), most)


def _counted(told: list[dict[str, str]], engine: Engine) -> str:
    titles = ", ".join(one.get("title") or one["url"] for one in told[:3])
    return f"{len(told)} {'result' if len(told) == 1 else 'results'} ({engine.title})" + (
        f": {titles}" if titles else ""
    )
