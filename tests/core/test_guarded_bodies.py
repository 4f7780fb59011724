"""What a guarded request reads of an answer: so much and no more, unpacked or not, within its patience."""

import contextlib
import gzip
import socket
import threading
import tracemalloc
import zlib
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

import pytest

from core import guarded
from core.guarded import Answer, Unreachable, WrongType
from tests.servers.names import NameServer
from tests.servers.receiver import Receiver, Reply

LOOPBACK = (ip_network("127.0.0.0/8"),)


@contextlib.contextmanager
def trickling(part: int | None, *, head: bytes = b"X: y") -> Iterator[int]:
    """A server that sends this head and then goes on for ever, in parts or a byte at a time; its port."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n")
            while not over.wait(0.05 if part is None else 0):
                connection.sendall(bytes(part or 1))

    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            over.set()
            thread.join()


async def post(url: str, **how: Any) -> Answer:
    return await guarded.request("POST", url, headers={"X-Test": "1"}, content=b"{}", **how)


async def get(url: str, **how: Any) -> Answer:
    return await guarded.request("GET", url, headers={"X-Test": "1"}, private=LOOPBACK, **how)


async def test_a_body_is_read_as_far_as_was_asked_for(receiver: Receiver):
    receiver.replies = [Reply(200, body=b"x" * 1_000_000)]
    assert (await get(receiver.url())).body == b""
    assert (await get(receiver.url(), most_bytes=1000)).body == b"x" * 1000
    assert len((await get(receiver.url(), most_bytes=2_000_000)).body) == 1_000_000


async def test_a_body_that_was_said_to_be_endless_is_cut(receiver: Receiver):
    receiver.replies = [Reply(200, {"Content-Length": str(10**10)}, b"x" * 10_000)]
    assert len((await get(receiver.url(), most_bytes=5_000)).body) == 5_000


@pytest.mark.parametrize(
    ("coding", "pack"),
    [
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", lambda body: zlib.compress(body, wbits=-15)),
        ("", bytes),
    ],
)
async def test_a_body_is_unpacked_as_far_as_was_asked_for(coding, pack, receiver: Receiver):
    receiver.replies = [Reply(200, {"Content-Encoding": coding}, pack(b"0123456789" * 1_000))]
    answer = await get(receiver.url(), most_bytes=10_000)
    assert (answer.body, answer.whole) == (b"0123456789" * 1_000, True)
    answer = await get(receiver.url(), most_bytes=9_999)
    assert (len(answer.body), answer.whole) == (9_999, False)


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
async def test_of_a_bomb_no_more_is_made_than_was_asked_for(pack, receiver: Receiver):
    coding = "gzip" if pack is gzip.compress else "deflate"
    receiver.replies = [Reply(200, {"Content-Encoding": coding}, pack(bytes(300_000_000), 1))]
    tracemalloc.start()
    try:
        answer = await get(receiver.url(), most_bytes=1_000_000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (answer.body, answer.whole) == (bytes(1_000_000), False)
    assert peak < 20_000_000


async def test_what_unpacks_to_nothing_is_read_no_further_than_what_was_asked_for(receiver: Receiver):
    endless = b"\x1f\x8b\x08" + bytes(7) + b"\x00\x00\x00\xff\xff" * 400_000  # empty blocks, none of them the last
    receiver.replies = [Reply(200, {"Content-Encoding": "gzip"}, endless)]
    answer = await get(receiver.url(), most_bytes=100_000)
    assert (answer.body, answer.whole) == (b"", False)


@pytest.mark.parametrize("coding", ["br", "zstd", "compress", "gzip, gzip", "x"])
async def test_a_packing_that_was_not_asked_for_is_not_unpacked(coding, receiver: Receiver):
    receiver.replies = [Reply(200, {"Content-Encoding": coding}, gzip.compress(b"0" * 10_000_000))]
    with pytest.raises(Unreachable, match="not asked for"):
        await get(receiver.url(), most_bytes=1_000_000)
    assert receiver.received[0].headers["accept-encoding"] == "gzip, deflate"


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_a_broken_packing_is_an_answer_that_cannot_be_read(coding, receiver: Receiver):
    receiver.replies = [Reply(200, {"Content-Encoding": coding}, b"no such thing")]
    with pytest.raises(Unreachable, match="compression is broken"):
        await get(receiver.url(), most_bytes=1_000)


@pytest.mark.parametrize("body", [None, 64_000])
async def test_an_endless_or_a_slow_body_ends_with_the_patience(body, names: NameServer):
    with trickling(body) as port, pytest.raises(Unreachable, match="within"):
        await get(f"http://127.0.0.1:{port}/", most_bytes=10**12, seconds=0.5)


@pytest.mark.parametrize("head", [b"X: " + b"x" * 100_000, b"X: y\r\n" * 100_000])
async def test_endless_headers_are_given_up(head):
    with trickling(None, head=head) as port, pytest.raises(Unreachable):
        await get(f"http://127.0.0.1:{port}/", most_bytes=1_000, seconds=5)


@pytest.mark.parametrize(
    ("said", "taken"), [("text/html; charset=x", True), ("TEXT/HTML", True), ("image/png", False), ("", False)]
)
async def test_only_what_is_of_a_type_that_was_asked_for_is_read(said, taken, receiver: Receiver):
    receiver.replies = [Reply(200, {"Content-Type": said}, b"here")]
    if taken:
        assert (await get(receiver.url(), most_bytes=10, types={"text/html"})).body == b"here"
        return
    with pytest.raises(WrongType):
        await get(receiver.url(), most_bytes=10, types={"text/html"})
