"""Tavily's search."""

import msgspec

from agents.tools.web.engines import Engine, Hit


class _Result(msgspec.Struct):
    url: str = ""
    title: str = ""
    content: str = ""
    published_date: str | None = None


class _Answer(msgspec.Struct):
    results: list[_Result]


async def search(engine: Engine, query: str, count: int) -> list[Hit]:
    """What it found; raises ToolError."""
    asked = {"query": query, "max_results": count, "search_depth": "basic", "include_answer": False}
    found = await engine.ask("POST", "/search", _Answer, headers={"Authorization": f"Bearer {engine.key}"}, body=asked)
    return [Hit(one.title, one.url, one.content, one.published_date or "") for one in found.results[:count]]
