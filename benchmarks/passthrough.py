"""The bare minimum to compare with: an ASGI app that hands the upstream's bytes on and keeps nothing.

`UPSTREAM=http://127.0.0.1:9900/v1 uvicorn benchmarks.passthrough:app`: httpx on aiohttp's transport, with no
routing, no keys, no database and no parsing.
"""

import os
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
from httpx_aiohttp import AiohttpTransport

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8")]
_clients: list[httpx.AsyncClient] = []


async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Serve one request, or the lifespan that opens and closes the client."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    request = _clients[0].build_request(
        "POST", "/chat/completions", content=body, headers={"content-type": "application/json"}
    )
    answer = await _clients[0].send(request, stream=True)
    try:
        await send({"type": "http.response.start", "status": answer.status_code, "headers": HEADERS})
        async for piece in answer.aiter_raw():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    finally:
        await answer.aclose()


async def _lifespan(receive: Receive, send: Send) -> None:
    await receive()
    limits = httpx.Limits(max_connections=4096)  # None would mean aiohttp's own 100
    transport = AiohttpTransport(limits=limits)
    async with httpx.AsyncClient(transport=transport, base_url=os.environ["UPSTREAM"], timeout=60) as client:
        _clients.append(client)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
