"""A database after months of use: events and requests of two workspaces, made in SQL.

The events are sealed by the sealer itself and hold before `audit verify`. The requests are only ever listed and looked
at: there is nothing behind them that could run. Imports models: `countersigning.connect` comes first.
"""

from typing import Any

from django.db import connection

from accounts.models import Membership, Role, User, Workspace
from agents.models import Agent
from benchmarks import recording

DAYS = 90
PEOPLE = 20  # of whom a fifth are in the second workspace, as is a fifth of everything
TOOLS = ["service_restart", *(f"tool_{number}" for number in range(1, 30))]
SHARES = {"demo": 0.8, "other": 0.2}
RARE = "tool_29"  # of one request in fifty


def people() -> None:
    """The people, save those of the demo; one in five is a manager."""
    workspaces = {row.slug: row for row in Workspace.objects.filter(slug__in=SHARES)}
    for number in range(PEOPLE):
        workspace = workspaces["other" if number % 5 == 4 else "demo"]
        user = User.objects.create(email=f"person{number}@bench.example", name=f"Person {number}")
        role = Role.MANAGER if number % 5 == 0 else Role.MEMBER
        Membership.objects.create(workspace=workspace, user=user, role=role)


def fill(*, events: int, requests: int, pending: int) -> int:
    """So many events and requests more, of which so many wait, spread over ninety days; returns what was sealed."""
    for slug, share in SHARES.items():
        workspace = Workspace.objects.get(slug=slug)
        members = Membership.objects.filter(workspace=workspace, user__email__endswith="@bench.example")
        given: dict[str, Any] = {
            "workspace": workspace.pk,
            "events": round(events * share),
            "requests": round(requests * share),
            "pending": round(pending * share),
            "people": list(members.order_by("user__email").values_list("user", flat=True)),
            "agents": list(Agent.objects.filter(workspace=workspace).order_by("slug").values_list("pk", flat=True)),
            "tools": TOOLS,
        }
        with connection.cursor() as cursor:
            cursor.execute("SELECT setseed(0.5)")
            cursor.execute(_EVENTS, given)
            cursor.execute(_REQUESTS, given)
    sealed = recording.sealed()
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("CHECKPOINT")
    return sealed


# Ids are UUIDv7 of the moment that they pretend: 12 digits of milliseconds, the version, chance, the variant, chance.
_ID = """(lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(md5(random()::text), 1, 3)
    || '8' || substr(md5(random()::text), 1, 15))::uuid"""
_EVENTS = f"""
WITH drawn AS MATERIALIZED (
    SELECT n, clock_timestamp() - interval '{DAYS} days' * (1 - n::float / %(events)s) AS at,
        1 + floor(cardinality(%(people)s::uuid[]) * random() ^ 2)::int AS person,
        1 + floor(cardinality(%(agents)s::uuid[]) * random())::int AS agent,
        floor(20 * random())::int AS what, random() AS who
    FROM generate_series(1, %(events)s) AS n),
made AS MATERIALIZED (
    SELECT {_ID} AS id, at, (ARRAY['run.started', 'run.waiting', 'run.resumed', 'run.completed', 'run.completed',
            'action.allowed', 'action.waiting', 'action.ready', 'action.started', 'action.started', 'action.succeeded',
            'action.succeeded', 'action.failed', 'approval.requested', 'approval.approved', 'approval.approved',
            'approval.rejected', 'approval.expired', 'login.succeeded', 'login.failed'])[1 + what] AS type,
        CASE WHEN what > 16 THEN 'system' WHEN what > 12 OR who < 0.1 THEN 'person' ELSE 'agent' END AS actor_kind,
        (%(people)s::uuid[])[person] AS person_id, (%(agents)s::uuid[])[agent] AS agent_id,
        md5((n / 12)::text || 'session')::uuid AS session_id, md5((n / 3)::text || 'target')::uuid AS target_id,
        decode(md5(n::text || 'salt'), 'hex') AS salt,
        format('{{"actor":"person%%s@bench.example","arguments":{{"service":"web"}},"call_id":"call_1","digest":"%%s",'
            '"policy":"Restarts","policy_version":4,"request_id":"%%s","tool":"tool_%%s"}}',
            person, md5(n::text) || md5(n::text || 'd'), md5(n::text || 'r'), n %% 30) AS data
    FROM drawn),
events AS (
    INSERT INTO approvals_auditevent (id, workspace_id, type, actor_kind, actor_id, person_id, agent_id, session_id,
        target_kind, target_id, at, commitment)
    SELECT id, %(workspace)s, type, actor_kind,
        CASE actor_kind WHEN 'person' THEN person_id WHEN 'agent' THEN agent_id END,
        CASE WHEN actor_kind <> 'system' THEN person_id END, CASE WHEN actor_kind = 'agent' THEN agent_id END,
        session_id, 'action', target_id, at, sha256(salt || convert_to(data, 'UTF8')) FROM made),
payloads AS (
    INSERT INTO approvals_auditpayload (event_id, salt, data) SELECT id, salt, data FROM made)
INSERT INTO approvals_auditunsealed (workspace_id, event_id) SELECT %(workspace)s, id FROM made"""
_TERMS = """{"quorum_approve": 1, "quorum_reject": 1, "roles": ["manager"], "groups": [], "people": [],
    "escalate_after": null, "escalate_to": null, "request_lasts": 86400, "approval_lasts": 3600, "editable": true,
    "fresh_password": false, "digest_required": false, "may_remember": false}"""
_REQUESTS = f"""
WITH drawn AS MATERIALIZED (
    SELECT n, n > %(requests)s - %(pending)s AS waits, random() AS fate, floor(3 * random() ^ 2)::int AS risk,
        clock_timestamp() - interval '1 minute' - interval '{DAYS} days' * (1 - n::float / %(requests)s) AS at,
        interval '1 second' * (5 + 3600 * random() ^ 4) AS took,
        1 + floor(cardinality(%(people)s::uuid[]) * random() ^ 2)::int AS asker,
        1 + floor(cardinality(%(people)s::uuid[]) * random())::int AS decider,
        1 + floor(cardinality(%(agents)s::uuid[]) * random())::int AS agent,
        CASE WHEN n %% 50 = 7 THEN cardinality(%(tools)s::text[])
            ELSE 1 + floor((cardinality(%(tools)s::text[]) - 1) * random() ^ 2)::int END AS tool
    FROM generate_series(1, %(requests)s) AS n),
fated AS (
    SELECT *, CASE WHEN waits THEN 'pending' WHEN fate < 0.8 THEN 'approved' WHEN fate < 0.93 THEN 'rejected'
        WHEN fate < 0.97 THEN 'expired' ELSE 'cancelled' END AS status FROM drawn)
INSERT INTO approvals_approval (id, workspace_id, kind, subject_id, session_id, run_id, call_id, agent_id, agent,
    companion, requested_by_id, tool, tool_version, risk, risk_rank, arguments, digest, preview, policy_version,
    policy_name, terms, status, version, decision, reason, response, break_glass, created_at, expires_at, decided_at,
    decided_by_id)
SELECT {_ID}, %(workspace)s, 'tool_call', md5(n::text || 'subject')::uuid, md5((n / 3)::text || 'session')::uuid,
    md5((n / 2)::text || 'run')::uuid, 'call_1', agents.id, agents.slug, 'devops', (%(people)s::uuid[])[asker],
    (%(tools)s::text[])[tool], 'v1', (ARRAY['write', 'external', 'destructive'])[1 + risk], 1 + risk,
    jsonb_build_object('service', 'web', 'note', repeat('because ', 12)), md5(n::text) || md5(n::text || 'd'),
    jsonb_build_object('sentence', 'Restart the service web.', 'details', jsonb_build_object('state', 'running')), 4,
    'Restarts', '{_TERMS}', status, 1,
    CASE status WHEN 'approved' THEN 'approve' WHEN 'rejected' THEN 'reject' ELSE '' END,
    CASE status WHEN 'rejected' THEN 'Not during the sale.' ELSE '' END, '', false, at,
    CASE WHEN waits THEN clock_timestamp() + interval '1 day' * (1 + n %% 7) ELSE at + interval '1 day' END,
    CASE WHEN NOT waits THEN at + took END,
    CASE WHEN status IN ('approved', 'rejected') THEN (%(people)s::uuid[])[decider] END
FROM fated JOIN agents_agent AS agents ON agents.id = (%(agents)s::uuid[])[agent]"""
