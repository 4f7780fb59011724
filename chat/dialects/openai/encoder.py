"""Chat completions as pure functions of events: the chunks of a stream, and the body that all of them add up to.

A client cannot take back what it has read. Where an answer begins anew, the stream goes on if what was said stands, and
ends with an error if it does not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from agents.events import (
    FILTERED,
    LENGTH,
    ApprovalRequested,
    Event,
    ReasoningDelta,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunRestarted,
    RunStarted,
    RunWaiting,
    Snapshot,
    Speaker,
    Status,
    TextDelta,
    ToolFinished,
    Usage,
)
from chat.dialects.failures import status_of
from chat.dialects.openai import errors

DONE = b"data: [DONE]\n\n"
RESTARTED = "The answer had to begin anew, and what was sent of it does not stand. Send the request again."
REASONS = {LENGTH: "length", FILTERED: "content_filter"}

_json = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What an answer tells of itself; `said` and `used` are of the same run, and were told before."""

    id: str
    created: int
    model: str
    metadata: Mapping[str, Any]
    said: str = ""
    used: Usage | None = None

    def head(self, kind: str) -> dict[str, Any]:
        """What the body and every chunk begin with."""
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}


@dataclass(slots=True)
class Answer:
    """What the events add up to: a pure object, stepped through them. `text` is what was not told before."""

    about: About
    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)  # of the tools that wait for approval
    speaker: Speaker | None = None
    usage: Usage | None = None
    stopped: str = ""
    last: Event | None = None

    def step(self, event: Event) -> tuple[str, str]:
        """Take an event in; gives the text and the thoughts that it adds to what was told."""
        self.last = event
        match event:
            case TextDelta():
                return self._spoken(event), ""
            case ReasoningDelta():
                self.reasoning.append(event.text)
                return "", event.text
            case Usage():
                self.usage = event
            case Status() if event.code in REASONS:
                self.stopped = REASONS[event.code]
            case ToolFinished():
                self.stopped = ""
            case ApprovalRequested():
                self.names[event.approval_id] = event.name
            case RunStarted() | RunRestarted():
                self._reset()
            case Snapshot():
                self._reset()
                self.text.append(event.text.removeprefix(self.about.said))
                self.reasoning.append(event.reasoning)
            case RunWaiting():
                self.text.append(told := self._waits(event))
                return told, ""
            case _:
                pass
        return "", ""

    def _reset(self) -> None:
        self.text.clear()
        self.reasoning.clear()
        self.speaker, self.stopped = None, ""

    def _spoken(self, event: TextDelta) -> str:
        """The text of a delta; where another of several begins to speak, their name before it."""
        text = event.text
        if event.speaker is not None and event.speaker != self.speaker:
            gap = "\n\n" if any(self.text) else ""
            text = f"{gap}**{event.speaker.agent_name}:** {text}"
            self.speaker = event.speaker
        self.text.append(text)
        return text

    def _waits(self, event: RunWaiting) -> str:
        """What is said of approvals, which have no other place here."""
        if event.calls:
            return ""
        gap = "\n\n" if any(self.text) else ""
        if not event.approvals:
            return f"{gap}[This waits until somebody has looked into what became of a call.]"
        lines = (
            f"[Waiting for approval {one}" + (f" of {name}" if (name := self.names.get(one)) else "") + ".]"
            for one in event.approvals
        )
        return gap + "\n".join(lines)

    @property
    def approvals(self) -> Sequence[str]:
        """The ids of the approvals that it waits for."""
        return self.last.approvals if isinstance(self.last, RunWaiting) else ()

    @property
    def calls(self) -> list[dict[str, Any]]:
        """The calls that the client is to make."""
        waiting = self.last.calls if isinstance(self.last, RunWaiting) else []
        return [
            {
                "id": call["call_id"],
                "type": "function",
                "function": {"name": call["name"], "arguments": _json(call["arguments"]).decode()},
            }
            for call in waiting
        ]

    @property
    def reason(self) -> str:
        """Why it ends here."""
        return "tool_calls" if self.calls else self.stopped or "stop"

    @property
    def metadata(self) -> dict[str, Any]:
        """Where it stands, and what it waits for."""
        if not self.approvals:
            return dict(self.about.metadata)
        waits = {"approval_id": self.approvals[0], "approval_ids": ",".join(self.approvals)}
        return {**self.about.metadata, **waits}

    @property
    def used(self) -> dict[str, int] | None:
        """The tokens that it took since what was told before; None where no provider told any."""
        if self.usage is None:
            return None
        before = self.about.used or Usage()
        given = max(0, self.usage.input_tokens - before.input_tokens)
        made = max(0, self.usage.output_tokens - before.output_tokens)
        return {"prompt_tokens": given, "completion_tokens": made, "total_tokens": given + made}

    def body(self) -> dict[str, Any]:
        """The chat completion."""
        text, thoughts = "".join(self.text), "".join(self.reasoning)
        message: dict[str, Any] = {"role": "assistant", "content": text or None, "refusal": None}
        if thoughts:
            message["reasoning_content"] = thoughts
        if self.calls:
            message["tool_calls"] = self.calls
        else:
            message["content"] = text
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self.reason}
        head = self.about.head("chat.completion")
        return {**head, "choices": [choice], "usage": self.used, "metadata": self.metadata}


class Encoder:
    """The chunks for one reader, `over` once the last is out; with `usage` that one tells what was used."""

    __slots__ = ("_again", "_answer", "_content", "_rest", "_sent", "_usage", "over")

    def __init__(self, about: About, *, usage: bool) -> None:
        self._answer = Answer(about)
        self._usage = usage
        self._sent: list[str] = []
        self._again = self.over = False
        self._content = b"data: %b" % _json({**about.head("chat.completion.chunk"), "choices": []})[:-2]
        self._content += b'{"index":0,"delta":{"content":'
        self._rest = b'},"logprobs":null,"finish_reason":null}]%b}\n\n' % (b',"usage":null' if usage else b"")

    def first(self) -> bytes:
        """The chunk that every stream begins with: who speaks, and where."""
        delta = {"role": "assistant", "content": "", "refusal": None}
        return self._chunk(delta, metadata=dict(self._answer.about.metadata))

    def sse(self, seq: int, event: Event) -> bytes:
        """The event's chunks; empty where the dialect is silent about it."""
        if self.over:
            return b""
        if type(event) is TextDelta and event.speaker is None and not self._again:  # nearly all events are this one
            self._answer.text.append(event.text)
            self._sent.append(event.text)
            return b"%b%b%b" % (self._content, _json(event.text), self._rest)
        if isinstance(event, RunFailed):
            return self._fail(errors.body(event.message, event.code, status_of(event.code)))
        if isinstance(event, RunRestarted | RunStarted | Snapshot):
            return self._anew(event)
        text, thoughts = self._answer.step(event)
        if self._again and (text or isinstance(event, RunCompleted | RunWaiting)):
            return self._fail(errors.body(RESTARTED, "restarted", 503))
        told = self._said(text) + (self._chunk({"reasoning_content": thoughts}) if thoughts else b"")
        return told + self._end() if isinstance(event, RunCompleted | RunWaiting | RunCancelled) else told

    def _anew(self, event: RunStarted | RunRestarted | Snapshot) -> bytes:
        """An answer that begins anew, or is told as far as it is: what of it is new goes on behind what was sent."""
        self._answer.step(event)
        if not isinstance(event, Snapshot):
            self._again = any(self._sent)
            return b""
        sent, text = "".join(self._sent), "".join(self._answer.text)
        if not text.startswith(sent):
            return self._fail(errors.body(RESTARTED, "restarted", 503))
        self._again = False
        rest = text[len(sent) :]
        self._sent.append(rest)
        return self._chunk({"content": rest}) if rest else b""

    def _said(self, text: str) -> bytes:
        if not text:
            return b""
        self._sent.append(text)
        return self._chunk({"content": text})

    def _end(self) -> bytes:
        """The calls where there are any, the chunk that says why it ends, what was used, and the mark of the end."""
        self.over = True
        answer = self._answer
        frames = [self._chunk({"tool_calls": [{"index": place, **call}]}) for place, call in enumerate(answer.calls)]
        frames.append(self._chunk({}, reason=answer.reason, metadata=answer.metadata))
        if self._usage:
            head = answer.about.head("chat.completion.chunk")
            frames.append(_frame({**head, "choices": [], "usage": answer.used}))
        return b"".join(frames) + DONE

    def _chunk(self, delta: Mapping[str, Any], *, reason: str | None = None, **more: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        usage = {"usage": None} if self._usage else {}
        return _frame({**self._answer.about.head("chat.completion.chunk"), "choices": [choice], **usage, **more})

    def _fail(self, error: Mapping[str, Any]) -> bytes:
        self.over = True
        return _frame(error) + DONE


def _frame(data: Mapping[str, Any]) -> bytes:
    return b"data: %b\n\n" % _json(data)


FAULT = _frame(errors.body("The stream broke off by a fault of ours. Send the request again.", "internal_error", 500))
