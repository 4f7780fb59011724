"""The execution of actions: the last gate, the claim that is committed before the effect, and what came of it.

Decision and execution are two states. A worker that dies between the claim and the outcome leaves an action that is
run again with the same key where its tool honours keys, and whose outcome is `unknown` where it does not.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import DateTimeField, DurationField, ExpressionWrapper, F, Func, Value

from agents.tools import registry
from agents.tools.registry import Context, ToolSpec
from approvals import rules
from approvals.rules import Allow, Observe, Rules
from approvals.services import approvals, audit, grants, policies
from approvals.terms import asks_alike
from chat.bells import ring_action
from chat.models import Action, ActionState
from chat.services import actions, behind, gate, remembering
from core import faults

AGAIN = ("idempotent", "keyed")  # retry classes whose tools may be called again with the same key
LONGEST_PAUSE = 60.0


class Clock(Func):
    """The database's clock as it goes on within a transaction."""

    function = "clock_timestamp"
    output_field = DateTimeField()


@dataclass(frozen=True, slots=True)
class Execution:
    """An action in this worker's hands, `executing` and committed as such."""

    action_id: UUID
    run_id: UUID | None
    attempt: int
    tool: str
    tool_version: str  # the definition that was judged: no other is called
    arguments: dict[str, Any]
    context: Context


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a call; `sent` says of a failure whether the tool can have done something: no, yes or perhaps."""

    ok: bool
    result: str
    summary: str
    code: str = ""
    sent: str = "yes"


def claim(worker: str, *, limit: int, held: Collection[UUID] = ()) -> tuple[list[Execution], set[UUID]]:
    """Take up to `limit` ready actions through the last gate; gives them, and the runs of those that were refused.

    In one transaction: what is refused is refused there, what is taken is `executing` when this returns.
    """
    taken: list[Execution] = []
    refused: set[UUID] = set()
    told: list[audit.Entry] = []
    seen = _Seen()
    with transaction.atomic():
        ready = Action.objects.select_for_update(skip_locked=True, of=("self",)).filter(
            state=ActionState.READY, not_before__lte=Clock()
        )
        rows = (
            ready.exclude(pk__in=held)
            .select_related("run", "workspace", "agent", "conversation__companion")
            .order_by("not_before", "pk")[:limit]
        )
        for action in rows:
            code = _refusal(action, seen)
            if code:
                told.append(_stop(action, code))
                refused |= {action.run_id} if action.run_id else set()
            else:
                taken.append(_take(action))
                told.append(actions.entry(action, "action.started"))
        _begin(taken, worker)
        faults.reach("action.in_audit_write")
        audit.record(*told)
    return taken, refused


@dataclass(slots=True)
class _Seen:
    """What one claim has looked at by now: many actions of one step come from one run, under one set of rules."""

    origins: dict[UUID, gate.Origin] = field(default_factory=dict)
    policies: dict[UUID, Rules] = field(default_factory=dict)
    specs: dict[tuple[UUID, str], ToolSpec | None] = field(default_factory=dict)

    def origin(self, run_id: UUID, action: Action) -> gate.Origin:
        """Where the calls of the action's run come from."""
        if run_id not in self.origins:
            self.origins[run_id] = gate.origin_of_action(action)
        return self.origins[run_id]

    def held(self, workspace_id: UUID) -> Rules:
        """The rules of a workspace."""
        if workspace_id not in self.policies:
            self.policies[workspace_id] = policies.current(workspace_id)
        return self.policies[workspace_id]

    def spec(self, workspace_id: UUID, tool: str) -> ToolSpec | None:
        """What a workspace's tool is, and where it reaches."""
        if (workspace_id, tool) not in self.specs:
            self.specs[workspace_id, tool] = registry.get(tool, workspace_id)
        return self.specs[workspace_id, tool]


def _refusal(action: Action, seen: _Seen) -> str:
    """Why the action may not run now, as a code; empty where it may. Every claim looks at everything anew."""
    run = action.run
    if run is None or run.ended or run.cancel_requested_at:
        return "cancelled"
    spec = seen.spec(action.workspace_id, action.tool)
    if spec is None or spec.version != action.tool_version:
        return "tool_changed"
    origin = seen.origin(run.pk, action)
    if action.tool not in origin.allowed:
        return "unknown_tool"
    if code := gate.switched_off(origin, action.tool):
        return code
    if gate.digest_of(action) != action.digest:
        return "digest_mismatch"
    held = seen.held(action.workspace_id)
    risk = registry.risk(spec, action.arguments, gate.context_of(origin, action.pk))
    call = gate.call_of(origin, action.tool, risk, action.arguments)
    verdict = rules.judge(call, held)
    if isinstance(verdict, Observe):
        return "observed"
    if action.approval_id:
        approval = approvals.holding(action.approval_id)
        if approval is None or approval.digest != action.digest:
            return "approval_not_valid"
        return "" if isinstance(verdict, Allow) or asks_alike(verdict, approval.terms) else "policy_changed"
    if isinstance(verdict, Allow):
        return ""
    remembered = action.grant_id is not None and grants.still_holds(action.grant_id, call, behind.of(run))
    return "" if remembered else "policy_changed"


def _stop(action: Action, code: str) -> audit.Entry:
    """Refuse it; but what was begun before, and may not be begun again, is nobody's to call undone."""
    if action.perhaps and action.retry != "idempotent":
        action.state, action.code = ActionState.UNKNOWN, code
        action.summary = "It was begun, and may not be tried again; a person says what became of it."
    else:
        actions.refuse(action, code)
    action.save(update_fields=actions.OUTCOME)
    actions.announce(action)
    return actions.entry(action, f"action.{action.state}")


def _begin(taken: Sequence[Execution], worker: str) -> None:
    """Let the actions, which are locked, be executed by this worker."""
    Action.objects.filter(pk__in=[one.action_id for one in taken]).update(
        state=ActionState.EXECUTING,
        attempt=F("attempt") + 1,
        worker=worker,
        started_at=Clock(),
        lease_until=_from_now(settings.ACTION_LEASE_SECONDS),
        resolution="",
    )


def _take(action: Action) -> Execution:
    action.attempt += 1
    assert action.run is not None
    context = Context(
        workspace_id=action.workspace_id,
        key=str(action.pk),
        attempt=action.attempt,
        person_id=action.person_id,
        agent_id=action.agent_id,
        companion_id=action.conversation.remembering_id if action.conversation else None,
        conversation_id=action.conversation_id,
        message_id=action.run.message_id,
        recalled=partial(remembering.note, action.run.pk),
    )
    return Execution(
        action_id=action.pk,
        run_id=action.run_id,
        attempt=action.attempt,
        tool=action.tool,
        tool_version=action.tool_version,
        arguments=action.arguments,
        context=context,
    )


def settle(execution: Execution, outcome: Outcome) -> bool:
    """Store what came of it; what comes after its lease was taken over is kept beside. True where it was the word."""
    return bool(settle_all([(execution, outcome)]))


def settle_all(ended: Sequence[tuple[Execution, Outcome]]) -> set[UUID]:
    """Store what came of these in one transaction, each as `settle` does; gives those whose word it was."""
    changed: list[Action] = []
    with transaction.atomic(), audit.together():
        rows = Action.objects.select_for_update().filter(
            pk__in=[execution.action_id for execution, _ in ended], state=ActionState.EXECUTING
        )
        mine = {(row.pk, row.attempt): row for row in rows.order_by("pk")}
        for execution, outcome in ended:
            action = mine.get((execution.action_id, execution.attempt))
            if action is None:
                _keep_late(execution, outcome)
                continue
            _fill(action, outcome)
            action.save(update_fields=actions.OUTCOME)
            type_ = "action.retried" if action.state == ActionState.READY else f"action.{action.state}"
            audit.record(actions.entry(action, type_, summary=outcome.summary))
            changed.append(action)
        faults.reach("action.in_audit_write")
        actions.announce(*(action for action in changed if action.state != ActionState.READY))
        if again := [action for action in changed if action.state == ActionState.READY]:
            ring_action(again[0].pk)
        faults.reach("action.before_ack")
    faults.reach("action.acked")
    return {action.pk for action in changed}


def _fill(action: Action, outcome: Outcome) -> None:
    """What the action becomes by its outcome."""
    action.result, action.summary, action.code = outcome.result, outcome.summary[: actions.SUMMARY], outcome.code
    action.lease_until = None
    if outcome.ok:
        action.state, action.ended_at = ActionState.SUCCEEDED, Clock()
        return
    action.perhaps = action.perhaps or outcome.sent == "perhaps"
    may_again = outcome.sent == "no" or (outcome.sent == "perhaps" and action.retry in AGAIN)
    if may_again and action.attempt < settings.ACTION_MAX_ATTEMPTS:
        action.state, action.not_before = ActionState.READY, _from_now(_pause(action.attempt))
    # That this attempt did nothing says nothing of one before it. What may be repeated at will needs nobody to look.
    elif action.perhaps and action.retry != "idempotent":
        action.state = ActionState.UNKNOWN
    else:
        action.state, action.ended_at = ActionState.FAILED, Clock()


def _keep_late(execution: Execution, outcome: Outcome) -> None:
    """A worker slept past its lease: what it brings changes nothing, and is shown to whoever looks into it."""
    action = Action.objects.select_for_update().filter(pk=execution.action_id).first()
    if action is None:
        return
    action.late_result = f"attempt {execution.attempt}: {outcome.result}"[:20_000]
    action.save(update_fields=["late_result"])
    audit.record(actions.entry(action, "action.late_result", of_attempt=execution.attempt, summary=outcome.summary))


def lapse(limit: int = 100) -> set[UUID]:
    """Actions whose worker died: ready again where their tool honours keys, else unknown; gives their runs."""
    told: list[audit.Entry] = []
    runs: set[UUID] = set()
    with transaction.atomic():
        rows = Action.objects.select_for_update(skip_locked=True, of=("self",)).filter(
            state=ActionState.EXECUTING, lease_until__lt=Clock()
        )
        for action in rows[:limit]:
            _fill(action, Outcome(False, "", "Its worker died while it ran.", "worker_lost", "perhaps"))
            action.save(update_fields=actions.OUTCOME)
            type_ = "action.retried" if action.state == ActionState.READY else f"action.{action.state}"
            told.append(actions.entry(action, type_))
            if action.state == ActionState.READY:
                ring_action(action.pk)
            else:
                actions.announce(action)
            runs |= {action.run_id} if action.run_id else set()
        audit.record(*told)
    return runs


_RENEW = """
UPDATE chat_action AS action SET lease_until = clock_timestamp() + make_interval(secs => %(lease)s)
FROM unnest(%(ids)s::uuid[], %(attempts)s::int[]) AS held(id, attempt)
WHERE action.id = held.id AND action.attempt = held.attempt AND action.state = 'executing'
RETURNING action.id
"""


def renew(held: Sequence[Execution]) -> set[UUID]:
    """Renew the leases of actions at hand; gives those that are still this worker's."""
    with connection.cursor() as cursor:
        cursor.execute(
            _RENEW,
            {
                "lease": settings.ACTION_LEASE_SECONDS,
                "ids": [execution.action_id for execution in held],
                "attempts": [execution.attempt for execution in held],
            },
        )
        return {row[0] for row in cursor.fetchall()}


def _pause(attempt: int) -> float:
    return min(0.5 * 4.0 ** (attempt - 1), LONGEST_PAUSE)


def _from_now(seconds: float) -> Any:
    later = Clock() + Value(timedelta(seconds=seconds), output_field=DurationField())
    return ExpressionWrapper(later, output_field=DateTimeField())
