"""AG-UI's events as SSE frames: a pure function of a run's events.

One thing is open at a time, a text or a thought, and it is closed before anything else is told: clients verify that.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, assert_never

import msgspec

from agents.events import (
    ApprovalDecided,
    ApprovalRequested,
    Compacted,
    Event,
    MemberEnded,
    MemoriesRecalled,
    MessageCompleted,
    ProviderChanged,
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
    TeamBegan,
    TextDelta,
    ToolFinished,
    ToolProposed,
    ToolStarted,
    Usage,
)

VERSION = "1.0"
OWN = "countersign"  # under which the protocol's metadata, and its custom events, have what is ours
TEXT, THOUGHT = "text", "thought"
RESPONSE_SCHEMA = {
    "type": "object",
    "properties": {
        "approved": {"type": "boolean", "description": "Whether the call may run."},
        "reason": {"type": "string", "maxLength": 2000, "description": "Why not."},
    },
    "required": ["approved"],
}
"""What the payload of an interrupt's answer is."""

_json = msgspec.json.Encoder().encode


class Encoder:
    """Frames for one client that follows one run.

    `messages` are those that the client has, `brought` the calls whose results it brought just now, `asked` what the
    run waited for when it came. To a client that is `declared`, which says what version it speaks, fields are told that
    came with version 1.0; older ones may refuse what they do not know.

    What a run says has ids that begin with the run's, so that what a client has of it is known again: where the run
    tells all of its answer anew, the client is told its messages without those.
    """

    def __init__(
        self,
        *,
        thread_id: str,
        run_id: str,
        run: str = "",
        session_id: str = "",
        declared: bool = True,
        messages: Sequence[Mapping[str, Any]] = (),
        brought: Collection[str] = (),
        asked: Iterable[ApprovalRequested] = (),
    ) -> None:
        self._ids = {"threadId": thread_id, "runId": run_id}
        self._run, self._session_id, self._declared = run, session_id, declared
        self._messages = messages
        self._clients = set(brought)
        self._asked = {one.approval_id: one for one in asked}
        self._dirty = any(self._is_ours(one) for one in messages) if run else False
        self._anew = False  # the client was told its messages without ours
        self._from_the_start = False
        self._usage: Usage | None = None
        self._turns: dict[str, str] = {}  # the message of each speaker's turn; of who speaks alone it is ""
        self._open: tuple[str, str, str] | None = None  # kind, speaker's place, message
        self._fast = b""  # how a piece of the open text begins

    def begin(self) -> bytes:
        """The frame that every stream begins with."""
        more: dict[str, Any] = {"protocolVersion": VERSION} if self._declared else {}
        if self._declared and self._run:
            more["metadata"] = {OWN: {"sessionId": self._session_id, "runId": self._run}}
        return _frame("RUN_STARTED", **self._ids, **more)

    def sse(self, seq: int, event: Event) -> bytes:
        """The event's frames; empty where the protocol is silent about it."""
        if self._fast and type(event) is TextDelta and event.speaker is None:  # nearly all events are this one
            return b"%b%b}\n\n" % (self._fast, _json(event.text)) if event.text else b""
        return b"".join(self.frames(seq, event))

    def frames(self, seq: int, event: Event) -> list[bytes]:  # noqa: C901  one case an event, none of them deep
        """The event as frames."""
        match event:
            case RunStarted():
                self._from_the_start = True
                return self._begin_anew()
            case RunRestarted():
                return self._begin_anew()
            case Snapshot():
                frames = self._begin_anew()
                frames += self._say(THOUGHT, seq, event.reasoning)
                return frames + self._say(TEXT, seq, event.text)
            case TextDelta():
                return self._say(TEXT, seq, event.text, event.speaker)
            case ReasoningDelta():
                return self._say(THOUGHT, seq, event.text, event.speaker)
            case ToolProposed():
                return [*self._close(), *self._call(seq, event)]
            case ToolFinished():
                return [*self._close(), *self._result(seq, event)]
            case ApprovalRequested():
                self._asked[event.approval_id] = event
                about = {"approvalId": event.approval_id, "toolCallId": event.call_id, "toolCallName": event.name}
                return [_custom("approval_required", **about, risk=event.risk, expiresAt=event.expires_at)]
            case ApprovalDecided():
                about = {"approvalId": event.approval_id, "decision": event.decision}
                return [_custom("approval_decided", **about, by=event.by, reason=event.reason, **event.beside)]
            case Usage():
                self._usage = event
                return []
            case ToolStarted():
                return [_custom("status", label=f"{event.name} is running")]
            case Status() | ProviderChanged():
                return [_custom("status", label=event.label)]
            case Compacted():
                label = f"{event.messages} older messages are summarised; all of them stay in the session"
                return [_custom("status", label=label)]
            case TeamBegan() | MemberEnded() | MemoriesRecalled() | MessageCompleted():
                return []
            case RunCompleted():
                return [*self._close(), self._finish(event)]
            case RunWaiting():
                return [*self._close(), self._finish(event, self._interrupted(event))]
            case RunCancelled():
                return [*self._close(), self._finish(event, {"type": "cancelled"} if self._declared else None)]
            case RunFailed():
                return [*self._close(), error_frame(event.code, event.message)]
            case _:
                assert_never(event)

    def _say(self, kind: str, seq: int, text: str, speaker: Speaker | None = None) -> list[bytes]:
        """A piece of a text or a thought, which is opened for it where another thing is open or none."""
        if not text:
            return []
        place = speaker.place if speaker else ""
        frames = []
        if self._open is None or self._open[:2] != (kind, place):
            frames = [*self._close(), *self._begin(kind, place, seq, speaker)]
        assert self._open is not None, "it was opened just now"
        event = "TEXT_MESSAGE_CONTENT" if kind == TEXT else "REASONING_MESSAGE_CONTENT"
        return [*frames, _frame(event, messageId=self._open[2], delta=text)]

    def _begin(self, kind: str, place: str, seq: int, speaker: Speaker | None) -> list[bytes]:
        """Open a text, that of the speaker's turn where it has begun, or a thought."""
        self._dirty = True
        if kind == THOUGHT:
            message = f"{self._run}.{seq}.thought"
            self._open = (kind, place, message)
            begun = _frame("REASONING_MESSAGE_START", messageId=message, role="reasoning")
            return [_frame("REASONING_START", messageId=message), begun]
        message = self._turns.setdefault(place, f"{self._run}.{seq}")
        self._open = (kind, place, message)
        if not place:
            self._fast = b'data: {"type":"TEXT_MESSAGE_CONTENT","messageId":%b,"delta":' % _json(message)
        named = {"name": speaker.agent_name} if speaker and self._declared else {}
        return [_frame("TEXT_MESSAGE_START", messageId=message, role="assistant", **named)]

    def _close(self) -> list[bytes]:
        """Close what is open."""
        if self._open is None:
            return []
        kind, _, message = self._open
        self._open, self._fast = None, b""
        if kind == TEXT:
            return [_frame("TEXT_MESSAGE_END", messageId=message)]
        return [_frame(name, messageId=message) for name in ("REASONING_MESSAGE_END", "REASONING_END")]

    def _call(self, seq: int, event: ToolProposed) -> list[bytes]:
        """A call, as a part of the turn's message."""
        self._dirty = True
        if event.client:
            self._clients.add(event.call_id)
        call, parent = {"toolCallId": event.call_id}, self._turns.setdefault("", f"{self._run}.{seq}")
        return [
            _frame("TOOL_CALL_START", **call, toolCallName=event.name, parentMessageId=parent),
            _frame("TOOL_CALL_ARGS", **call, delta=_json(event.arguments).decode()),
            _frame("TOOL_CALL_END", **call),
        ]

    def _result(self, seq: int, event: ToolFinished) -> list[bytes]:
        """What a call gave; what the client brought itself it has, unless all is told anew. The next turn begins."""
        self._turns.pop("", None)
        content = event.summary
        if event.call_id in self._clients:
            if not self._anew:
                return []
            content = self._brought(event.call_id, content)
        ids = {"messageId": f"{self._run}.{seq}", "toolCallId": event.call_id}
        return [_frame("TOOL_CALL_RESULT", **ids, content=content, role="tool")]

    def _begin_anew(self) -> list[bytes]:
        """Let the client drop what it has of this run, where it has anything."""
        frames = self._close()
        self._turns.clear()
        if not self._dirty:
            return frames
        self._dirty, self._anew = False, True
        return [*frames, _frame("MESSAGES_SNAPSHOT", messages=self._without_ours())]

    def _is_ours(self, message: Mapping[str, Any]) -> bool:
        return str(message.get("id")).startswith(f"{self._run}.")

    def _without_ours(self) -> list[Mapping[str, Any]]:
        """The client's messages without those that this run told, and without what came of its calls."""
        calls = [call for one in self._messages if self._is_ours(one) for call in _calls(one)]
        return [one for one in self._messages if not self._is_ours(one) and one.get("toolCallId") not in calls]

    def _brought(self, call_id: str, otherwise: str) -> str:
        """What the client itself says came of a call that it made."""
        told = [one.get("content") for one in self._messages if one.get("toolCallId") == call_id]
        return told[-1] if told and isinstance(told[-1], str) else otherwise

    def _finish(self, event: RunCompleted | RunWaiting | RunCancelled, outcome: dict[str, Any] | None = None) -> bytes:
        """The end; with what it took, where this stream told all of it and the client knows of that."""
        more: dict[str, Any] = {"outcome": outcome} if outcome else {}
        if self._declared and self._from_the_start and self._usage:
            counted = {"inputTokens": self._usage.input_tokens, "outputTokens": self._usage.output_tokens}
            who = {name: value for name in ("provider", "model") if (value := getattr(event, name))}
            more["usage"] = [{**who, **counted}]
        return _frame("RUN_FINISHED", **self._ids, **more)

    def _interrupted(self, event: RunWaiting) -> dict[str, Any] | None:
        """What the run waits for; None where that is the client itself, which has the calls that it makes."""
        interrupts = [self._interrupt(one) for one in event.approvals]
        if not (interrupts or event.calls):
            why = "It is not known what became of a call; a manager looks into it."
            interrupts = [{"id": self._run, "reason": "unknown_outcome", "message": why}]
        return {"type": "interrupt", "interrupts": interrupts} if interrupts else None

    def _interrupt(self, approval_id: str) -> dict[str, Any]:
        asked = self._asked.get(approval_id)
        told = {"id": approval_id, "reason": "tool_call", "responseSchema": RESPONSE_SCHEMA}
        if asked is None:
            return told
        why = f"{asked.name} ({asked.risk}) waits for an approval."
        return {**told, "message": why, "toolCallId": asked.call_id, "expiresAt": asked.expires_at}


def _calls(message: Mapping[str, Any]) -> list[Any]:
    """The ids of the calls that are a part of a client's message, whatever else it may say there."""
    calls = message.get("toolCalls")
    return [one.get("id") for one in calls if isinstance(one, dict)] if isinstance(calls, list) else []


def error_frame(code: str, message: str) -> bytes:
    """The frame that ends a run which failed."""
    return _frame("RUN_ERROR", message=message, code=code)


def _frame(kind: str, **fields: Any) -> bytes:
    return b"data: %b\n\n" % _json({"type": kind, **fields})


def _custom(name: str, **value: Any) -> bytes:
    """What the protocol has no event for."""
    return _frame("CUSTOM", name=f"{OWN}.{name}", value=value)
