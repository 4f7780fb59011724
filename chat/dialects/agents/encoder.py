"""The agents' and teams' streams: lines of data alone, a pure function of events."""

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

END = b"data: [DONE]\n\n"
DONE = b'data: {"type":"done","content":""}\n\n' + END
_BREAKS = ((b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"), (b"\xc2\x85", b"\\u0085"))
"""What JSON leaves as it is and some readers of lines take for the end of one."""

_json = msgspec.json.Encoder().encode

Aside = (
    ReasoningDelta
    | ApprovalRequested
    | ApprovalDecided
    | ToolStarted
    | TeamBegan
    | MemberEnded
    | Status
    | ProviderChanged
    | Compacted
    | RunStarted
    | ToolProposed
    | ToolFinished
    | Usage
    | MessageCompleted
    | MemoriesRecalled
)


class Encoder:
    """Lines for one reader of one run of an agent, or of a `team` whose chunks say who speaks.

    Clients of this dialect know of no beginning anew: they add up what they read. So what an attempt repeats of the
    one before is not told twice, and what it says otherwise is told in a paragraph of its own.
    """

    __slots__ = ("_again", "_before", "_heads", "_team", "_told")

    def __init__(self, *, team: bool = False) -> None:
        self._team = team
        self._heads: dict[str, bytes] = {}  # by place in the answer, "" where one agent speaks
        self._told: dict[str, list[str]] = {}
        self._before: dict[str, str] = {}
        self._again: dict[str, str] = {}

    def sse(self, seq: int, event: Event) -> bytes:
        """The event as SSE text, empty where the dialect is silent about it. Events have no numbers here."""
        if type(event) is TextDelta:  # nearly all events are this one
            return self._text(event.text, event.speaker)
        match event:
            case TextDelta():
                return self._text(event.text, event.speaker)
            case RunRestarted():
                return self._begin_anew()
            case Snapshot():
                return self._begin_anew() + self._said("", event.text, _head(None, self._team))
            case RunFailed():
                return line("error", event.message, code=event.code, retryable=event.retryable) + END
            case RunWaiting():
                return line("status", "It waits for approval", approvals=event.approvals) + DONE
            case RunCancelled():
                return line("status", "It was stopped") + DONE
            case RunCompleted():
                return DONE
            case _:
                return _aside(event)

    def _text(self, text: str, speaker: Speaker | None) -> bytes:
        if speaker is None:
            if self._team:
                return b""  # a heading that says who speaks, as each chunk does here
            return self._said("", text, b'data: {"type":"text"')
        head = self._heads.get(speaker.place)
        if head is None:
            head = self._heads[speaker.place] = _head(speaker, self._team)
        return self._said(speaker.place, text, head)

    def _said(self, place: str, text: str, head: bytes) -> bytes:
        if self._before and place in self._before:
            text = self._news(place, text)
        else:
            self._told.setdefault(place, []).append(text)
        return b'%b,"content":%b}\n\n' % (head, _text_json(text)) if text else b""

    def _begin_anew(self) -> bytes:
        self._before = {place: "".join(pieces) for place, pieces in self._told.items()}
        self._again = {}
        return b""

    def _news(self, place: str, text: str) -> str:
        """What of this text its reader has not had."""
        before = self._before[place]
        again = self._again[place] = self._again.get(place, "") + text
        if before.startswith(again):
            return ""
        del self._before[place]
        self._told[place] = [again]
        return again[len(before) :] if again.startswith(before) else f"\n\n{again}"


def line(type_: str, content: str, **more: Any) -> bytes:
    """One event as its line."""
    return b"data: %b\n\n" % _escaped(_json({"type": type_, "content": content, **more}))


def _text_json(text: str) -> bytes:
    found = _json(text)
    return found if text.isascii() else _escaped(found)


def _escaped(found: bytes) -> bytes:
    for raw, escaped in _BREAKS:
        found = found.replace(raw, escaped)
    return found


def _head(speaker: Speaker | None, team: bool) -> bytes:
    """How the line of a chunk of text begins."""
    if not team:
        return b'data: {"type":"text"'
    agent_id, name = (speaker.agent_id, speaker.agent_name) if speaker else (None, None)
    return _escaped(b'data: {"type":"text","agent_id":%b,"agent_name":%b' % (_json(agent_id), _json(name)))


def _who(speaker: Speaker | MemberEnded | None) -> dict[str, Any]:
    return {"agent_id": speaker.agent_id, "agent_name": speaker.agent_name} if speaker else {}


def _aside(event: Aside) -> bytes:
    """What is told beside the text of a run that goes on, empty where nothing is."""
    match event:
        case ReasoningDelta():
            return line("reasoning", event.text, **_who(event.speaker))
        case ApprovalRequested():
            about = {name: getattr(event, name) for name in ("approval_id", "name", "risk", "expires_at")}
            return line("approval", f"{event.name} waits for approval", status="pending", **about)
        case ApprovalDecided():
            about = {name: getattr(event, name) for name in ("approval_id", "by", "reason")}
            return line("approval", f"{event.who}: {event.what}", status=event.decision, **about, **event.beside)
        case ToolStarted():
            return line("status", f"{event.name} is running")
        case TeamBegan():
            return line("status", f"The team answers in mode {event.mode}", mode=event.mode, members=event.members)
        case MemberEnded():
            told = f"{event.agent_name} did not answer: {event.error}"
            return line("error", told, code=event.error, **_who(event)) if event.error else b""
        case Status() | ProviderChanged():
            return line("status", event.label)
        case Compacted():
            return line("status", f"{event.messages} older messages are summarised")
        case RunStarted() | ToolProposed() | ToolFinished() | Usage() | MessageCompleted() | MemoriesRecalled():
            return b""
        case _:
            assert_never(event)


FAULT = line("error", "The stream broke off by a fault of ours; send the message again.", code="internal_error") + END
"""What ends a stream that we break."""
