"""What people say of actions: a decision on an approval, the end of a run that waits, a word on an unknown outcome."""

import json
from dataclasses import replace
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now

from accounts.models import Actor, Role
from agents.events import ApprovalDecided, Edited, Event
from agents.providers.base import ToolCall
from agents.tools import registry
from approvals.calls import Behind
from approvals.models import Approval, ApprovalStatus, Decision
from approvals.rules import Ask
from approvals.services import approvals, audit, deciders, endings, policies, rights
from chat.bells import ring_action
from chat.models import Action, ActionState, Run
from chat.services import actions, behind, gate
from chat.services.actions import SUMMARY, refuse
from core.errors import Conflict, Forbidden, NotFound

JUDGED = ("policy_version", "policy_name", "digest", "verdict", "approval_id")


class UnknownAction(NotFound):
    """No action that the caller may see has this id."""

    code = "unknown_action"
    title = "There is no such action"


class NotUnknown(Conflict):
    """Only an action whose outcome is unknown can be resolved."""

    code = "already_resolved"
    default_detail = "Its outcome is not unknown, or somebody has already said what became of it."


class TriedAgain(Conflict):
    """What was looked at is not the action's last attempt."""

    code = "tried_again"
    default_detail = "It was tried again since you looked. Look at what the last attempt did, then say so."


class MayNotResolve(Forbidden):
    """The person may not say what became of an action."""

    code = "role_required"
    default_detail = "A manager who is not the one on whose behalf the action ran says what became of it."


def decided(approval: Approval) -> None:
    """Go on after a decision, whichever; the run and the action are locked."""
    action = Action.objects.select_related("run__conversation__user", "run__workspace", "run__agent").get(
        pk=approval.subject_id
    )
    run = action.run
    if action.state != ActionState.WAITING or action.approval_id != approval.pk:
        return
    events: list[Event] = [told(approval)]
    _settle_by(approval, action, events)
    again = approval.status == ApprovalStatus.SUPERSEDED
    action.save(update_fields=(*actions.OUTCOME, *(JUDGED if again else ())))
    if action.state != ActionState.WAITING:
        audit.record(actions.entry(action, f"action.{actions.told_as(action)}"))
    if action.settled:
        actions.announce(action)
    if run is not None:
        actions.tell(run, events)
        actions.advance(run)


def _settle_by(approval: Approval, action: Action, events: list[Event]) -> None:
    """What the decision makes of the action."""
    match approval.status:
        case ApprovalStatus.APPROVED if approval.decision == Decision.RESPOND:
            action.state, action.code, action.ended_at = ActionState.SUCCEEDED, "responded", Now()
            said = {"answered_by_a_person_instead_of_running": approval.response}
            action.result = json.dumps(said, ensure_ascii=False)
            action.summary = f"answered by a person: {approval.response}"[:SUMMARY]
        case ApprovalStatus.APPROVED:
            action.state = ActionState.ALLOWED
        case ApprovalStatus.REJECTED:
            refuse(action, "rejected", approval.reason)
        case ApprovalStatus.EXPIRED:
            refuse(action, "expired", "Nobody decided in time.")
        case ApprovalStatus.CANCELLED:
            refuse(action, "cancelled", approval.reason)
        case ApprovalStatus.SUPERSEDED:
            _judge_again(action, events)


def _judge_again(action: Action, events: list[Event]) -> None:
    """The rules changed while an action waited: it is judged by those that hold now.

    Not so where its tool changed: no change of a tool releases a call that waits.
    """
    run = action.run
    if run is None or run.ended:
        return refuse(action, "cancelled")
    spec = registry.get(action.tool, action.workspace_id)
    if spec is None or spec.version != action.tool_version:
        return refuse(action, "tool_changed")
    held = policies.current(action.workspace_id)
    judged = gate.judge(
        gate.origin_of(run), ToolCall(action.call_id, action.tool, action.arguments), held, key=action.pk
    )
    if judged.code:
        return refuse(action, judged.code, judged.reason)
    assert judged.verdict is not None, "and a verdict"
    assert judged.call is not None, "on its call"
    action.policy_version, action.policy_name = held.version, judged.verdict.policy
    action.digest = gate.digest_of(action)
    if isinstance(judged.verdict, Ask):
        asked = actions.request(run, action, judged.call, judged.verdict, judged.preview, behind.of(run))
        events.append(asked.event)
    else:
        action.state, action.verdict, action.approval_id = ActionState.ALLOWED, "allow", None
    return None


def told(approval: Approval) -> ApprovalDecided:
    """A request that is over, for those who watch."""
    names, edited = [endings.called(one) for one in deciders.deciders(approval)], deciders.edited(approval)
    return ApprovalDecided(
        str(approval.pk),
        approval.decision or approval.status,
        endings.called(approval.decided_by),
        approval.reason,
        names,
        Edited(endings.called(edited.by), edited.arguments) if edited else None,
    )


def withdraw(run: Run, *, by: Actor | None) -> None:
    """Take back what a waiting run wants, because it is stopped; the caller holds its lock and ends it."""
    who = audit.person(by) if by else audit.SYSTEM
    Run.objects.filter(pk=run.pk).update(cancel_requested_at=Now())
    approvals.cancel(run.pk, who=who, reason="The run was cancelled.")
    undone = ActionState.ALLOWED, ActionState.READY, ActionState.AWAITED
    left = list(Action.objects.filter(run=run, state__in=undone).select_for_update())
    for action in left:
        refuse(action, "cancelled")
        action.save(update_fields=actions.OUTCOME)
        actions.announce(action)
    audit.record(*(actions.entry(action, "action.refused", who) for action in left))


def resolve(action_id: UUID, *, by: Actor, resolution: str, note: str = "", attempt: int | None = None) -> Action:
    """Say what became of an action whose outcome is unknown: `done`, `not_done` (it runs again) or `abandoned`.

    `attempt` is the one that was looked at. Raises UnknownAction, NotUnknown, TriedAgain, MayNotResolve for who is no
    manager or stands behind it, and Denied for who wants to run again what they may not approve.
    """
    with transaction.atomic():
        found = Action.objects.visible_to(by).filter(pk=action_id).first()
        if found is None:
            raise UnknownAction(f"There is no action {action_id}.")
        actions.lock(found.pk)
        action = Action.objects.select_related("run__conversation", "run__agent").get(pk=found.pk)
        who = behind.of(action.run) if action.run else Behind()
        if action.person_id:
            who = replace(who, asked=who.asked | {action.person_id})
        if not by.may(Role.MANAGER) or rights.is_barred(by.user.pk, who, action.workspace_id):
            raise MayNotResolve
        if action.state != ActionState.UNKNOWN:
            raise NotUnknown
        if attempt is not None and attempt != action.attempt:
            raise TriedAgain
        _resolved(action, resolution, note, by)
        action.resolved_by, action.resolution = by.user, resolution
        action.save(update_fields=(*actions.OUTCOME, "resolved_by", "resolution"))
        audit.record(actions.entry(action, "action.resolved", audit.person(by), resolution=resolution, note=note))
        if action.settled:
            actions.announce(action)
        else:
            if action.approval_id:
                approvals.renew(action.approval_id, by=by)
            ring_action(action.pk)
        if action.run is not None:
            actions.advance(action.run)
    return action


def _resolved(action: Action, resolution: str, note: str, by: Actor) -> None:
    """What a person's word makes of the action."""
    said = f" They said: {note}" if note.strip() else ""
    match resolution:
        case "done":
            action.state, action.ended_at = ActionState.SUCCEEDED, Now()
            told = f"The connection broke while it ran; a person looked and confirmed that it was done.{said}"
        case "not_done":
            action.state, action.not_before, action.lease_until = ActionState.READY, Now(), None
            action.perhaps = False
            return
        case "abandoned":
            action.state, action.code, action.ended_at = ActionState.FAILED, "abandoned", Now()
            told = f"It is not known whether it was done, and it was given up.{said}"
        case _:
            raise Conflict("A resolution is done, not_done or abandoned.")
    action.result, action.summary = json.dumps({"by": str(by.user), "told": told}, ensure_ascii=False), told[:SUMMARY]
