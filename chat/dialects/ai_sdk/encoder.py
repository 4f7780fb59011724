"""The AI SDK's UI message stream v1: its chunks as a pure function of events.

A chunk has the fields of the contract's list and no other: clients of the first versions throw on a field that they do
not know. Everything else is a `data-…` part, of which a client shows what it wants.
"""

from collections.abc import Iterable, Mapping
from typing import Any, assert_never

import msgspec

from agents.events import (
    FILTERED,
    LENGTH,
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
from chat.dialects.camel import camel

Chunk = dict[str, Any]

DONE = b"data: [DONE]\n\n"
FIRST_WITH_APPROVALS = 6  # of the SDK's versions
REFUSED = ("reject", "rejected", "expired", "cancelled")
RESTARTED = "The answer began anew because a part of the service was lost. It goes on: reconnect to the stream."
EMPTY_STEP: list[Chunk] = [{"type": "start-step"}, {"type": "finish-step"}]
_REASONS = {LENGTH: "length", FILTERED: "content-filter"}

_json = msgspec.json.Encoder().encode


class _Open:
    """A part of text that is open: of which deltas, with which id, and how a delta of it begins."""

    __slots__ = ("delta", "kind", "of", "part")

    def __init__(self, of: type[TextDelta | ReasoningDelta], part: str) -> None:
        self.of, self.part = of, part
        self.kind = "text" if of is TextDelta else "reasoning"
        self.delta = b'data: {"type":"%b-delta","id":%b,"delta":' % (self.kind.encode(), _json(part))


class Encoder:
    """Chunks for one reader of one run, `over` once its last one is out.

    `run` is told with the message. `said` and `calls` are the text and the tool calls that the reader has already, and
    `outputs` what its client brought for calls that it made.
    """

    __slots__ = (
        "_approvals", "_begun", "_calls", "_denied", "_number", "_open", "_outputs", "_reason", "_run",
        "_said", "_sdk", "_settled", "_step", "_tools", "over",
    )  # fmt: skip

    def __init__(
        self,
        *,
        sdk: int,
        run: Mapping[str, str],
        said: str = "",
        calls: Iterable[str] = (),
        outputs: Mapping[str, Any] | None = None,
    ) -> None:
        self._sdk, self._run, self._said, self._calls = sdk, dict(run), [said], set(calls)
        self._outputs = outputs or {}
        self._approvals: dict[str, Chunk] = {}
        self._denied: set[str] = set()
        self._open: dict[str, _Open] = {}  # by place in the answer
        self._number = 0
        self._step = self._settled = self.over = False
        self._tools = bool(self._calls)  # whether the reader's last step has calls
        self._begun = bool(said or self._calls)
        self._reason = "stop"

    def start(self) -> bytes:
        """What every stream begins with."""
        return to_sse({"type": "start", "messageId": self._run["runId"]}, self._about({"status": "running"}))

    def sse(self, seq: int, event: Event) -> bytes:
        """The event's chunks; empty where the dialect is silent about it."""
        if isinstance(event, TextDelta | ReasoningDelta) and not self._settled:  # nearly all are these
            opened = self._open.get(event.speaker.place if event.speaker else "")
            if opened is not None and opened.of is type(event):
                if opened.of is TextDelta:
                    self._said.append(event.text)
                return b"%b%b}\n\n" % (opened.delta, _json(event.text))
        return b"" if self.over else to_sse(*self._chunks(seq, event)) + (DONE if self.over else b"")

    def past(self, events: Iterable[Event]) -> bytes:
        """What was said before the first event that the reader is sent."""
        return b"".join([self.sse(0, event) for event in events])

    def pending(self, event: ApprovalRequested, why: str) -> bytes:
        """What puts a request back to waiting that its reader may not decide, with the code of why not."""
        self._requested(event)
        about = {**self._approvals[event.approval_id], "refused": why}
        return to_sse(*self._asks(about), _approval(about))

    def _chunks(self, seq: int, event: Event) -> list[Chunk]:  # noqa: C901  one case an event, none of them deep
        match event:
            case RunStarted() | MessageCompleted():
                return []
            case TextDelta() | ReasoningDelta():
                return self._text(event)
            case Snapshot():
                return self._snapshot(event)
            case RunRestarted():
                return self._fail(RESTARTED, "restarted", retryable=True) if self._begun else []
            case ToolProposed():
                return self._proposed(event)
            case ApprovalRequested():
                return self._requested(event)
            case ApprovalDecided():
                return self._decided(event)
            case ToolStarted():
                return [_status(label=f"{event.name} is running")]
            case ToolFinished():
                return self._finished(event)
            case TeamBegan():
                return [_data("team", mode=event.mode, members=event.members)]
            case MemberEnded():
                return [_data("member", **_camel(event))]
            case Status():
                self._reason = _REASONS.get(event.code, self._reason)
                return [_status(label=event.label)]
            case ProviderChanged():
                return [_status(**_camel(event))]
            case Compacted():
                label = f"{event.messages} older messages are summarised; all of them stay in the session"
                return [_status(label=label, compacted=event.messages)]
            case MemoriesRecalled():
                return [_status(label="Memories are told to the model", memories=event.memories)]
            case Usage():
                return [_data("usage", id=self._run["runId"], **_camel(event))]
            case RunCompleted():
                return self._end(seq, self._reason, status="completed", answerId=event.message_id)
            case RunWaiting():
                waits = "awaiting_tools" if event.calls else "awaiting_approval"
                return self._end(seq, "tool-calls", status=waits, approvals=event.approvals)
            case RunCancelled():
                return [*self._end(seq, "", status="cancelled"), {"type": "abort"}]
            case RunFailed():
                return self._fail(event.message, event.code, retryable=event.retryable)
            case _:
                assert_never(event)

    def _text(self, event: TextDelta | ReasoningDelta) -> list[Chunk]:
        """A piece of text: each speaker has parts of their own, and another kind of text begins another."""
        place = event.speaker.place if event.speaker else ""
        chunks, opened = self._in_step(), self._open.get(place)
        if opened is None or opened.of is not type(event):
            chunks += self._close(place)
            self._number += 1
            opened = self._open[place] = _Open(type(event), f"{self._run['runId']}-{self._number}")
            if event.speaker:
                chunks.append(_data("speaker", id=opened.part, **_camel(event.speaker)))
            chunks.append({"type": f"{opened.kind}-start", "id": opened.part})
        if opened.of is TextDelta:
            self._said.append(event.text)
        return [*chunks, {"type": f"{opened.kind}-delta", "id": opened.part, "delta": event.text}]

    def _in_step(self) -> list[Chunk]:
        """The step that is open, or a new one: what comes after results is another turn of the model."""
        chunks: list[Chunk] = []
        if self._settled:
            chunks += self._close_step()
        if not self._step:
            chunks.append({"type": "start-step"})
            self._tools = False
        self._step = self._begun = True
        return chunks

    def _close(self, *places: str) -> list[Chunk]:
        ended = [self._open.pop(place) for place in places if place in self._open]
        return [{"type": f"{one.kind}-end", "id": one.part} for one in ended]

    def _close_step(self) -> list[Chunk]:
        chunks = self._close(*self._open)
        if self._step:
            chunks.append({"type": "finish-step"})
        self._step = self._settled = False
        return chunks

    def _snapshot(self, event: Snapshot) -> list[Chunk]:
        """The text so far: what of it the reader lacks, where it goes on from what they have."""
        known = "".join(self._said)
        if not event.text.startswith(known):
            return self._fail(RESTARTED, "restarted", retryable=True)
        chunks: list[Chunk] = []
        if event.reasoning and not self._begun:
            chunks += self._text(ReasoningDelta(event.reasoning))
        more = event.text[len(known) :]
        return [*chunks, *self._text(TextDelta(more))] if more else chunks

    def _proposed(self, event: ToolProposed) -> list[Chunk]:
        call = {"toolCallId": event.call_id, "toolName": event.name}
        available = {"type": "tool-input-available", **call, "input": event.arguments}
        return [*self._called(event.call_id, event.name), available]

    def _called(self, call_id: str, name: str) -> list[Chunk]:
        """The beginning of a call that the reader has not heard of: chunks about one that they lack would throw."""
        if call_id in self._calls:
            return []
        self._calls.add(call_id)
        chunks = [*self._in_step(), *self._close(*self._open)]
        self._tools = True
        return [*chunks, {"type": "tool-input-start", "toolCallId": call_id, "toolName": name}]

    def _requested(self, event: ApprovalRequested) -> list[Chunk]:
        about = {
            "approvalId": event.approval_id,
            "toolCallId": event.call_id,
            "toolName": event.name,
            "risk": event.risk,
            "expiresAt": event.expires_at,
            "status": "pending",
        }
        self._approvals[event.approval_id] = about
        return [*self._called(event.call_id, event.name), *self._asks(about), _approval(about)]

    def _asks(self, about: Chunk) -> list[Chunk]:
        """The request as clients know it that have approvals, of a call that they have."""
        if self._sdk < FIRST_WITH_APPROVALS or about.get("toolCallId") not in self._calls:
            return []
        ids = {"approvalId": about["approvalId"], "toolCallId": about["toolCallId"]}
        return [{"type": "tool-approval-request", **ids}]

    def _decided(self, event: ApprovalDecided) -> list[Chunk]:
        about = self._approvals.get(event.approval_id, {"approvalId": event.approval_id})
        if event.decision in REFUSED and "toolCallId" in about:
            self._denied.add(about["toolCallId"])
        decided = {"status": event.decision, "by": event.by, "reason": event.reason, **event.beside}
        return [_approval({**about, **decided})]

    def _finished(self, event: ToolFinished) -> list[Chunk]:
        """A result, of a call that the reader has; of one that a person refused clients since 6 have a chunk."""
        if event.call_id not in self._calls:
            return []
        self._settled = True
        call = {"toolCallId": event.call_id}
        if event.ok:
            output = self._outputs.get(event.call_id, event.summary)
            return [{"type": "tool-output-available", **call, "output": output}]
        if event.call_id in self._denied and self._sdk >= FIRST_WITH_APPROVALS:
            return [{"type": "tool-output-denied", **call}]
        return [{"type": "tool-output-error", **call, "errorText": event.summary}]

    def _end(self, seq: int, reason: str, **how: Any) -> list[Chunk]:
        """The end of the stream.

        A client that sends results and responses back by itself looks for them in the last step. Where nothing is asked
        of it any more that step must be an empty one, or it would send them again and again; and something must follow
        it, because a client keeps no step that is the last that it hears.
        """
        chunks = self._close_step()
        if self._tools and not (how.get("approvals") or how["status"] == "awaiting_tools"):
            chunks += EMPTY_STEP
        chunks.append(self._about({**how, "cursor": seq}))
        self.over = True
        return [*chunks, self._finish(reason)] if reason else chunks

    def finish(self) -> bytes:
        """The end of a stream that is of no run."""
        self.over = True
        return to_sse(self._finish("stop")) + DONE

    def _finish(self, reason: str) -> Chunk:
        if self._sdk < FIRST_WITH_APPROVALS:  # the first of them throw on the reason
            return {"type": "finish"}
        return {"type": "finish", "finishReason": reason}

    def _fail(self, message: str, code: str, *, retryable: bool) -> list[Chunk]:
        """The end by an error, of which clients show the text; programs read `data-error`."""
        chunks = self._close_step()
        self.over = True
        return [*chunks, *failure(message, code, retryable=retryable)]

    def _about(self, how: Chunk) -> Chunk:
        return _data("run", id=self._run["runId"], **self._run, **how)


def failure(message: str, code: str, *, retryable: bool) -> list[Chunk]:
    """The chunks that end a stream by an error."""
    told = {"code": code, "message": message, "retryable": retryable}
    return [{"type": "data-error", "data": told, "transient": True}, {"type": "error", "errorText": message}]


def to_sse(*chunks: Chunk) -> bytes:
    """Chunks as SSE text."""
    return b"".join([b"data: %b\n\n" % _json(chunk) for chunk in chunks])


def _data(name: str, *, id: str | None = None, **data: Any) -> Chunk:
    """A part of our own; of one with an id a later one takes the place of the one before."""
    return {"type": f"data-{name}", **({"id": id} if id else {}), "data": data}


def _status(**data: Any) -> Chunk:
    """A word on what is going on, which no message keeps."""
    return {**_data("status", **data), "transient": True}


def _approval(about: Chunk) -> Chunk:
    return {"type": "data-approval", "id": about["approvalId"], "data": about}


def _camel(event: msgspec.Struct) -> dict[str, Any]:
    """The event's fields as JavaScript names them."""
    return {camel(field): getattr(event, field) for field in event.__struct_fields__}
