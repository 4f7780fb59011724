"""A server that has effects over real HTTP and writes each into a file of its own: what truly happened.

Runs as a process: `python -m tests.servers.sink PORT FILE SEED`. `POST /keyed` has one effect for each
`Idempotency-Key`, `POST /unkeyed` has one at every call and heeds no key, `POST /hook` takes webhooks. A line of the
file is a call, an effect, a webhook, or something that went wrong on purpose: some calls take long, and some
connections break before or after the effect.
"""

import json
import sys
import threading
import time
from http.server import ThreadingHTTPServer
from pathlib import Path
from random import Random
from typing import Any

from tests.servers.plain import Handler

BROKEN = ("busy", "refused", "dropped undone", "dropped done", "cut done")
MAYBE_DONE = BROKEN[2:]  # after these a caller cannot know
BREAKS = 0.05  # of all calls
LONG = 0.06
LONG_SECONDS = (0.8, 2.5)
SHORT_SECONDS = (0.0, 0.12)


class Sink:
    """The effects so far. What becomes of a call follows from the seed, its key and how often that came."""

    def __init__(self, file: Path, seed: str) -> None:
        self._file = file.open("a", buffering=1)
        self._seed = seed
        self._lock = threading.Lock()
        self._calls: dict[str, int] = {}
        self._done: set[str] = set()

    def begin(self, mode: str, key: str, body: Any) -> Random:
        """Note a call; gives what its fate is drawn from."""
        with self._lock:
            self._calls[key] = self._calls.get(key, 0) + 1
            self._write("call", mode, key, body)
            return Random(f"{self._seed} {key} {self._calls[key]}")

    def act(self, mode: str, key: str, body: Any) -> None:
        """Have the effect, unless the key is honoured and has had it."""
        with self._lock:
            if mode == "unkeyed" or key not in self._done:
                self._done.add(key)
                self._write("effect", mode, key, body)

    def note(self, what: str, mode: str, key: str, body: Any) -> None:
        """Note that a call went wrong on purpose, or that a webhook came."""
        with self._lock:
            self._write(what, mode, key, body)

    def _write(self, what: str, mode: str, key: str, body: Any) -> None:
        line = {"at": time.time(), "what": what, "mode": mode, "key": key, "arguments": body}
        self._file.write(json.dumps(line) + "\n")


class _Handler(Handler):
    """One connection."""

    def answer(self, body: bytes) -> None:
        """Take a call to its end, good or bad."""
        sink: Sink = self.server.sink  # type: ignore[attr-defined]
        mode, key = self.path.strip("/"), self.headers.get("Idempotency-Key", "")
        if self.command == "GET":
            self.json(200, {"looked": True})
            return
        told = json.loads(body)
        if mode == "hook":
            sink.note("hook", mode, self.headers["webhook-id"], told["type"])
            self.text(204, b"")
            return
        fate = sink.begin(mode, key, told)
        broken = fate.choice(BROKEN) if fate.random() < BREAKS else ""
        lasts = fate.uniform(*(LONG_SECONDS if fate.random() < LONG else SHORT_SECONDS))
        before = lasts * fate.random()
        time.sleep(before)
        if broken:
            sink.note(broken, mode, key, told)
        if broken not in ("busy", "refused", "dropped undone"):
            sink.act(mode, key, told)
        time.sleep(lasts - before)
        self._tell(broken, {"done": True, "key": key})

    def _tell(self, broken: str, answer: Any) -> None:
        match broken:
            case "busy":
                self.json(429, {"error": {"message": "later"}})
            case "refused":
                self.json(422, {"error": {"message": "not this one"}})
            case "dropped undone" | "dropped done":
                self.drop()
            case "cut done":
                self.cut(answer)
            case _:
                self.json(200, answer)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 100

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that was killed has left; what it asked for has been done."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def main() -> None:
    """Serve for ever."""
    port, file, seed = sys.argv[1:]
    server = _Server(("127.0.0.1", int(port)), _Handler)
    server.sink = Sink(Path(file), seed)  # type: ignore[attr-defined]
    server.serve_forever()


if __name__ == "__main__":
    main()
