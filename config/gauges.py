"""What stands in the tables and in Valkey as it is now, for the whole installation; docs/operations.md explains each.

Each part is read by an index whose condition is what it asks for, so that it takes as long as there is work, however
long the tables are.
"""

from dataclasses import dataclass
from typing import Any

from django.conf import settings

from approvals.services import chain
from chat import eventlog
from config import beside
from core import metrics

AGE = "coalesce(greatest(extract(epoch FROM now() - min({})), 0), 0)::float8"
RUNS = ("queued", "in_line", "running", "waiting_approval", "waiting_tools")
ACTIONS = ("ready", "executing", "awaited", "unknown")
MOST_UNSEALED = 10_000
MOST_LOGS = 100


@dataclass(frozen=True, slots=True)
class Gauge:
    """What is so and so much now; with a label, of which each known value is told, 0 where there is none."""

    about: str
    label: str = ""
    values: tuple[str, ...] = ("",)


GAUGES = {
    "countersign_up": Gauge("Whether a part answered when this was read.", "part", ("postgres", "valkey")),
    "countersign_runs": Gauge("Runs that have not ended, by state.", "state", RUNS),
    "countersign_oldest_ready_seconds": Gauge(
        "For how long the oldest row has been ready for a worker that did not take it.",
        "kind",
        ("run", "action", "outbox"),
    ),
    "countersign_actions": Gauge("Actions that are under way, by state.", "state", ACTIONS),
    "countersign_oldest_unknown_action_seconds": Gauge("For how long the oldest unknown outcome waits for a person."),
    "countersign_approvals_pending": Gauge("Approvals that wait for people."),
    "countersign_oldest_approval_seconds": Gauge("For how long the oldest of them waits."),
    "countersign_outbox_due": Gauge("Webhooks and e-mails whose time to be sent has come."),
    "countersign_audit_unsealed": Gauge(f"Audit events that have no place in the chain yet, {MOST_UNSEALED} at most."),
    "countersign_audit_seal_lag_seconds": Gauge("How old the oldest of them is."),
    "countersign_event_log_lag_events": Gauge(
        f"Most events of an answer under way that are stored and not in its log; of {MOST_LOGS} answers at most."
    ),
    "countersign_queue_depth": Gauge("Doorbells that nobody has heard yet.", "queue", tuple(settings.QUEUES)),
}


def _count(name: str, label: str, table: str, condition: str) -> str:
    return f"SELECT 'countersign_{name}', '{label}', count(*)::float8 FROM {table} WHERE {condition}"


def _age(name: str, label: str, column: str, table: str, condition: str) -> str:
    return f"SELECT 'countersign_{name}', '{label}', {AGE.format(column)} FROM {table} WHERE {condition}"


_UNSEALED = f"(SELECT FROM approvals_auditunsealed LIMIT {MOST_UNSEALED}) AS unsealed"
_FIRST_UNSEALED = f"""({chain.each("approvals_auditunsealed")}) AS chains
    CROSS JOIN LATERAL (SELECT event_id FROM approvals_auditunsealed
        WHERE workspace_id = chains.workspace_id ORDER BY event_id LIMIT 1) AS first
    JOIN approvals_auditevent AS event ON event.id = first.event_id"""
_IN_LINE = """chat_run AS holder JOIN chat_run AS run ON run.conversation_id = holder.conversation_id
    AND run.id > holder.id AND run.state = 'queued' AND NOT run.active"""
_OPEN = "done_at IS NULL AND failed_at IS NULL"

STATEMENTS = (
    "SELECT 'countersign_runs', state, count(*)::float8 FROM chat_run WHERE active GROUP BY state",
    _count("runs", "in_line", _IN_LINE, "holder.active"),
    *(_count("actions", state, "chat_action", f"state = '{state}'") for state in ACTIONS),
    _age("oldest_ready_seconds", "run", "not_before", "chat_run", "state = 'queued' AND active"),
    _age("oldest_ready_seconds", "action", "not_before", "chat_action", "state = 'ready'"),
    _age("oldest_ready_seconds", "outbox", "not_before", "approvals_outboxitem", _OPEN),
    _age("oldest_unknown_action_seconds", "", "started_at", "chat_action", "state = 'unknown'"),
    _count("approvals_pending", "", "approvals_approval", "status = 'pending'"),
    _age("oldest_approval_seconds", "", "created_at", "approvals_approval", "status = 'pending'"),
    _count("outbox_due", "", "approvals_outboxitem", f"{_OPEN} AND not_before <= now()"),
    _count("audit_unsealed", "", _UNSEALED, "true"),
    _age("audit_seal_lag_seconds", "", "event.at", _FIRST_UNSEALED, "true"),
)
READ = " UNION ALL ".join(f"({statement})" for statement in STATEMENTS)
UNDER_WAY = f"""
SELECT id::text, seq, seq - seq_base - (attempt - 1) * 1000000 FROM chat_run
WHERE state = 'running' AND seq > seq_base + (attempt - 1) * 1000000 ORDER BY id LIMIT {MOST_LOGS}"""
# The number of the last event in each log, 0 where there is none.
LAST = r"""
local last = {}
for i, key in ipairs(KEYS) do
  local entries = redis.call('XREVRANGE', key, '+', '-', 'COUNT', 1)
  last[i] = entries[1] and string.match(entries[1][1], '^%d+') or '0'
end
return last
"""

Values = dict[str, dict[str, float]]
Counted = dict[str, dict[metrics.Labels, dict[str, int]]]


async def read() -> tuple[Values, Counted]:
    """What the gauges say now, and what processes counted; what a server that is away would say is left out."""
    up = {"postgres": 1.0, "valkey": 1.0}
    values: Values = {"countersign_up": up}
    counted: Counted = {}
    under_way: list[tuple[Any, ...]] = []
    try:
        found, under_way = await beside.postgres(READ, UNDER_WAY)
        for name, label, value in found:
            values.setdefault(name, {})[label] = value
        for name, gauge in GAUGES.items():
            if name not in _OF_VALKEY:
                values[name] = dict.fromkeys(gauge.values, 0.0) | values.get(name, {})
    except beside.AWAY:
        up["postgres"] = 0.0
    try:
        async with beside.valkeys() as client:
            counted = metrics.read((await client.hgetall(metrics.KEY)).items())
            depths = {queue: float(await client.llen(queue)) for queue in settings.QUEUES}
            logs = [eventlog.key(run_id) for run_id, _, _ in under_way]
            last = await client.eval(LAST, len(logs), *logs) if logs else []
        values["countersign_queue_depth"] = depths
        behind = [max(0, min(seq - int(end), own)) for (_, seq, own), end in zip(under_way, last, strict=True)]
        if up["postgres"]:
            values["countersign_event_log_lag_events"] = {"": float(max(behind, default=0))}
    except beside.AWAY:
        up["valkey"] = 0.0
    return values, counted


_OF_VALKEY = ("countersign_up", "countersign_queue_depth", "countersign_event_log_lag_events")
