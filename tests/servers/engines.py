"""Search engines as their APIs are, over real HTTP: SearXNG under /searxng, Brave under /brave, Tavily under /tavily.

What they find is `found`. With `echo` an answer repeats the request's headers, as a debugging proxy may.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.servers.plain import Handler

KEYS = {"brave": "BSA-brave-key-0123456789", "tavily": "tvly-dev-tavilykey0123456789", "searxng": ""}


@dataclass
class Engines:
    """What they find and were asked; `fault` is an answer to all in place of theirs: a status and a body."""

    found: list[dict[str, str]] = field(
        default_factory=lambda: [
            {"title": f"Result {n}", "url": f"https://example.org/{n}", "text": f"What it says, {n}."}
            for n in range(1, 21)
        ]
    )
    echo: bool = False
    fault: tuple[int, bytes] | None = None
    asked: list[dict[str, Any]] = field(default_factory=list)
    port: int = 0

    def url(self, engine: str) -> str:
        """Where an engine is."""
        return f"http://127.0.0.1:{self.port}/{engine}"


class _Engines(Handler):
    @property
    def engines(self) -> Engines:
        return self.server.state  # type: ignore[attr-defined]

    def answer(self, body: bytes) -> None:
        """Answer the request at hand."""
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        headers = {name.lower(): one for name, one in self.headers.items()}
        given = json.loads(body) if body else query
        self.engines.asked.append({"method": self.command, "path": parts.path, "given": given, "headers": headers})
        if self.engines.fault:
            self.text(*self.engines.fault, media="application/json")
            return
        found = list(self.engines.found)
        if self.engines.echo:
            found = [{"title": json.dumps(headers), "url": "https://example.org/", "text": str(headers)}, *found]
        match self.command, parts.path:
            case "GET", "/searxng/search":
                self._searxng(query, found)
            case "GET", "/brave/web/search":
                self._brave(query, headers, found)
            case "POST", "/tavily/search":
                self._tavily(given, headers, found)
            case _:
                self.json(404, {"detail": "Not Found"})

    def _searxng(self, query: dict[str, str], found: list[dict[str, str]]) -> None:
        if query.get("format") != "json":
            self.text(403, b"<!doctype html><title>403 Forbidden</title>", "text/html")
            return
        results = [
            {"template": "default.html", "title": one["title"], "url": one["url"], "content": one["text"],
             "engine": "brave", "engines": ["brave"], "positions": [1], "score": 1.0, "category": "general",
             "parsed_url": ["https", "example.org", "/", "", "", ""], "publishedDate": None, "thumbnail": None}
            for one in found
        ]  # fmt: skip
        told = {"query": query["q"], "number_of_results": 0, "results": results, "answers": [], "corrections": []}
        self.json(200, {**told, "infoboxes": [], "suggestions": [], "unresponsive_engines": [["google", "timeout"]]})

    def _brave(self, query: dict[str, str], headers: dict[str, str], found: list[dict[str, str]]) -> None:
        if headers.get("x-subscription-token") != KEYS["brave"]:
            detail = f"The provided subscription token is invalid: {headers.get('x-subscription-token')}"
            error = {"id": "a", "status": 422, "code": "SUBSCRIPTION_TOKEN_INVALID", "detail": detail}
            self.json(422, {"type": "ErrorResponse", "error": error, "time": 1})
            return
        results = [
            {"type": "search_result", "subtype": "generic", "title": one["title"], "url": one["url"],
             "description": one["text"], "age": "2 days ago", "profile": {"name": "Example"}, "language": "en"}
            for one in found[: int(query["count"])]
        ]  # fmt: skip
        told: dict[str, Any] = {"type": "search", "query": {"original": query["q"], "more_results_available": True}}
        self.json(200, {**told, "web": {"type": "search", "results": results}} if results else told)

    def _tavily(self, asked: dict[str, Any], headers: dict[str, str], found: list[dict[str, str]]) -> None:
        if headers.get("authorization") != f"Bearer {KEYS['tavily']}":
            self.json(401, {"detail": {"error": f"Unauthorized: invalid key, was {headers.get('authorization')}"}})
            return
        results = [
            {"title": one["title"], "url": one["url"], "content": one["text"], "score": 0.9, "raw_content": None}
            for one in found[: asked["max_results"]]
        ]
        told = {"query": asked["query"], "follow_up_questions": None, "answer": None, "images": []}
        self.json(200, {**told, "results": results, "response_time": 0.5, "request_id": "r-1"})


@contextmanager
def running() -> Iterator[Engines]:
    """The engines for as long as the block lasts."""
    engines = Engines()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Engines)
    server.daemon_threads = True
    server.state = engines  # type: ignore[attr-defined]
    engines.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield engines
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
