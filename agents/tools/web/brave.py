"""Brave's web search."""

from urllib.parse import urlencode

import msgspec

from agents.tools.web.engines import Engine, Hit

LONGEST, MOST_WORDS = 400, 50  # of a query


class _Result(msgspec.Struct):
    url: str = ""
    title: str = ""
    description: str = ""
    age: str = ""


class _Web(msgspec.Struct):
    results: list[_Result]


class _Answer(msgspec.Struct):
    web: _Web | None = None  # it is away where nothing was found


async def search(engine: Engine, query: str, count: int) -> list[Hit]:
    """What it found; raises ToolError."""
    asked = {"q": " ".join(query.split()[:MOST_WORDS])[:LONGEST], "count": count, "text_decorations": "false"}
    found = await engine.ask(
        "GET", "/web/search?" + urlencode(asked), _Answer, headers={"X-Subscription-Token": engine.key}
    )
    results = found.web.results if found.web else []
    return [Hit(one.title, one.url, one.description, one.age) for one in results[:count]]
