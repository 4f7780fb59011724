"""Requests as bytes on a socket, for what no well-behaved client sends."""

import contextlib
import json
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPException, HTTPResponse
from typing import Any

from tests.servers.stack import Stack

SECONDS = 15


@dataclass
class Answer:
    """The first answer on a connection."""

    status_code: int
    headers: Message
    content: bytes

    def json(self) -> Any:
        """Its body."""
        return json.loads(self.content)


def head(stack: Stack, line: str, *headers: str, key: bool = True) -> bytes:
    """A request's head, with the member's key; `line` is its method and target."""
    lines = [f"{line} HTTP/1.1", "Host: localhost", "Connection: close", *headers]
    lines += [f"Authorization: Bearer {stack.demo['keys']['secret']}"] if key else []
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def chunked(body: bytes, size: int) -> Iterator[bytes]:
    """The body in chunks of this size, as `Transfer-Encoding: chunked` has them."""
    for start in range(0, len(body), size):
        part = body[start : start + size]
        yield b"%x\r\n%b\r\n" % (len(part), part)
    yield b"0\r\n\r\n"


def exchange(stack: Stack, *parts: bytes | Iterable[bytes], half_close: bool = False) -> Answer | None:
    """Send these bytes and read the answer; None where the server closed the connection without one."""
    with socket.create_connection(("127.0.0.1", stack.ports["web1"]), SECONDS) as connection:
        # A server that has refused the request may stop reading it: the answer is there all the same.
        with contextlib.suppress(OSError):
            for part in parts:
                for piece in [part] if isinstance(part, bytes) else part:
                    connection.sendall(piece)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
        response = HTTPResponse(connection)
        try:
            response.begin()
            return Answer(response.status, response.headers, response.read())
        except (HTTPException, ConnectionError):
            return None
        finally:
            response.close()


OWN_TIME = {"approvals_auditseal", "approvals_auditunsealed", "approvals_audithead"}


def counts(stack: Stack) -> dict[str, int]:
    """How many rows each table has, save those that a worker writes in its own time."""
    names = stack.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    names = [(name,) for (name,) in names if name not in OWN_TIME]
    parts = " UNION ALL ".join(f"SELECT '{name}', count(*) FROM \"{name}\"" for (name,) in names)
    return dict(stack.sql(parts))  # type: ignore[arg-type]
