"""An inventory of services as docs/tools.md has its API, over real HTTP, which writes down every effect that it has.

Runs in a thread of a test (`running`) or as a process: `python -m tests.servers.inventory PORT EFFECTS_FILE [unkeyed]`.
An effect is a line of JSON in the file. A key that comes again gets the first answer and has no effect, unless the
server is `unkeyed`. `fault` says what goes wrong with changes: see `Fault`.
"""

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.servers.plain import Handler

TOKEN = "inventory-token-0123456789"


class Fault(StrEnum):
    """What goes wrong with a change."""

    NONE = ""
    CLOSE_AT_ONCE = "close at once"  # the request is not read
    CLOSE_UNDONE = "close undone"  # the request is read, and nothing is done
    CLOSE_DONE = "close done"  # it is done, and the answer never comes
    CUT = "cut"  # it is done, and the answer breaks off in its body
    ERROR_DONE = "error done"  # it is done, and the answer is 500
    SILENT = "silent"  # it is done, and nothing comes until `released`
    BUSY = "busy"  # 429, and nothing is done
    REFUSED = "refused"  # 422 with words, and nothing is done
    WORDLESS = "wordless"  # it is done, and the answer is 204


@dataclass
class Inventory:
    """The services and what was done to them."""

    effects: Path
    token: str = TOKEN
    keyed: bool = True
    fault: Fault = Fault.NONE
    faults: int = 1_000_000  # how many changes go wrong before all is well
    requests: list[dict[str, Any]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    released: threading.Event = field(default_factory=threading.Event)  # ends the silence
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    port: int = 0

    def __post_init__(self) -> None:
        began = "2026-07-01T06:00:00Z"
        self.services = {
            name: {"name": name, "state": "running", "since": began, "version": "1.2.3"}
            for name in ("web", "api", "billing")
        }

    @property
    def base_url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}/v1"

    def done(self) -> list[dict[str, Any]]:
        """Every effect so far."""
        return [json.loads(line) for line in self.effects.read_text().splitlines()] if self.effects.exists() else []

    def change(self, name: str, verb: str, key: str) -> dict[str, Any]:
        """Do it once for a key; the answer."""
        with self.lock:
            if self.keyed and key in self.answers:
                return self.answers[key]
            state = "stopped" if verb == "stop" else "running"
            since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            self.services[name] = {**self.services[name], "state": state, "since": since}
            with self.effects.open("a") as file:
                file.write(json.dumps({"service": name, "verb": verb, "key": key}) + "\n")
            return self.answers.setdefault(key, self.services[name])


class _Inventory(Handler):
    """One connection."""

    @property
    def inventory(self) -> Inventory:
        return self.server.state  # type: ignore[attr-defined]

    def answer(self, body: bytes) -> None:
        """Answer the request at hand."""
        inventory = self.inventory
        parts = urlsplit(self.path)
        inventory.requests.append(
            {
                "method": self.command,
                "path": self.path,
                "headers": {name.lower(): one for name, one in self.headers.items()},
            }
        )
        if self.headers.get("Authorization") != f"Bearer {inventory.token}":
            self.json(401, {"error": {"message": f"not this one: {self.headers.get('Authorization')}"}})
            return
        match (self.command, [unquote(part) for part in parts.path.strip("/").split("/")]):
            case "GET", ["v1", "services"]:
                self.json(200, {"services": list(inventory.services.values())})
            case "GET", ["v1", "services", name] if name in inventory.services:
                self.json(200, inventory.services[name])
            case "GET", ["v1", "services", name, "logs"] if name in inventory.services:
                count = int(parse_qs(parts.query).get("lines", ["50"])[0])
                lines = [f"2026-07-01T06:00:{n % 60:02}Z INFO line {n} of {name}" for n in range(300)]
                self.json(200, {"lines": lines[-count:]})
            case "POST", ["v1", "services", name, "restart" | "stop" | "start" as verb] if name in inventory.services:
                self._change(name, verb)
            case _:
                self.json(404, {"error": {"message": "There is no such thing here."}})

    def _change(self, name: str, verb: str) -> None:
        inventory = self.inventory
        with inventory.lock:
            fault = inventory.fault if inventory.faults > 0 else Fault.NONE
            inventory.faults -= 1
        if fault in (Fault.CLOSE_AT_ONCE, Fault.CLOSE_UNDONE):
            self.drop()
        elif fault == Fault.BUSY:
            self.json(429, {"error": {"message": "later"}})
        elif fault == Fault.REFUSED:
            self.json(422, {"error": {"message": f"{name} is pinned \x07by {self.headers.get('Authorization')}"}})
        else:
            answer = inventory.change(name, verb, self.headers.get("Idempotency-Key", ""))
            self._tell(fault, answer)

    def _tell(self, fault: Fault, answer: dict[str, Any]) -> None:
        match fault:
            case Fault.CLOSE_DONE:
                self.drop()
            case Fault.CUT:
                self.cut(answer)
            case Fault.ERROR_DONE:
                self.json(500, {"error": {"message": "out of luck"}})
            case Fault.SILENT:
                self.inventory.released.wait(60)
                self.drop()
            case Fault.WORDLESS:
                self.send_response(204)
                self.end_headers()
            case _:
                self.json(200, answer)


def serve(inventory: Inventory, port: int = 0) -> ThreadingHTTPServer:
    """The server, which listens; run it with `serve_forever`."""
    server = ThreadingHTTPServer(("127.0.0.1", port), _Inventory)
    server.daemon_threads = True
    server.state = inventory  # type: ignore[attr-defined]
    inventory.port = server.server_address[1]
    return server


@contextmanager
def running(effects: Path, **how: Any) -> Iterator[Inventory]:
    """An inventory for as long as the block lasts."""
    inventory = Inventory(effects, **how)
    server = serve(inventory)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield inventory
    finally:
        inventory.released.set()
        server.shutdown()
        server.server_close()
        thread.join(10)


if __name__ == "__main__":
    serve(Inventory(Path(sys.argv[2]), keyed="unkeyed" not in sys.argv), int(sys.argv[1])).serve_forever()
