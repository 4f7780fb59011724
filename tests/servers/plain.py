"""What the plain HTTP servers of tests share: JSON answers, and connections that end badly."""

import json
import socket
import struct
from http.server import BaseHTTPRequestHandler
from typing import Any


class Handler(BaseHTTPRequestHandler):
    """One connection, kept open between requests."""

    protocol_version = "HTTP/1.1"

    def answer(self, body: bytes) -> None:
        """Answer the request at hand."""
        raise NotImplementedError

    def do_GET(self) -> None:
        """Answer a question."""
        self.answer(b"")

    def do_POST(self) -> None:
        """Answer a change."""
        self.answer(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

    def json(self, status: int, value: Any, **headers: str) -> None:
        """A whole answer in JSON."""
        self.text(status, json.dumps(value).encode(), "application/json", **headers)

    def text(self, status: int, body: bytes, media: str = "text/plain; charset=utf-8", **headers: str) -> None:
        """A whole answer."""
        self.send_response(status)
        self.send_header("Content-Type", media)
        self.send_header("Content-Length", str(len(body)))
        for name, one in headers.items():
            self.send_header(name, one)
        self.end_headers()
        self.wfile.write(body)

    def cut(self, value: Any) -> None:
        """An answer of 200 that breaks off in its body."""
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2])
        self.drop()

    def drop(self) -> None:
        """Reset the connection."""
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def finish(self) -> None:
        """End the connection, which may have been dropped."""
        if self.connection.fileno() >= 0:
            super().finish()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""
