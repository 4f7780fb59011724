"""Rows for the benchmark: whole lives of requests through the services, and a database after months of use."""

from typing import Any
from uuid import UUID

from django.db import connection

from accounts.models import Actor, Membership, Workspace
from agents import brain
from agents.providers.base import ToolCall
from approvals.models import Decision
from approvals.services import approvals
from chat.services import conversations, execution, leases, proposing, runs
from chat.services.execution import Outcome
from chat.services.leases import Claim
from companions.models import Companion

TOOLS = 30
SPREAD = "interval '90 days'"


class Cycle:
    """Whole lives of risky calls: asked for, proposed, countersigned, run, answered; eleven audited changes each."""

    def __init__(self, number: int) -> None:
        workspace = Workspace.objects.get(slug="demo")
        self.worker = f"bench-{number}"
        self.companion = Companion.objects.select_related("agent").get(workspace=workspace, type="devops")
        self.choice = brain.choose(workspace, asked="rehearsal")
        self.member, self.manager = _actor(workspace, "member"), _actor(workspace, "manager")

    def turn(self) -> None:
        """One life; what this worker claims may be what another asked for, which is as good."""
        conversation = conversations.new(self.companion, by=self.member)
        runs.start(conversation, text="Restart web", by=self.member, choice=self.choice)
        for claim in leases.claim(self.worker, limit=1):
            self._propose(claim) if not claim.steps else self._finish(claim)
        taken, _ = execution.claim(self.worker, limit=4)
        for one in taken:
            execution.settle(one, Outcome(True, "restarted", "restarted"))

    def _propose(self, claim: Claim) -> None:
        call = ToolCall("call_1", "service_restart", {"service": "web"})
        parts = [{"type": "tool_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments}]
        step = proposing.Step(
            run_id=claim.run_id,
            attempt=claim.attempt,
            number=1,
            seq=claim.seq + 2,
            parts=parts,
            usage=None,
            calls=[call],
        )
        for asked in proposing.propose(step) or ():
            approvals.decide(asked.approval_id, by=self.manager, decision=Decision.APPROVE)
        for again in leases.claim(self.worker, limit=1):
            self._finish(again) if again.steps else self._propose(again)

    def _finish(self, claim: Claim) -> None:
        leases.finish(
            [
                leases.Outcome(
                    run_id=claim.run_id,
                    conversation_id=claim.conversation_id,
                    workspace_id=claim.workspace_id,
                    attempt=claim.attempt,
                    seq=claim.seq + 5,
                    state=runs.RunState.COMPLETED,
                    parts=[{"type": "text", "text": "Done."}],
                    provider=claim.provider,
                    model=claim.model,
                )
            ]
        )


def _actor(workspace: Workspace, name: str) -> Actor:
    member = Membership.objects.select_related("user").get(
        workspace=workspace, user__email=f"{name}@{workspace.slug}.example"
    )
    return Actor(member.user, workspace, member)


def fill(workspace_id: UUID, *, events: int, requests: int, pending: int) -> None:
    """So many events and requests of one workspace more, spread over ninety days; their chain is not sealed.

    They are made in SQL, and only ever listed: a request among them can be looked at, but nothing would run.
    """
    given: dict[str, Any] = {"workspace": workspace_id, "events": events, "requests": requests, "pending": pending}
    with connection.cursor() as cursor:
        cursor.execute("SELECT array_agg(user_id) FROM accounts_membership WHERE workspace_id = %s", [workspace_id])
        given["people"] = cursor.fetchone()[0]
        cursor.execute("SELECT array_agg(id) FROM agents_agent WHERE workspace_id = %s", [workspace_id])
        given["agents"] = cursor.fetchone()[0]
        cursor.execute(_FILL_EVENTS, given)
        cursor.execute(_FILL_REQUESTS, given)
        connection.commit()
        cursor.execute("VACUUM ANALYZE approvals_auditevent, approvals_auditpayload, approvals_approval")


# Ids are UUIDv7 of the moment that they pretend: 12 digits of milliseconds, the version, 12 of chance, the variant.
_ID = """(lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(md5(n::text || 'a'), 1, 3)
    || '8' || substr(md5(n::text || 'b'), 1, 15))::uuid"""
_FILL_EVENTS = f"""
WITH numbers AS (
    SELECT n, clock_timestamp() - {SPREAD} * (1 - n::float / greatest(1, %(events)s)) AS at
    FROM generate_series(1, %(events)s) AS n),
made AS (
    INSERT INTO approvals_auditevent (id, workspace_id, type, actor_kind, actor_id, person_id, agent_id, session_id,
        target_kind, target_id, at, commitment)
    SELECT {_ID}, %(workspace)s,
        (ARRAY['action.started', 'action.succeeded', 'approval.requested', 'approval.approved', 'run.completed',
            'login.succeeded', 'policy.changed'])[1 + n %% 7],
        CASE WHEN n %% 3 = 0 THEN 'person' ELSE 'agent' END,
        CASE WHEN n %% 3 = 0 THEN (%(people)s)[1 + n %% cardinality(%(people)s)]
            ELSE (%(agents)s)[1 + n %% cardinality(%(agents)s)] END,
        (%(people)s)[1 + n %% cardinality(%(people)s)], (%(agents)s)[1 + n %% cardinality(%(agents)s)],
        md5((n / 12)::text || 's')::uuid, 'action', md5(n::text || 't')::uuid, at, sha256(n::text::bytea)
    FROM numbers RETURNING id)
INSERT INTO approvals_auditpayload (event_id, salt, data)
SELECT id, '\\x00112233445566778899aabbccddeeff', '{{"tool":"service_restart"}}' FROM made"""
_FILL_REQUESTS = f"""
WITH numbers AS (
    SELECT n, n > %(requests)s - %(pending)s AS waits,
        clock_timestamp() - {SPREAD} * (1 - n::float / greatest(1, %(requests)s)) - interval '1 minute' AS at
    FROM generate_series(1, %(requests)s) AS n)
INSERT INTO approvals_approval (id, workspace_id, kind, subject_id, call_id, agent_id, agent, companion,
    requested_by_id, tool, tool_version, risk, risk_rank, arguments, digest, preview, policy_version, policy_name,
    terms, status, version, decision, reason, response, break_glass, created_at, expires_at, decided_at,
    decided_by_id)
SELECT {_ID}, %(workspace)s, 'tool_call', md5(n::text || 'x')::uuid, 'call_1',
    (%(agents)s)[1 + n %% cardinality(%(agents)s)], 'agent-' || n %% 5, 'devops',
    (%(people)s)[1 + n %% cardinality(%(people)s)], 'tool_' || n %% {TOOLS}, 'v1',
    (ARRAY['write', 'external', 'destructive'])[1 + n %% 3], 1 + n %% 3, '{{"service": "web"}}', md5(n::text),
    '{{"sentence": "Restart web."}}', 0, '',
    '{{"quorum_approve": 1, "quorum_reject": 1, "roles": ["manager"], "groups": [], "people": [],
      "escalate_after": null, "escalate_to": null, "request_lasts": 86400,
      "approval_lasts": 3600, "editable": true, "fresh_password": false,
      "digest_required": false, "may_remember": false}}',
    CASE WHEN waits THEN 'pending' WHEN n %% 10 = 0 THEN 'rejected' WHEN n %% 17 = 0 THEN 'expired' ELSE 'approved' END,
    1, CASE WHEN waits OR n %% 17 = 0 THEN '' WHEN n %% 10 = 0 THEN 'reject' ELSE 'approve' END, '', '', false, at,
    CASE WHEN waits THEN clock_timestamp() + interval '1 day' * (n %% 7 + 1) ELSE at + interval '1 day' END,
    CASE WHEN waits THEN NULL ELSE at + interval '1 second' * (n %% 900) END,
    CASE WHEN waits THEN NULL ELSE (%(people)s)[1 + n %% cardinality(%(people)s)] END
FROM numbers"""
