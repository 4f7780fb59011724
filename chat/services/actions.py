"""Actions as rows: what each may become, what the log and the watchers are told of it, and when a run goes on.

Locks are taken in one order: conversation, run, action, approval. `proposing` makes actions, `verdicts` hears what
people say of them, `execution` runs them.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import F
from django.db.models.functions import Now

from accounts.models import User, Workspace
from agents.events import ApprovalRequested, Event, RunWaiting, Status, ToolProposed
from approvals import live
from approvals.calls import Behind, Call
from approvals.models import Approval
from approvals.preferences import UNKNOWN
from approvals.rules import Ask
from approvals.services import approvals, audit, outbox, veil
from chat import eventlog
from chat.bells import ring_action, ring_run
from chat.models import WAITING, Action, ActionState, Run, RunState
from chat.services import gate
from chat.transcript import Part
from core import commits

KIND = "tool_call"
OPEN = (ActionState.WAITING, ActionState.UNKNOWN)
OUTCOME = (
    "state", "code", "result", "summary", "ended_at", "lease_until", "not_before", "perhaps",
)  # fmt: skip
"""What changes of an action when something comes of it."""
SUMMARY = 300


class Stopping(Exception):
    """Somebody asked that the run stop: it waits for nobody any more, and its worker ends it."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A call that waits for a manager."""

    approval_id: UUID
    call_id: str
    tool: str
    risk: str
    expires_at: datetime

    @property
    def event(self) -> ApprovalRequested:
        """The same, for those who watch."""
        at = self.expires_at.isoformat().replace("+00:00", "Z")
        return ApprovalRequested(str(self.approval_id), self.call_id, self.tool, self.risk, at)


@dataclass(frozen=True, slots=True)
class Called:
    """A call that waits for the client, which makes it."""

    call_id: str
    tool: str
    arguments: dict[str, Any]

    @property
    def event(self) -> ToolProposed:
        """The same, for those who watch."""
        return ToolProposed(self.call_id, self.tool, self.arguments, client=True)

    @property
    def told(self) -> dict[str, Any]:
        """The same as `RunWaiting` lists it."""
        return {"call_id": self.call_id, "name": self.tool, "arguments": self.arguments}


def request(run: Run, action: Action, call: Call, ask: Ask, preview: Any, behind: Behind) -> Asked:
    """Ask for an action's approval, which nobody decides who stands `behind` it; its row is the caller's to store."""
    approval = approvals.request(
        call=call,
        ask=ask,
        kind=KIND,
        subject_id=action.pk,
        call_id=action.call_id,
        tool_version=action.tool_version,
        digest=action.digest,
        preview=dict(preview),
        policy_version=action.policy_version,
        requested_by=run.conversation.user or run.behind,
        key_maker=run.behind if run.conversation.user else None,
        behind=behind,
    )
    action.approval_id = approval.pk
    return Asked(approval.pk, action.call_id, action.tool, action.risk, approval.expires_at)


def refuse(action: Action, code: str, reason: str = "") -> None:
    """Set what a refused action says; it is the caller who stores it."""
    reason = reason or gate.REFUSALS.get(code, "")
    action.state, action.code, action.ended_at = ActionState.REFUSED, code[:60], Now()
    action.result = json.dumps({"refused": code, "reason": reason}, ensure_ascii=False)
    action.summary = f"refused: {reason or code}"[:SUMMARY]


def hold(run: Run, *, seq: int, state: RunState = RunState.WAITING_APPROVAL, **stored: Any) -> None:
    """Let a run wait for people, and store what it said: no worker has it, and that it left one is nobody's death.

    The caller holds the run's lock. Raises Stopping where the run is to stop: who asked for that left it to the worker,
    and nobody would end a run that has none.
    """
    wanted = Run.objects.filter(pk=run.pk, cancel_requested_at=None)
    if not wanted.update(state=state, seq=seq, lease_until=None, given_back=F("given_back") + 1, **stored):
        raise Stopping
    audit.record(run_entry(run, "run.waiting"))
    if run.parent_id:
        commits.after(eventlog.tell_settled, run.parent_id)


def advance(run: Run) -> None:
    """Let a waiting run's actions run once no person is waited for, and it go on once its client isn't either.

    The caller holds the run's lock.
    """
    if not run.waits or run.cancel_requested_at:
        return
    left = Action.objects.filter(run=run, state__in=(*OPEN, ActionState.AWAITED)).values_list("state", flat=True)
    if not {*left} - {ActionState.AWAITED}:
        make_ready(Action.objects.filter(run=run, state=ActionState.ALLOWED))
    if not left:
        _go_on(run)
        return
    run.state = RunState.WAITING_TOOLS if ActionState.AWAITED in left else RunState.WAITING_APPROVAL
    Run.objects.filter(pk=run.pk).update(state=run.state)


def _go_on(run: Run) -> None:
    Run.objects.filter(pk=run.pk).update(state=RunState.QUEUED, resumed=True, not_before=Now())
    run.state = RunState.QUEUED
    audit.record(run_entry(run, "run.resumed"))
    ring_run(run.pk)
    wake_above(run)


def wake_above(run: Run) -> None:
    """Let the run go on that waits for this one, which goes on or has ended; the caller holds this one's lock."""
    above = waiting_above(run)
    if above is None or above.cancel_requested_at:
        return
    if not Action.objects.filter(run=above, state__in=(ActionState.WAITING, ActionState.AWAITED)).exists():
        _go_on(above)


def waiting_above(run: Run) -> Run | None:
    """The run that asked for this one, locked, if it waits."""
    if run.parent_id is None:
        return None
    rows = Run.objects.select_for_update().filter(pk=run.parent_id, state__in=WAITING)
    return rows.first()


def make_ready(actions: Iterable[Action]) -> None:
    """Let those of the actions run that are allowed to."""
    ready = [action for action in actions if action.state == ActionState.ALLOWED]
    if ready:
        ready_ids = [action.pk for action in ready]
        Action.objects.filter(pk__in=ready_ids).update(state=ActionState.READY, not_before=Now())
        audit.record(*(entry(action, "action.ready") for action in ready))
        ring_action(ready[0].pk)


def asked(run_id: UUID) -> list[Asked]:
    """The calls of a run, and of those that work within it, that wait for a manager."""
    rows = Approval.objects.pending().filter(run_id__in=with_those_below(run_id)).order_by("id")
    return [Asked(row.pk, row.call_id, row.tool, row.risk, row.expires_at) for row in rows]


def called(run_id: UUID) -> list[Called]:
    """The calls of a run that wait for its client, in the model's order."""
    rows = Action.objects.filter(run=run_id, state=ActionState.AWAITED).order_by("step", "place")
    return [Called(row.call_id, row.tool, row.arguments) for row in rows]


def standing(run: Run) -> RunWaiting | Status:
    """What those are told who watch a waiting run, of which the client has brought something: what else it waits for.

    The caller holds its lock.
    """
    left, people = called(run.pk), Action.objects.filter(run=run, state__in=OPEN).exists()
    if not (left or people):
        return Status("the results of the client are here")
    approvals = [str(one.approval_id) for one in asked(run.pk)]
    return RunWaiting(approvals, run.said, run.provider, run.model, [one.told for one in left])


def with_those_below(run_id: UUID) -> list[UUID]:
    """The run, and all that work within it and go on."""
    found, level = [run_id], [run_id]
    while level:
        level = list(Run.objects.filter(parent__in=level, ended_at=None).values_list("pk", flat=True))
        found += level
    return found


def of_step(run_id: UUID, calls: Sequence[str]) -> list[Action]:
    """The actions of these calls, in the model's order."""
    return list(Action.objects.filter(run_id=run_id, call_id__in=calls).order_by("step", "place"))


def states(run_id: UUID, calls: Sequence[str]) -> list[tuple[str, str, ActionState]]:
    """How the actions of these calls stand, without what they brought: call, tool and state, in the model's order."""
    rows = Action.objects.filter(run_id=run_id, call_id__in=calls).order_by("step", "place")
    found = rows.values_list("call_id", "tool", "state")
    return [(call_id, tool, ActionState(state)) for call_id, tool, state in found]


def as_part(action: Action) -> Part:
    """A settled action as the transcript has it."""
    ok = action.state == ActionState.SUCCEEDED
    content = action.result
    if action.approval_id and ok:
        # Also in a request that was judged anew since: its edit is what the next one asked for.
        edited = Approval.objects.filter(subject_id=action.pk).exclude(proposed_arguments=None).exists()
        if edited:
            ran = json.dumps(action.arguments, ensure_ascii=False)
            content = f"An approver edited the arguments. What ran: {ran}\n{content}"
    return {
        "type": "tool_result",
        "call_id": action.call_id,
        "name": action.tool,
        "ok": ok,
        "summary": action.summary,
        "content": content,
    }


def parts_of_step(run_id: UUID, calls: Sequence[str]) -> list[Part]:
    """The actions of these calls, settled, as the transcript has them."""
    return [as_part(action) for action in of_step(run_id, calls)]


def tell(run: Run, events: Sequence[Event]) -> None:
    """Tell those who watch a run that no worker has, or one above it that waits for it.

    Their locks are held, so the numbers are ours. A team's run notes how far it has told what its member said.
    """
    below: Run | None = None
    above: Run | None = run
    while above is not None and above.waits:
        first = above.seq + 1
        above.seq += len(events)
        if below is not None and above.team is not None:
            above.team["heard"] = {**above.team.get("heard", {}), str(below.pk): below.seq}
        Run.objects.filter(pk=above.pk).update(seq=above.seq, **({"team": above.team} if above.team else {}))
        batch = eventlog.Batch(str(above.pk), str(above.conversation_id), first, list(events))
        commits.after(eventlog.append, batch)
        below, above = above, waiting_above(above)


def lock(action_id: UUID) -> None:
    """Lock the run that an action belongs to, then the action."""
    rows = Action.objects.filter(pk=action_id)
    list(Run.objects.select_for_update().filter(pk__in=rows.values("run_id")).values_list("pk"))
    list(rows.select_for_update().values_list("pk"))


def announce(*ended: Action) -> None:
    """Tell those outside, and whoever looks at their approvals, that actions came to their end."""
    for workspace_id in {action.workspace_id for action in ended}:
        live.changed(workspace_id)
        told = [_announcement(action) for action in ended if action.workspace_id == workspace_id]
        outbox.put(workspace_id, "action.finished", *told)
    for action in ended:
        if action.state == ActionState.UNKNOWN:
            _wonder(action)


def _wonder(action: Action) -> None:
    """Tell people that nobody knows what became of it: whose it is, and whoever reads the workspace's channels."""
    whose = [outbox.Audience(UNKNOWN, User.objects.filter(pk=action.person_id))] if action.person_id else []
    summary = veil.over(action.summary, workspace_id=action.workspace_id)
    home = Workspace.objects.values_list("name", flat=True).get(pk=action.workspace_id)
    told = {**_announcement(action), "summary": summary, "workspace": home}
    outbox.put(action.workspace_id, "action.unknown", told, to=whose)


def _announcement(action: Action) -> dict[str, Any]:
    return {
        "action_id": str(action.pk),
        "approval_id": str(action.approval_id) if action.approval_id else None,
        "run_id": str(action.run_id) if action.run_id else None,
        "tool": action.tool,
        "state": action.state,
        "code": action.code,
        "summary": action.summary,
    }


def told_as(action: Action) -> str:
    """The name that the audit log has for an action's state."""
    return "observed" if action.code == "observed" else str(action.state)


def entry(action: Action, type_: str, who: audit.Who | None = None, **more: Any) -> audit.Entry:
    """What the audit log is told of an action."""
    told = {"tool": action.tool, "call_id": action.call_id, "digest": action.digest, "attempt": action.attempt}
    if type_ in ("action.allowed", "action.waiting", "action.awaited", "action.refused", "action.observed"):
        told |= {"arguments": action.arguments, "policy": action.policy_name, "policy_version": action.policy_version}
    return audit.Entry(
        type=type_,
        workspace_id=action.workspace_id,
        who=who or audit.agent(action.agent_id, action.person_id, _slug(action)),
        target=("action", action.pk),
        agent_id=action.agent_id,
        session_id=action.conversation_id,
        data={
            **told,
            "run_id": str(action.run_id) if action.run_id else None,
            "approval_id": str(action.approval_id) if action.approval_id else None,
            **({"code": action.code} if action.code else {}),
            **more,
        },
    )


def run_entry(run: Run, type_: str) -> audit.Entry:
    """What the audit log is told of a run."""
    return audit.Entry(
        type=type_,
        workspace_id=run.workspace_id,
        who=audit.agent(run.agent_id, run.person_id, _slug(run)),
        target=("run", run.pk),
        agent_id=run.agent_id,
        session_id=run.conversation_id,
    )


def _slug(row: Action | Run) -> str:
    """The agent's slug where it is at hand; it is worth no query."""
    return row.agent.slug if "agent" in row._state.fields_cache else ""
