"""The terminal's client at a server that breaks off, refuses and comes back, and what it shows of a request."""

import io
import json
import threading
from collections.abc import Callable, Iterator
from http.server import ThreadingHTTPServer
from typing import Any

import pytest
from rich.console import Console

from config.terminal import client as terminal
from config.terminal.client import Client, Follower, Trouble, Unreachable
from config.terminal.screen import LONGEST_ARGUMENTS, Screen
from config.terminal.talk import Talk
from tests.servers.plain import Handler

SESSION = {"session_id": "s1", "run_id": "r1"}
DONE = {"run_id": "r1", "status": "completed"}
FAULT = {"code": "internal_error", "message": "The stream broke off by a fault of ours; resume it.", "retryable": True}
Step = Callable[[Handler], None]


class Server:
    """Answers each request by the next step, and keeps what it was asked."""

    def __init__(self, *steps: Step) -> None:
        self.asked: list[tuple[str, str | None]] = []
        self._left, outer = list(steps), self

        class Asked(Handler):
            def answer(self, body: bytes) -> None:
                outer.asked.append((f"{self.command} {self.path}", self.headers.get("Idempotency-Key")))
                outer._left.pop(0)(self)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Asked)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def frames(*events: tuple[int, str, dict[str, Any]]) -> bytes:
    return b"".join(f"id: {id_}\nevent: {name}\ndata: {json.dumps(data)}\n\n".encode() for id_, name, data in events)


def streams(*events: tuple[int, str, dict[str, Any]]) -> Step:
    return lambda handler: handler.text(200, frames(*events), "text/event-stream")


def problem(status: int, code: str) -> Step:
    return lambda handler: handler.json(status, {"code": code, "detail": "Not now.", "status": status})


def drops(handler: Handler) -> None:
    handler.drop()


@pytest.fixture
def at(monkeypatch) -> Iterator[Callable[..., tuple[Client, Server]]]:
    """A client of a server with these answers; it waits for nothing."""
    monkeypatch.setattr(terminal, "PAUSES", (0.01,) * 8)
    opened: list[tuple[Client, Server]] = []

    def make(*steps: Step) -> tuple[Client, Server]:
        server = Server(*steps)
        opened.append((Client(server.url, "key"), server))
        return opened[-1]

    yield make
    for client, server in opened:
        client.close()
        server.close()


@pytest.mark.parametrize(
    "first",
    [drops, streams((1, "delta", {"text": "lost"}), (2, "error", FAULT)), streams()],
    ids=["dropped", "broken by a fault", "empty"],
)
def test_a_message_whose_sending_broke_off_is_sent_again_by_its_key(at, first):
    answer = (1, "session", SESSION), (2, "delta", {"text": "Well."}), (3, "done", DONE)
    client, server = at(first, problem(409, "idempotency_in_flight"), problem(502, "bad_gateway"), streams(*answer))
    run = Follower()
    names = [event.name for event in client.say({"message": "Hello"}, run)]
    assert names[-3:] == ["session", "delta", "done"]
    assert run.ended
    assert len(server.asked) == 4
    [(path, key)] = set(server.asked)
    assert path == "POST /v1/ai/chat"
    assert key


@pytest.mark.parametrize("answer", [problem(429, "rate_limited"), problem(402, "budget_exceeded"), problem(500, "x")])
def test_what_is_refused_is_not_sent_again(at, answer):
    client, server = at(answer)
    with pytest.raises(Trouble, match="Not now"):
        list(client.say({"message": "Hello"}, Follower()))
    assert len(server.asked) == 1


def test_nobody_who_answers_is_told_at_once(at):
    client, server = at()
    server.close()
    with pytest.raises(Unreachable, match="Nobody answers"):
        list(client.say({"message": "Hello"}, Follower()))


def test_a_stream_that_broke_is_read_on_and_no_end(at):
    client, server = at(
        streams((1, "session", SESSION), (2, "delta", {"text": "One"}), (0, "error", FAULT)),
        problem(503, "unavailable"), problem(429, "rate_limited"),
        streams((3, "delta", {"text": " two"}), (4, "done", DONE)),
    )  # fmt: skip
    told = list(client.say({"message": "Hello"}, Follower()))
    assert "".join(event.data.get("text", "") for event in told) == "One two"
    assert [event.name for event in told if event.name != "status"] == ["session", "delta", "delta", "done"]
    assert [path for path, _ in server.asked[1:]] == ["GET /v1/ai/runs/r1/events"] * 3


def test_a_run_that_failed_has_ended(at):
    failed = {"run_id": "r1", "code": "brain_unavailable", "message": "No."}
    client, server = at(streams((1, "session", SESSION), (2, "error", failed)))
    assert [event.name for event in client.say({"message": "Hello"}, Follower())] == ["session", "error"]
    assert len(server.asked) == 1


def request(arguments: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "a1", "tool": "transfer", "risk": "high", "summary": "Move money", "arguments": arguments, "digest": "d",
        "quorum": {"approve": 1}, "expires_at": "2100-01-01T00:00:00+00:00", "may_decide": True,
    }  # fmt: skip


def approving(at, arguments: dict[str, Any]) -> tuple[str, list[str]]:
    """What a manager is shown who approves these arguments twice, and what the service was asked."""

    def answers(handler: Handler) -> None:
        handler.json(200, request(arguments) if handler.command == "GET" else {"status": "approved"})

    client, server = at(answers, answers)
    out = io.StringIO()
    console = Console(file=out, width=200)
    talk = Talk(client, Screen(console, console), companion="devops")
    for _ in range(2):
        talk.enter("/approve a1")
    return out.getvalue(), [path for path, _ in server.asked]


def test_a_request_is_shown_with_all_that_would_run(at):
    arguments: dict[str, Any] = {f"name{number}": number for number in range(30)}
    arguments |= {"text": "x" * 400 + "\nlast line", "turned": "a\u202eb\U000e0041c\u200b", "deep": {"list": [1, None]}}
    said, sent = approving(at, arguments)
    start, end = said.index("{"), said.rindex("}") + 1
    assert json.loads(said[start:end]) == arguments
    assert "\\u202eb\\udb40\\udc41c\\u200b" in said
    assert sent == ["GET /v1/ai/approvals/a1", "POST /v1/ai/approvals/a1"]


def test_what_is_too_long_to_be_shown_is_not_decided_here(at):
    said, sent = approving(at, {"text": "x" * LONGEST_ARGUMENTS})
    assert "/approvals/a1/ in a browser" in said
    assert "Say it again" not in said
    assert sent == ["GET /v1/ai/approvals/a1"] * 2
