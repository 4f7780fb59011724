"""Requests to the outside: pooled HTTP clients of each event loop, on aiohttp's transport.

httpx alone spends 200 µs and more of CPU on a streamed chunk at 200 streams; on aiohttp's transport it spends a tenth,
and reading aiohttp's own buffer saves httpx's iterators too, which is why `body()` hands that buffer out.
"""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from functools import cache
from http.cookiejar import CookieJar
from typing import Any

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

CONNECTIONS = 1000
IDLE_SECONDS = 60.0

Opens = Callable[[], aiohttp.ClientSession]
"""What opens the connections of a client."""
# A loop's clients by what opens their connections, each with the generator that closes it and takes both out of here.
_open: dict[tuple[asyncio.AbstractEventLoop, Opens], tuple[httpx.AsyncClient, AsyncGenerator[httpx.AsyncClient]]] = {}


class _NoCookies(CookieJar):
    """Keeps and sends none: workspaces share the client, and a cookie must not follow one into another."""

    def extract_cookies(self, response: object, request: object) -> None:
        pass

    def add_cookie_header(self, request: object) -> None:
        pass


class _Transport(AiohttpTransport):
    """aiohttp's transport, which leaves aiohttp's response in the extensions of httpx's."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response: httpx.Response = await super().handle_async_request(request)
        response.extensions["aiohttp"] = response.stream._aiohttp_response  # type: ignore[union-attr]
        return response


@cache
def tls() -> ssl.SSLContext:
    """The trusted authorities, read once: loading them takes longer than a whole request."""
    return httpx.create_ssl_context(trust_env=False)


def session(**how: Any) -> aiohttp.ClientSession:
    """A pool of connections that are made as aiohttp's connector is told beyond what all have in common."""
    connector = aiohttp.TCPConnector(limit=CONNECTIONS, keepalive_timeout=IDLE_SECONDS, ssl=tls(), **how)
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)


async def _lifetime(opens: Opens) -> AsyncGenerator[httpx.AsyncClient]:
    """Yields a client, and closes it when the loop shuts down its asynchronous generators, as `asyncio.run` does."""
    client = httpx.AsyncClient(
        transport=_Transport(client=opens, verify=tls()),
        trust_env=False,
        follow_redirects=False,
        timeout=None,
        cookies=_NoCookies(),
        headers={"User-Agent": "countersign", "Accept-Encoding": "identity"},
    )
    try:
        yield client
    finally:
        _open.pop((asyncio.get_running_loop(), opens), None)
        await client.aclose()


def client(opens: Opens = session) -> httpx.AsyncClient:
    """The running loop's client; it takes no proxy from the environment, follows no redirect and keeps no cookie.

    Those of different `opens` share no connection.
    """
    key = asyncio.get_running_loop(), opens
    if key not in _open:
        lifetime = _lifetime(opens)
        try:
            lifetime.__anext__().send(None)  # runs to its yield without waiting, and makes the loop know of it
        except StopIteration as started:
            _open[key] = started.value, lifetime
    return _open[key][0]


async def close() -> None:
    """Close the running loop's clients, for loops that end without shutting down their generators."""
    loop = asyncio.get_running_loop()
    for held in [held for (theirs, _), held in _open.items() if theirs is loop]:
        await held[1].aclose()


def body(response: httpx.Response) -> aiohttp.StreamReader:
    """The buffer that the response's bytes arrive in, undecoded."""
    content: aiohttp.StreamReader = response.extensions["aiohttp"].content
    return content


def abort(response: httpx.Response) -> None:
    """Close the response's connection at once, so that the other side sees that nobody listens."""
    response.extensions["aiohttp"].close()


async def release(response: httpx.Response, *, patience: float = 0.05) -> None:
    """Give the connection back to the pool if the body's end has come or comes within `patience`; else close it."""
    reader = body(response)
    try:
        if not reader.at_eof():
            async with asyncio.timeout(patience):
                while not reader.at_eof():
                    await reader.readany()
    except (TimeoutError, aiohttp.ClientError, OSError):
        abort(response)
    with suppress(httpx.HTTPError):
        await response.aclose()
