"""A step's calls become actions, each with its verdict: what is allowed gets ready, what must be asked about waits."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, Q

from agents.providers.base import ToolCall
from approvals.calls import Behind
from approvals.models import Approval
from approvals.rules import Allow, Ask
from approvals.services import approvals, audit, policies
from chat.models import Action, ActionState, Run, RunState
from chat.services import actions, behind, gate, ledger
from chat.services.actions import Asked, Called
from chat.services.background import BY_SCHEDULE
from chat.services.ledger import Spent
from chat.transcript import Part
from core import faults, ids


@dataclass(frozen=True, slots=True)
class Step:
    """One turn of a model that ended in calls; `seq` covers everything said and proposed so far, as `parts` does.

    Of `late` calls those who watch are told when the step is stored: an event each, after `seq`.
    """

    run_id: UUID
    attempt: int
    number: int
    seq: int
    parts: Sequence[Part]
    usage: dict[str, Any] | None
    calls: Sequence[ToolCall]
    late: int = 0
    spent: Sequence[Spent] = ()


def propose(step: Step) -> list[Asked | Called] | None:
    """Store a step's calls with their verdicts, all in one transaction: from here on nothing is asked or run twice.

    Gives the calls that wait for a manager or for the client, for whom the run lets go of its worker; or None where the
    run is not this worker's any more. Where no call waits for a manager, those that are allowed are ready when this
    returns. Raises Stopping, with nothing stored, where calls would wait and the run is to stop.
    """
    while True:
        run = Run.objects.select_related(
            "workspace", "agent", "conversation__companion", "conversation__user", "behind"
        ).get(pk=step.run_id)
        held = policies.current(run.workspace_id)
        origin = gate.origin_of(run)
        keys = [ids.new() for _ in step.calls]
        judged = [gate.judge(origin, call, held, key=key) for call, key in zip(step.calls, keys, strict=True)]
        with transaction.atomic(), audit.together():
            mine = Run.objects.select_for_update().filter(pk=run.pk, attempt=step.attempt, state=RunState.RUNNING)
            if not mine.exists():
                return None
            if policies.current(run.workspace_id).version != held.version:
                continue  # judged by rules that no longer hold
            waiting = _store(run, step, dict(zip(keys, judged, strict=True)), held.version)
            faults.reach("step.before_commit")
        faults.reach("step.committed")
        if waiting and policies.current(run.workspace_id).version != held.version:
            policies.rejudge(run.workspace_id, agent_id=run.agent_id)  # the rules changed while this was stored
        return waiting


def _store(run: Run, step: Step, judged: dict[UUID, gate.Judged], policy_version: int) -> list[Asked | Called]:
    rows = [_action(run, step, place, key, one, policy_version) for place, (key, one) in enumerate(judged.items(), 1)]
    waiting: list[Asked] = []
    asked_before = Approval.objects.filter(run_id=run.pk).count()
    asks = any(isinstance(one.verdict, Ask) and not one.code for one in judged.values())
    who = behind.of(run) if asks else Behind()
    for action, one in zip(rows, judged.values(), strict=True):
        if isinstance(one.verdict, Ask) and not one.code:
            asked = _ask(run, action, one, one.verdict, who, before=asked_before + len(waiting))
            if asked is not None:
                waiting.append(asked)
    Action.objects.bulk_create(rows)
    audit.record(*(actions.entry(row, f"action.{actions.told_as(row)}") for row in rows))
    for refused in (row for row in rows if row.settled):
        actions.announce(refused)
    stored = {"draft": list(step.parts), "steps": step.number, "usage": step.usage}
    stored["spent"] = ledger.written(step.spent)
    called = [Called(row.call_id, row.tool, row.arguments) for row in rows if row.state == ActionState.AWAITED]
    if waiting or called:
        seq = step.seq + step.late + len(waiting) + 1  # the events that tell of it: see Runner
        state = RunState.WAITING_TOOLS if called else RunState.WAITING_APPROVAL
        actions.hold(run, seq=seq, state=state, **stored)
    else:
        Run.objects.filter(pk=run.pk).update(seq=step.seq, **stored)
    if not waiting:
        actions.make_ready(rows)
    return [*waiting, *called]


def _action(run: Run, step: Step, place: int, key: UUID, judged: gate.Judged, policy_version: int) -> Action:
    """The row of a call with its verdict; what is asked about is asked afterwards."""
    spec, verdict = judged.spec, judged.verdict
    action = Action(
        id=key,
        workspace_id=run.workspace_id,
        run=run,
        conversation=run.conversation,
        agent=run.agent,
        person_id=run.person_id,
        companion_type=run.companion_type,
        step=step.number,
        place=place,
        call_id=judged.proposed.call_id,
        tool=judged.proposed.name[:200],
        tool_version=spec.version if spec else "",
        risk=judged.call.risk if judged.call else spec.risk if spec else "",
        retry=spec.retry if spec else "",
        arguments=judged.arguments,
        policy_version=policy_version,
        policy_name=verdict.policy if verdict else "",
        verdict="deny" if judged.code else "allow" if isinstance(verdict, Allow) else "ask",
        state=ActionState.AWAITED if judged.client else ActionState.ALLOWED,
        client=judged.client,
    )
    if judged.code:
        actions.refuse(action, judged.code, judged.reason)
    elif spec is not None:
        action.digest = gate.digest_of(action)
    return action


def _ask(run: Run, action: Action, judged: gate.Judged, ask: Ask, who: Behind, *, before: int) -> Asked | None:
    """Ask for an action's approval, unless one is remembered that covers it, people said no, or it asked too often."""
    assert judged.call is not None, "a call that is asked about was judged"
    # What is remembered was decided for the person alone: it covers nothing where others spoke, or by a key of theirs.
    person_id = run.conversation.user_id
    shared = person_id is not None and who.asked != {person_id}
    grant = None if shared else approvals.use_grant(judged.call, action.tool_version, who)
    if grant is not None:
        action.grant_id = grant.pk
        return None
    if _said_no(run, action):
        actions.refuse(action, gate.SAID_NO)
        return None
    if before >= ask.most_per_run:
        actions.refuse(action, "too_many_requests")
        return None
    action.state = ActionState.WAITING
    return actions.request(run, action, judged.call, ask, judged.preview, who)


def _said_no(run: Run, action: Action) -> bool:
    """Whether an agent that wakes by its schedule asks for what people rejected, and it came to at each waking since.

    A waking that came to its end without this call ends that: what was is over then, and what comes is new.
    """
    if run.parent_id is not None or not _woke_by_itself(run):
        return False
    no = Action.objects.filter(run=OuterRef("pk"), tool=action.tool, arguments=action.arguments)
    wakings = Run.objects.filter(
        conversation__agent=run.agent_id,
        conversation__user=None,
        conversation__lt=run.conversation_id,
        parent=None,
        message__metadata__contains=BY_SCHEDULE,
    ).annotate(said_no=Exists(no.filter(code__in=("rejected", gate.SAID_NO))))
    counted = wakings.filter(Q(state=RunState.COMPLETED) | Q(said_no=True)).order_by("-conversation_id")
    return counted.values_list("said_no", flat=True).first() is True


def _woke_by_itself(run: Run) -> bool:
    return run.conversation.user_id is None and BY_SCHEDULE.items() <= run.message.metadata.items()


def hold_for_people(run_id: UUID, attempt: int, seq: int, parts: Sequence[Part]) -> bool:
    """Let a run wait because it is not known what became of an action of its; False where it need not, or is not ours.

    `seq` covers all that was said; the event that tells of the wait is the next. Raises Stopping.
    """
    with transaction.atomic():
        mine = Run.objects.select_for_update(of=("self",)).filter(pk=run_id, attempt=attempt, state=RunState.RUNNING)
        run = mine.select_related("conversation").first()
        if run is None:
            return False
        actions.hold(run, seq=seq + 1, draft=list(parts))
        run.refresh_from_db()
        actions.advance(run)  # somebody may have said it in this very moment
    return True
