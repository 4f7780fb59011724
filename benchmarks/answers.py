"""A round of requests and what became of it: each answer is compared with what the upstream sent.

A token that is lost, doubled or out of place is an error, whatever the status says.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from benchmarks import upstream, wire

TOKEN = re.compile(r"tok (\d+) ")
NAME = "{name}"


@dataclass(frozen=True, slots=True)
class Round:
    """What to send: `total` requests, `concurrency` at a time, all first ones at the same instant.

    Where there are `names`, one for each request, it stands for NAME in the request's path and body.
    """

    url: str
    body: dict[str, Any]
    dialect: str
    tokens: int  # that every answer must have, from `tok 0` on
    concurrency: int
    total: int
    headers: dict[str, str] = field(default_factory=dict)
    limit: float = 120.0  # seconds for the whole round
    names: Sequence[str] = ()

    @property
    def stream(self) -> bool:
        """True where each answer is a stream on a connection of its own, else connections are kept."""
        return bool(self.body.get("stream"))

    def request(self, number: int = 0) -> bytes:
        """The round's request of this number as it goes over the wire."""
        name = self.names[number] if self.names else NAME
        address, body = urlsplit(self.url.replace(NAME, name)), json.dumps(self.body).replace(NAME, name).encode()
        path = f"{address.path}?{address.query}" if address.query else address.path
        headers = {"host": address.netloc, "content-type": "application/json", "content-length": len(body)}
        lines = [f"{name}: {value}" for name, value in (headers | self.headers).items()]
        return "\r\n".join([f"POST {path} HTTP/1.1", *lines, "", ""]).encode() + body


@dataclass(slots=True)
class Exchange:
    """One request and the pieces of its answer, each with the second at which it came."""

    started: float
    pieces: list[tuple[float, bytes]] = field(default_factory=list)
    failure: str = ""


@dataclass(slots=True)
class Answer:
    """What an exchange turned out to be, with times in seconds."""

    first: float = 0.0  # from the request's start to the first text
    gaps: list[float] = field(default_factory=list)  # between two arrivals of text
    deltas: int = 0
    restarts: int = 0
    text: str = ""
    failure: str = ""


@dataclass(slots=True)
class Result:
    """A round's figures: times in ms, CPU of this process in µs a token."""

    answers: int
    seconds: float
    tokens: int  # delivered, each counted once
    lost: int
    doubled: int
    deltas: int
    restarts: int
    first_p50: float
    first_p99: float
    gap_p50: float
    gap_p99: float
    cpu: float
    errors: dict[str, int]


def native(event: wire.Event, answer: Answer) -> Iterator[str]:
    """The text of one event of the native dialect; raises BadWire on a failed run."""
    data = json.loads(event.data)
    if event.name == "delta":
        yield data["text"]
    elif event.name == "restart":
        answer.restarts, answer.text = answer.restarts + 1, ""
    elif event.name == "error":
        raise wire.BadWire(f"error event: {data.get('code')}")
    elif event.name == "done" and data["response"] != answer.text:
        raise wire.BadWire("done says another text than the deltas")


def openai(event: wire.Event, answer: Answer) -> Iterator[str]:
    """The text of one chunk of the OpenAI dialect."""
    if event.data != "[DONE]":
        for choice in json.loads(event.data)["choices"]:
            yield choice["delta"].get("content") or ""


def assistant(event: wire.Event, answer: Answer) -> Iterator[str]:
    """The text of one event of the assistant chat API; raises BadWire on a failed run."""
    data = json.loads(event.data)
    if event.name == "text":
        yield data["delta"]
    elif event.name == "error":
        raise wire.BadWire(f"error event: {data.get('code')}")
    elif event.name == "done" and data["reply"] != answer.text:
        raise wire.BadWire("done says another text than the deltas")


def _typed(kind: str, field: str) -> Callable[[wire.Event, Answer], Iterator[str]]:
    """Reads the text of dialects whose data says its type; raises BadWire where that is an error."""

    def texts(event: wire.Event, answer: Answer) -> Iterator[str]:
        data = {} if event.data == "[DONE]" else json.loads(event.data)
        if data.get("type") == kind:
            yield data[field]
        elif data.get("type") in ("error", "RUN_ERROR"):
            raise wire.BadWire(f"error event: {event.data[:100]}")

    return texts


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a dialect says its text, its end, and a whole answer."""

    texts: Callable[[wire.Event, Answer], Iterator[str]]
    is_last: Callable[[wire.Event], bool]
    whole: Callable[[dict[str, Any]], str]


def _named(event: wire.Event) -> bool:
    return event.name in ("done", "error")


def _marked(event: wire.Event) -> bool:
    return event.data == "[DONE]"


DIALECTS = {
    "native": Dialect(native, _named, lambda body: body["response"]),
    "openai": Dialect(openai, _marked, lambda body: body["choices"][0]["message"]["content"]),
    "assistant": Dialect(assistant, _named, lambda body: body["reply"]),
    "sessions": Dialect(native, _named, lambda body: body["content"]),
    "agents": Dialect(_typed("text", "content"), _marked, lambda body: body["response"]),
    "ai_sdk": Dialect(_typed("text-delta", "delta"), _marked, lambda body: ""),
    "ag_ui": Dialect(
        _typed("TEXT_MESSAGE_CONTENT", "delta"),
        lambda event: json.loads(event.data)["type"] in ("RUN_FINISHED", "RUN_ERROR"),
        lambda body: "",
    ),
}
"""The AI SDK and AG-UI have no whole answers."""


def read(exchange: Exchange, round_: Round) -> Answer:
    """Parse an exchange and judge it: the answer's `failure` says what is wrong with it, if anything."""
    answer = Answer(failure=exchange.failure)
    try:
        _read_stream(exchange, round_, answer) if round_.stream else _read_whole(exchange, round_, answer)
    except (ValueError, KeyError, TypeError, LookupError) as error:
        answer.failure = answer.failure or f"malformed answer: {error}"
    if not answer.failure and answer.text != upstream.answer(round_.tokens):
        answer.failure = "the text is not what the upstream sent"
    return answer


def _read_whole(exchange: Exchange, round_: Round, answer: Answer) -> None:
    response, body = wire.Response(), b""
    for moment, data in exchange.pieces:
        body += response.feed(data)
        answer.first = moment - exchange.started
    _refuse_failure(response, body)
    answer.text = DIALECTS[round_.dialect].whole(json.loads(body))


def _read_stream(exchange: Exchange, round_: Round, answer: Answer) -> None:
    dialect, response, events = DIALECTS[round_.dialect], wire.Response(), wire.Events()
    ended, arrived, body = 0, 0.0, b""
    for moment, data in exchange.pieces:
        piece = response.feed(data)
        if response.status != 200:
            body += piece
            continue
        before = answer.deltas
        for event in events.feed(piece):
            if ended:
                raise wire.BadWire(f"event {event.name!r} after the terminal one")
            ended += dialect.is_last(event)
            for text in filter(None, dialect.texts(event, answer)):
                answer.text += text
                answer.deltas += 1
        if answer.deltas > before:
            if arrived:
                answer.gaps.append(moment - arrived)
            else:
                answer.first = moment - exchange.started
            arrived = moment
    _refuse_failure(response, body)
    if not answer.failure and (not ended or events.rest):
        raise wire.BadWire("the stream has no terminal event")


def _refuse_failure(response: wire.Response, body: bytes) -> None:
    if response.status and response.status != 200:
        code = json.loads(body).get("code", "") if response.complete and body[:1] == b"{" else ""
        raise wire.BadWire(f"status {response.status} {code}".strip())


def summary(exchanges: list[Exchange], round_: Round, *, cpu: float) -> Result:
    """The figures of a round that took `cpu` seconds of this process."""
    answers = [read(exchange, round_) for exchange in exchanges]
    said = [Counter(TOKEN.findall(answer.text)) for answer in answers]
    delivered = sum(len(tokens) for tokens in said)
    ends = [exchange.pieces[-1][0] for exchange in exchanges if exchange.pieces]
    started = min(exchange.started for exchange in exchanges)
    firsts = [answer.first for answer in answers if answer.first]
    gaps = [gap for answer in answers for gap in answer.gaps]
    return Result(
        answers=sum(not answer.failure for answer in answers),
        seconds=max(ends, default=started) - started,
        tokens=delivered,
        lost=round_.tokens * len(answers) - delivered,
        doubled=sum(tokens.total() for tokens in said) - delivered,
        deltas=sum(answer.deltas for answer in answers),
        restarts=sum(answer.restarts for answer in answers),
        first_p50=percentile(firsts, 50) * 1000,
        first_p99=percentile(firsts, 99) * 1000,
        gap_p50=percentile(gaps, 50) * 1000,
        gap_p99=percentile(gaps, 99) * 1000,
        cpu=cpu * 1e6 / max(1, delivered),
        errors=dict(Counter(answer.failure for answer in answers if answer.failure)),
    )


def percentile(values: list[float], percent: float) -> float:
    """The smallest value that is not below `percent` of all, 0 where there is none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else 0.0
