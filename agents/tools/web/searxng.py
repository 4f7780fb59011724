"""SearXNG, which people run themselves: its JSON format has to be switched on there (`search.formats`)."""

from urllib.parse import urlencode

import msgspec

from agents.tools.registry import ToolFailed
from agents.tools.web.engines import Engine, Hit


class _Result(msgspec.Struct):
    url: str = ""
    title: str = ""
    content: str | None = None
    publishedDate: str | None = None


class _Answer(msgspec.Struct):
    results: list[_Result]


async def search(engine: Engine, query: str, count: int) -> list[Hit]:
    """What it found; raises ToolError."""
    headers = {"Authorization": f"Bearer {engine.key}"} if engine.key else {}
    path = "/search?" + urlencode({"q": query, "format": "json"})
    try:
        found = await engine.ask("GET", path, _Answer, headers=headers)
    except ToolFailed as error:
        if "answered 403" in error.detail:
            raise ToolFailed(f"{error.detail} Is `json` among `search.formats` in its settings?") from None
        raise
    return [Hit(one.title, one.url, one.content or "", one.publishedDate or "") for one in found.results[:count]]
