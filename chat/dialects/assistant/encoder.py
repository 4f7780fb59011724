"""The assistant dialect's SSE frames: what they say follows from the events that came before, and from nothing else."""

from typing import Any

import msgspec

from agents.events import (
    ApprovalDecided,
    ApprovalRequested,
    Event,
    MemberEnded,
    ProviderChanged,
    ReasoningDelta,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunRestarted,
    RunWaiting,
    Snapshot,
    Speaker,
    Status,
    TeamBegan,
    TextDelta,
    ToolFinished,
    ToolStarted,
)

Frame = dict[str, Any]

SPOKEN_AS = {"anthropic": "claude"}
"""What this dialect's clients call a provider that is called otherwise here."""
SHARE = 32
"""Thoughts are told when they have grown by such a part: all of them come each time, and that must not grow dear."""
WAITS = "An action waits for a manager's approval. The answer goes on in this conversation once that is decided."
RESTARTED = "The answer was begun anew after a fault. It goes on in the conversation; read its messages in a moment."

_json = msgspec.json.Encoder().encode


class Encoder:
    """Frames for one reader of one run: names and data of the contract's table.

    The reader is told thoughts as all of them so far, and that a tool began even where it had ended before anybody
    looked. It cannot be told to drop what it has: an answer that begins anew, once something was said of it, ends the
    reader's stream with an error, and `ended` says so.
    """

    __slots__ = ("_began", "_pending", "_provider", "_run", "_said", "_speaker", "_thoughts", "ended")

    def __init__(self, *, conversation_id: str, run_id: str, provider: str) -> None:
        self._run = {"conversation_id": conversation_id, "run_id": run_id}
        self._provider = provider
        self._said = False
        self._speaker: Speaker | None = None
        self._thoughts = self._pending = b""  # each as the inside of a JSON string
        self._began: set[str] = set()
        self.ended = False

    def meta(self) -> bytes:
        """The frame that every stream begins with."""
        return to_sse(None, {"type": "meta", **self._run, "provider": spoken(self._provider)})

    def sse(self, seq: int, event: Event) -> bytes:
        """The event as SSE text; empty where the dialect is silent about it, and after an end.

        Its number is the `id` of its last frame alone: who was cut off between two frames of one event has not had it.
        """
        if self.ended:
            return b""
        if type(event) is TextDelta and event.speaker is None and not self._pending:  # nearly all events are this one
            self._said = True
            return b'id: %d\nevent: text\ndata: {"type":"text","delta":%b}\n\n' % (seq, _json(event.text))
        if type(event) is ReasoningDelta:
            return self._thought(seq, event.text)
        thoughts = self._flushed(None) if self._pending else b""
        frames = self._frames(event)
        return thoughts + b"".join(to_sse(seq if frame is frames[-1] else None, frame) for frame in frames)

    def _frames(self, event: Event) -> list[Frame]:  # noqa: C901  one case an event, none of them deep
        match event:
            case TextDelta():
                return [_text(self._introduced(event))]
            case Snapshot():
                return self._snapshot(event)
            case ToolStarted():
                return self._begin(event.call_id, event.name)
            case ToolFinished():
                end = {"type": "tool_end", "name": event.name, "label": called(event.name), "ok": event.ok}
                return [*self._begin(event.call_id, event.name), end]
            case ApprovalRequested():
                return [_status(f"{called(event.name)} waits for a manager's approval")]
            case ApprovalDecided():
                why = f": {event.reason}" if event.reason else ""
                return [_status(f"{event.who} decided: {event.what}{why}")]
            case Status():
                return [_status(event.label)]
            case ProviderChanged():
                self._provider = event.provider
                return [_status(event.label)]
            case TeamBegan():
                return [_status(f"{', '.join(one['agent_name'] for one in event.members)} answer")]
            case MemberEnded(error=error):
                return [_status(f"{event.agent_name} did not answer: {error}")] if error else []
            case RunRestarted():
                return self._restart(event)
            case RunCompleted() | RunCancelled():
                return self._end(event, event.text)
            case RunWaiting():
                more = {"status": "awaiting_approval", "approvals": event.approvals}
                return self._end(event, event.text or WAITS, **more)
            case RunFailed():
                return [self._error(event.code, event.message, retryable=event.retryable)]
            case _:  # the rest is told by what is told beside it, or this dialect has no word for it
                return []

    def _thought(self, seq: int, text: str) -> bytes:
        self._pending += _json(text)[1:-1]
        self._said = True
        return self._flushed(seq) if len(self._pending) * SHARE >= len(self._thoughts) else b""

    def _flushed(self, seq: int | None) -> bytes:
        """The thoughts that no frame has told yet."""
        delta, self._pending = self._pending, b""
        self._thoughts += delta
        number = b"" if seq is None else b"id: %d\n" % seq
        data = b'{"type":"reasoning","text":"%b","delta":"%b"}' % (self._thoughts, delta)
        return b"%bevent: reasoning\ndata: %b\n\n" % (number, data)

    def _introduced(self, event: TextDelta) -> str:
        """The text, behind the name of who speaks where that is another than before."""
        first, speaker = not self._said, event.speaker
        self._said = True
        if speaker is None or speaker == self._speaker:
            return event.text
        self._speaker = speaker
        return f"{'' if first else chr(10) * 2}{speaker.agent_name}: {event.text}"

    def _snapshot(self, event: Snapshot) -> list[Frame]:
        """All of the answer so far: `assistant` sets what the reader has, and needs not be told to who has nothing."""
        frames: list[Frame] = []
        if event.reasoning:
            self._thoughts = _json(event.reasoning)[1:-1]
            frames.append({"type": "reasoning", "text": event.reasoning, "delta": event.reasoning})
        if event.text:
            frames.append(_whole(event.text) if self._said else _text(event.text))
        self._said = self._said or bool(frames)
        return frames

    def _begin(self, call_id: str, name: str) -> list[Frame]:
        if call_id in self._began:
            return []
        self._began.add(call_id)
        self._said = True
        return [{"type": "tool_start", "name": name, "label": called(name)}]

    def _restart(self, event: RunRestarted) -> list[Frame]:
        self._provider = event.provider or self._provider
        return [self._error("restarted", RESTARTED, retryable=True)] if self._said else []

    def _end(self, event: RunCompleted | RunCancelled | RunWaiting, reply: str, **more: Any) -> list[Frame]:
        self.ended = True
        provider = spoken(event.provider or self._provider)
        return [_whole(reply), {"type": "done", "reply": reply, **self._run, "provider": provider, **more}]

    def _error(self, code: str, message: str, *, retryable: bool) -> Frame:
        self.ended = True
        told = {"error": message, **self._run, "provider": spoken(self._provider)}
        return {"type": "error", **told, "code": code, "retryable": retryable}

    def fault(self) -> bytes:
        """The stream's own fault, as its end."""
        text = "The stream broke off by a fault of ours; the answer goes on in the conversation."
        told = {"error": text, **self._run, "provider": spoken(self._provider)}
        return to_sse(None, {"type": "error", **told, "code": "internal_error", "retryable": True})


def to_sse(seq: int | None, frame: Frame) -> bytes:
    """One frame as SSE text; its `type` is the name of its event too."""
    number = b"" if seq is None else b"id: %d\n" % seq
    return b"%bevent: %b\ndata: %b\n\n" % (number, frame["type"].encode(), _json(frame))


def spoken(provider: str) -> str:
    """A provider as this dialect's clients call it."""
    return SPOKEN_AS.get(provider, provider)


def called(tool: str) -> str:
    """A tool as people read it."""
    return tool.replace("_", " ").capitalize()


def _text(delta: str) -> Frame:
    return {"type": "text", "delta": delta}


def _whole(text: str) -> Frame:
    return {"type": "assistant", "text": text, "delta": ""}


def _status(label: str) -> Frame:
    return {"type": "status", "text": label, "label": label}
