"""A reader of server-sent events as the contract's clients are: keeps text, heeds `restart`, resumes by id."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

PATIENCE = httpx.Timeout(60.0, connect=5.0)


@dataclass
class Event:
    """One event as it came."""

    name: str
    data: dict[str, Any]
    id: str | None


def events(response: httpx.Response) -> Iterator[Event]:
    """The events of a response as they come; comments are passed over."""
    name, data, number = "message", "", None
    for line in response.iter_lines():
        if line.startswith(":"):
            continue
        if not line:
            if data:
                yield Event(name, json.loads(data), number)
            name, data = "message", ""
            continue
        key, _, value = line.partition(": ")
        if key == "event":
            name = value
        elif key == "data":
            data = value
        elif key == "id":
            number = value


@dataclass
class Reader:
    """What a client has of a run, over as many connections as it took."""

    text: str = ""
    reasoning: str = ""
    last_id: str | None = None
    run_id: str = ""
    session_id: str = ""
    seen: list[str] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    restarts: int = 0
    end: Event | None = None
    events: list[Event] = field(default_factory=list)

    def heed(self, event: Event) -> None:
        """Do what a client does with an event."""
        assert self.end is None, f"{event} came after the end"
        self.seen.append(event.name)
        self.events.append(event)
        if event.id is not None:
            self.last_id = event.id
            self.ids.append(int(event.id))
        match event.name:
            case "session":
                self.run_id, self.session_id = event.data["run_id"], event.data["session_id"]
            case "delta":
                self.text += event.data["text"]
            case "reasoning":
                self.reasoning += event.data["text"]
            case "restart":
                self.text = self.reasoning = ""
                self.restarts += 1
            case "done" | "error":
                self.end = event

    def read(self, response: httpx.Response, *, until: int | None = None) -> "Reader":
        """Heed what comes, to the end, or until the text has so many characters."""
        for event in events(response):
            self.heed(event)
            if until is not None and len(self.text) >= until:
                break
        return self


def ask(base_url: str, key: str, body: dict[str, Any], reader: Reader | None = None, **how: Any) -> Reader:
    """Send a message and read its stream."""
    reader = reader or Reader()
    headers = {"Authorization": f"Bearer {key}", **how.pop("headers", {})}
    with (
        httpx.Client(timeout=PATIENCE, trust_env=False) as client,
        client.stream("POST", f"{base_url}/v1/ai/chat", json={**body, "stream": True}, headers=headers) as response,
    ):
        assert response.status_code == 200, response.read()
        return reader.read(response, **how)


def resume(base_url: str, key: str, reader: Reader, **how: Any) -> Reader:
    """Go on reading a run where the reader was."""
    headers = {"Authorization": f"Bearer {key}"}
    if reader.last_id is not None:
        headers["Last-Event-ID"] = reader.last_id
    url = f"{base_url}/v1/ai/runs/{reader.run_id}/events"
    with (
        httpx.Client(timeout=PATIENCE, trust_env=False) as client,
        client.stream("GET", url, headers=headers) as response,
    ):
        assert response.status_code == 200, response.read()
        return reader.read(response, **how)
