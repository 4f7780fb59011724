"""The web server's door on a real socket: what it takes, and what it closes on."""

import asyncio
from contextlib import asynccontextmanager

import pytest
import uvicorn
from uvicorn.server import ServerState

from config import http, stack

MB = 1_000_000
GET = b"GET / HTTP/1.1\r\nHost: x\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n"


async def echo(scope, receive, send):
    """Answers with the body's size; below /slow, late."""
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size, more = size + len(message["body"]), message["more_body"]
    if scope["path"] == "/slow":
        await asyncio.sleep(0.5)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
    await send({"type": "http.response.body", "body": b"%9d" % size})


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(http, "HEAD_SECONDS", 0.2)


@asynccontextmanager
async def connection(protocol=http.Protocol):
    config = uvicorn.Config(echo, http=protocol, lifespan="off")
    loop = asyncio.get_running_loop()
    state = ServerState()
    server = await loop.create_server(lambda: protocol(config, state, {}, loop), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        server.close()
        for open_one in list(state.connections):
            open_one.transport.abort()
        await server.wait_closed()


async def answer(reader):
    head = await reader.readuntil(b"\r\n\r\n")
    return head.split()[1], (await reader.readexactly(9)).strip()


async def flood(writer, piece, times):
    """Send until the server closes, which it must before the end; how many bytes it took."""
    for count in range(times):
        try:
            writer.write(piece)
            await writer.drain()
        except ConnectionError:
            return count * len(piece)
    return pytest.fail("it took all of it")


@pytest.mark.parametrize(
    "start",
    [GET + b"X-Long: ", GET, b"GET /", b"GET / HTTP/1.1\r\n", CHUNKED + b"0\r\nX-Trailer: ", CHUNKED + b"1;x="],
    ids=["header", "name", "path", "headers", "trailer", "extension"],
)
async def test_a_head_without_end_is_closed_on_at_once(start):
    read = []

    class Counted(http.Protocol):
        def data_received(self, data):
            read.append(len(data))
            super().data_received(data)

    piece = b"X: y\r\n" * 10_000 if start.endswith(b"1.1\r\n") else b"a" * 60_000
    async with connection(Counted) as (_, writer):
        writer.write(start)
        taken = await flood(writer, piece, 800)
        assert taken < 12 * MB  # the buffers of both sockets
        assert sum(read[1:-1]) <= http.HEAD_LIMIT, "what comes with a request's begin is free; the last went over"


async def test_a_head_that_is_too_large_is_told_so():
    async with connection() as (reader, writer):
        writer.write(GET + b"X-Long: " + b"a" * 300_000)
        assert (await reader.readuntil(b"\r\n\r\n")).split()[1] == b"431"


async def test_what_is_within_the_limits_is_answered_and_the_connection_kept(short):
    async with connection() as (reader, writer):
        writer.write(GET + b"X-Long: " + b"a" * 60_000 + b"\r\n\r\n")
        assert await answer(reader) == (b"200", b"0")
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\r\n" + b"a" * 5 * MB)
        assert await answer(reader) == (b"200", b"5000000")
        writer.write(CHUNKED + b"1\r\na\r\n" * 100_000 + b"0\r\nX-Trailer: yes\r\n\r\n")
        assert await answer(reader) == (b"200", b"100001")
        writer.write(GET.replace(b"/ ", b"/slow ") + b"\r\n\r\n")
        assert await answer(reader) == (b"200", b"0")


@pytest.mark.parametrize("start", [b"", b"G", GET, b"\r\n"])
async def test_a_request_that_does_not_come_is_not_waited_for(short, start):
    async with connection() as (reader, writer):
        writer.write(start)
        assert await reader.read() == b""


async def test_a_second_request_that_does_not_come_is_not_waited_for_either(short):
    async with connection() as (reader, writer):
        writer.write(GET + b"\r\n")
        await answer(reader)
        writer.write(GET)
        assert await reader.read() == b""  # uvicorn's own timer is off once a byte came


async def test_what_follows_a_request_that_is_being_answered_does_not_end_it(short):
    async with connection() as (reader, writer):
        writer.write(GET.replace(b"/ ", b"/slow ") + b"\r\n" + b"\r\n")
        await asyncio.sleep(0.05)
        writer.write(b"\r\n")
        assert await answer(reader) == (b"200", b"0")


def test_the_shipped_web_process_is_bounded_and_believes_no_proxy_that_is_not_named(monkeypatch):
    def command(**environ):
        started = []
        monkeypatch.setattr(stack.embedded_child, "start", lambda command, **_: started.append(command))
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        stack.web("web", "127.0.0.1", 8000, {}).launch(None)
        return " ".join(started[0])

    monkeypatch.delenv("FORWARDED_ALLOW_IPS", raising=False)
    plain = command()
    assert "--http config.http:Protocol" in plain
    assert "--limit-concurrency" not in plain, "it would refuse probes"
    assert "--no-proxy-headers" in plain
    assert "--proxy-headers --forwarded-allow-ips 10.0.0.1" in command(FORWARDED_ALLOW_IPS="10.0.0.1")
