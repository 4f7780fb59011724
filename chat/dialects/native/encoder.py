"""The native dialect's SSE and WebSocket frames: a pure function of events."""

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
    Status,
    TeamBegan,
    TextDelta,
    ToolFinished,
    ToolProposed,
    ToolStarted,
    Usage,
)

Frame = tuple[str, dict[str, Any]]

_json = msgspec.json.Encoder().encode


class Encoder:
    """Frames for one reader of one run: names and data of the contract's table.

    `session` is told first, by `session()`, from the run's own row; the log's own word of it is then passed over.
    """

    __slots__ = ("_run", "_session")

    def __init__(self, *, session_id: str, run_id: str, companion: str, provider: str, model: str) -> None:
        self._run = {"session_id": session_id, "run_id": run_id}
        self._session = {**self._run, "companion": companion, "provider": provider, "model": model}

    def session(self) -> Frame:
        """The frame that every stream begins with."""
        return "session", self._session

    def sse(self, seq: int, event: Event) -> bytes:
        """The event as SSE text; empty where the dialect is silent about it.

        Its number is the `id` of its last frame alone: who was cut off between two frames of one event has not had it.
        """
        if type(event) is TextDelta and event.speaker is None:  # nearly all events are this one
            return b"id: %d\nevent: delta\ndata: %b\n\n" % (seq, _json({"text": event.text}))
        frames = self.frames(event)
        return b"".join(to_sse(seq if frame is frames[-1] else None, frame) for frame in frames)

    def frames(self, event: Event) -> list[Frame]:  # noqa: C901  one case an event, none of them deep
        """The event as frames, mostly one."""
        match event:
            case RunStarted():
                return []
            case RunRestarted():
                return [("restart", {"attempt": event.attempt, "reason": event.reason})]
            case Snapshot():
                return self._snapshot(event)
            case TextDelta():
                return [("delta", _said(event))]
            case ReasoningDelta():
                return [("reasoning", _said(event))]
            case ToolProposed():
                data = {"call_id": event.call_id, "name": event.name, "arguments": event.arguments}
                return [("tool_call", {**data, "client": True} if event.client else data)]
            case ApprovalRequested():
                return [("approval_required", _fields(event))]
            case ApprovalDecided():
                return [("approval_decided", _decided(event))]
            case ToolStarted():
                return [("status", {"label": f"{event.name} is running"})]
            case ToolFinished():
                return [("tool_result", _fields(event))]
            case TeamBegan():
                return [("team", _fields(event))]
            case MemberEnded():
                return [("member", _fields(event))]
            case Status():
                return [("status", {"label": event.label})]
            case ProviderChanged():
                return [("status", _fields(event))]
            case Compacted():
                label = f"{event.messages} older messages are summarised; all of them stay in the session"
                return [("status", {"label": label, "compacted": event.messages})]
            case MemoriesRecalled():
                count = len(event.memories)
                label = f"{count} {'memory is' if count == 1 else 'memories are'} told to the model"
                return [("status", {"label": label, "memories": event.memories})]
            case Usage():
                return [("usage", _fields(event))]
            case MessageCompleted():
                return []
            case RunCompleted():
                return [self._done(event, event.message_id, "completed")]
            case RunWaiting():
                calls = {"calls": event.calls} if event.calls else {}
                status = "awaiting_tools" if event.calls else "awaiting_approval"
                return [self._done(event, None, status, approvals=event.approvals, **calls)]
            case RunCancelled():
                return [self._done(event, event.message_id, "cancelled")]
            case RunFailed():
                told = {name: value for name, value in _fields(event).items() if name != "budget" or value}
                return [("error", {**told, **self._run})]
            case _:
                assert_never(event)

    def _snapshot(self, event: Snapshot) -> list[Frame]:
        """The text so far in place of what the reader has: `restart` lets it drop that, in words it knows."""
        frames: list[Frame] = [("restart", {"attempt": event.attempt, "reason": "snapshot"})]
        if event.reasoning:
            frames.append(("reasoning", {"text": event.reasoning}))
        return [*frames, ("delta", {"text": event.text})]

    def _done(
        self, event: RunCompleted | RunWaiting | RunCancelled, message_id: str | None, status: str, **more: Any
    ) -> Frame:
        """How it ended, and who answered where that is not whom the stream began with."""
        who = {"provider": event.provider, "model": event.model}
        who = who if event.provider and not who.items() <= self._session.items() else {}
        return "done", {
            "message_id": message_id, **self._run, "status": status, "response": event.text, **who, **more,
        }  # fmt: skip


def to_sse(seq: int | None, frame: Frame) -> bytes:
    """One frame as SSE text."""
    name, data = frame
    number = b"" if seq is None else b"id: %d\n" % seq
    return b"%bevent: %b\ndata: %b\n\n" % (number, name.encode(), _json(data))


def error_frame(code: str, message: str, *, retryable: bool) -> bytes:
    """A fault of the stream itself, as its terminal event; it has no number, so that a reader resumes where it was."""
    data = {"code": code, "message": message, "retryable": retryable}
    return b"event: error\ndata: %b\n\n" % _json(data)


def _said(event: TextDelta | ReasoningDelta) -> dict[str, Any]:
    """A piece of text, and who speaks where several do."""
    return {"text": event.text, **(_fields(event.speaker) if event.speaker else {})}


def _decided(event: ApprovalDecided) -> dict[str, Any]:
    named = ("approval_id", "decision", "by", "reason")
    return {**{name: getattr(event, name) for name in named}, **event.beside}


def _fields(event: msgspec.Struct) -> dict[str, Any]:
    return {name: getattr(event, name) for name in event.__struct_fields__}
