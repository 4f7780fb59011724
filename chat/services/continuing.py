"""Going on with a run of which a client was told: which one, what its client brings, and what it said so far."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec

from accounts.models import Actor
from agents.events import (
    ApprovalRequested,
    Event,
    MemberEnded,
    ReasoningDelta,
    Speaker,
    TeamBegan,
    TextDelta,
    ToolFinished,
    ToolProposed,
)
from chat.models import Action, ActionState, Conversation, Run
from chat.querysets import RunQuerySet
from chat.services import actions, client_tools
from chat.transcript import Part


def active(conversation: Conversation) -> Run | None:
    """The run that has the conversation's turn."""
    found: Run | None = _runs(conversation).filter(active=True).first()
    return found


def last(conversation_id: UUID) -> Run | None:
    """The run that has the conversation's turn, else the one that came last, with the message that it answers."""
    rows = Run.objects.filter(conversation=conversation_id).select_related("conversation", "message")
    found: Run | None = rows.order_by("-active", "-id").first()
    return found


def find(conversation: Conversation, run_id: UUID | None) -> Run | None:
    """The conversation's run of this id, or else the one that has its turn."""
    named: Run | None = _runs(conversation).filter(pk=run_id).first() if run_id else None
    return named or active(conversation)


def bring(run: Run, results: Sequence[client_tools.Result], *, by: Actor) -> None:
    """Store what a client brings for the calls that the run still waits for; the other results are passed over.

    Clients send all results that they have seen, those of the server's tools too.
    """
    wanted = {one.call_id for one in actions.called(run.pk)}
    found = {one.call_id: one for one in results if one.call_id in wanted}
    if found:
        client_tools.answer(run.pk, list(found.values()), by=by)


def waits_for(run: Run) -> dict[str, ApprovalRequested]:
    """The requests that the run, or one within it, waits for, by id."""
    return {str(one.approval_id): one.event for one in actions.asked(run.pk)}


def outputs(run: Run) -> Mapping[str, Any]:
    """What the client brought for calls of the run, by call, as far as it was kept whole."""
    found: dict[str, Any] = {}
    rows = Action.objects.filter(run=run, client=True, state=ActionState.SUCCEEDED)
    for call_id, result in rows.values_list("call_id", "result"):
        try:
            found[call_id] = msgspec.json.decode(result)["output"]
        except (msgspec.DecodeError, KeyError, TypeError):
            continue  # it was cut, as what models are told is
    return found


def past(run: Run) -> list[Event]:
    """What the run said and did up to its event `seq`, as events: of an answer that began anew only what stands."""
    return [event for part in run.draft for event in _event(part)] + list(waits_for(run).values())


def _event(part: Part) -> list[Event]:
    speaker = msgspec.convert(part, Speaker) if "place" in part else None
    match part["type"]:
        case "text":
            return [TextDelta(part["text"], speaker)]
        case "reasoning":
            return [ReasoningDelta(part["text"], speaker)]
        case "tool_call":
            return [ToolProposed(part["call_id"], part["name"], part["arguments"])]
        case "tool_result":
            return [ToolFinished(part["call_id"], part["name"], part["ok"], part["summary"])]
        case "team":
            return [TeamBegan(part["mode"], part["members"])]
        case "member":
            return [MemberEnded(**{name: part[name] for name in MemberEnded.__struct_fields__})]
        case _:
            return []


def _runs(conversation: Conversation) -> RunQuerySet:
    return Run.objects.filter(conversation=conversation).select_related("conversation").order_by("-id")
