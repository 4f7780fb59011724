"""Trust in figures: how often what an agent proposes with a tool is accepted, how soon, and what may follow from it."""

from dataclasses import dataclass, replace
from datetime import timedelta
from glob import escape
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models.functions import Now
from django.utils import timezone

from accounts.models import Actor, Role, Workspace
from approvals import directory
from approvals.autonomy import Autonomy
from approvals.calls import Call
from approvals.models import Effect, Policy
from approvals.rules import Rules
from approvals.services import audit, policies
from core import ids
from core.errors import Conflict, Forbidden

WINDOW = timedelta(days=90)
MOST = 2_000  # decisions that are looked at, the newest of the window
ENOUGH = 20  # decisions, before anything is offered
RATE = 0.95
OFFER_LASTS = timedelta(days=30)


class NoOffer(Conflict):
    """The figures do not bear the offer (any more), or the rules say something else."""

    code = "no_offer"
    default_detail = "The figures do not bear this offer (any more), or a rule says otherwise."


class MayNotPromote(Forbidden):
    """The person may not widen what agents do unasked."""

    code = "role_required"
    default_detail = "Only an admin of the workspace widens what an agent does unasked."


@dataclass(frozen=True, slots=True)
class Standing:
    """An agent and a tool: how much was decided, accepted and edited in the window, and the median time to decide.

    `accepted` are those that ran, edited ones among them; what was answered in the tool's place counts as decided
    alone. `offer` says whether the agent may be let use the tool unasked for a while.
    """

    agent_id: UUID
    agent: str
    companion: str
    tool: str
    risk: str
    decided: int
    accepted: int
    edited: int
    median_seconds: float
    offer: bool = False
    name: str = ""  # what people call the agent

    @property
    def rate(self) -> float:
        """The share of what was decided that was accepted."""
        return self.accepted / self.decided

    @property
    def earned(self) -> bool:
        """Whether it was accepted often enough, just as it was proposed."""
        return self.decided >= ENOUGH and (self.accepted - self.edited) / self.decided >= RATE


# The two newest-first halves come from one index each, so that the cost ends with MOST and not with the table.
_HALF = """
(SELECT * FROM approvals_approval WHERE workspace_id = %(workspace)s AND status = '{status}' AND id >= %(since)s
    ORDER BY id DESC LIMIT %(most)s)"""
_TABLE = f"""
WITH decided AS (
    SELECT * FROM ({_HALF.format(status="approved")} UNION ALL {_HALF.format(status="rejected")}) AS both_halves
    ORDER BY id DESC LIMIT %(most)s)
SELECT agent_id, (array_agg(agent ORDER BY id DESC))[1], (array_agg(companion ORDER BY id DESC))[1], tool,
    (array_agg(risk ORDER BY id DESC))[1], count(*), count(*) FILTER (WHERE decision = 'approve'),
    count(*) FILTER (WHERE decision = 'approve' AND proposed_arguments IS NOT NULL),
    percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM decided_at - created_at)::float8)
FROM decided WHERE agent_id IS NOT NULL
GROUP BY agent_id, tool ORDER BY 6 DESC, 2, 4 LIMIT 200
"""


def table(workspace_id: UUID) -> list[Standing]:
    """Every agent and tool of the window, the most decided first."""
    parameters: dict[str, Any] = {
        "workspace": workspace_id,
        "since": ids.first_since(timezone.now() - WINDOW),
        "most": MOST,
    }
    with connection.cursor() as cursor:
        cursor.execute(_TABLE, parameters)
        rows = [Standing(*row) for row in cursor.fetchall()]
    names = directory.agents([workspace_id], {row.agent_id for row in rows})
    rows = [replace(row, name=names.get(row.agent_id, row.agent)) for row in rows]
    workspace, held = Workspace.objects.get(pk=workspace_id), policies.current(workspace_id)
    return [_with_offer(row, workspace, held) for row in rows]


@transaction.atomic
def accept_offer(workspace_id: UUID, agent_id: UUID, tool: str, *, by: Actor) -> Policy:
    """Let an agent use a tool unasked, by a narrow rule that ends by itself; raises MayNotPromote or NoOffer."""
    if by.workspace.pk != workspace_id or not by.may(Role.ADMIN):
        raise MayNotPromote
    standing = next((row for row in table(workspace_id) if (row.agent_id, row.tool) == (agent_id, tool)), None)
    if standing is None or not standing.offer:
        raise NoOffer
    name = f"Trusted: {standing.agent} with {tool}"[:200]
    policy = Policy.objects.filter(workspace_id=workspace_id, name=name).first() or Policy(
        workspace_id=workspace_id, name=name
    )
    policy.effect, policy.covers_advisors, policy.enabled, policy.condition = Effect.ALLOW, True, True, ""
    policy.agent, policy.tool, policy.companion, policy.risks = standing.agent, escape(tool), "*", [standing.risk]
    policy.description = f"{standing.accepted} of {standing.decided} proposals had been accepted when it was trusted."
    policy.valid_until = Workspace.objects.values_list(Now() + OFFER_LASTS, flat=True).get(pk=workspace_id)
    policies.save(policy, by=by)
    _tell(standing, policy, by)
    return policy


def _with_offer(row: Standing, workspace: Workspace, held: Rules) -> Standing:
    if not row.earned:
        return row
    call = Call(
        workspace_id=workspace.pk,
        tier=workspace.tier,
        tool=row.tool,
        risk=row.risk,
        arguments={},
        agent=row.agent,
        agent_id=row.agent_id,
        autonomy=Autonomy.ADVISOR,
        companion=row.companion,
    )
    # A rule that denies or asks would win, and one that allows just this is there already.
    settled = any(
        rule.concerns(call) and not rule.condition and (rule.effect != Effect.ALLOW or rule.covers_advisors)
        for rule in held.rules
    )
    return replace(row, offer=not settled)


def _tell(standing: Standing, policy: Policy, by: Actor) -> None:
    told: dict[str, Any] = {
        "tool": standing.tool,
        "policy": policy.name,
        "until": policy.valid_until and policy.valid_until.isoformat(),
        "decided": standing.decided,
        "accepted": standing.accepted,
        "edited": standing.edited,
    }
    audit.record(
        audit.Entry(
            type="agent.promoted",
            workspace_id=by.workspace.pk,
            who=audit.person(by),
            target=("agent", standing.agent_id),
            agent_id=standing.agent_id,
            data=told,
        )
    )
