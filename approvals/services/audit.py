"""Writing to the audit log: each event in the statement or transaction of the change that it tells of.

Nothing is locked here: `sealing` gives the events their places in the chain once they are committed.
"""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from accounts.models import Actor
from approvals.events import EVENTS
from approvals.services import chain, veil
from core import digest, ledger, prepared
from core.ledger import SYSTEM, Entry, Who

__all__ = ["SYSTEM", "Entry", "Who", "agent", "commit_to", "cte", "person", "record", "together"]

SALT = 16

# The id is a UUIDv7 of the database's clock, with the microseconds where RFC 9562 has room for them, so that ids sort
# as `at` does, and the entries of one statement in their order. 28672 is the version, 7, in the topmost four bits.
_CTE = """
audit_clock AS MATERIALIZED (SELECT clock_timestamp() AS now),
audit_entries AS MATERIALIZED (
    SELECT timed.*, encode(
        substring(int8send(micros / 1000) FROM 3) || int2send((28672 + mod(micros, 1000) * 4)::int2)
        || substring(uuid_send(gen_random_uuid()) FROM 9), 'hex')::uuid AS id
    FROM (
        SELECT entry.*, now + place * interval '1 microsecond' AS at,
            (extract(epoch FROM now) * 1000000)::bigint + place AS micros
        FROM audit_clock, unnest(
            %(audit_type)s::text[], %(audit_workspace)s::uuid[], %(audit_actor_kind)s::text[], %(audit_actor)s::uuid[],
            %(audit_person)s::uuid[], %(audit_agent)s::uuid[], %(audit_session)s::uuid[],
            %(audit_target_kind)s::text[], %(audit_target)s::uuid[], %(audit_commitment)s::bytea[],
            %(audit_salt)s::bytea[], %(audit_data)s::text[]
        ) WITH ORDINALITY AS entry (type, workspace_id, actor_kind, actor_id, person_id, agent_id, session_id,
            target_kind, target_id, commitment, salt, data, place)
        WHERE {only_if}) AS timed),
audit_events AS (
    INSERT INTO approvals_auditevent (id, workspace_id, type, actor_kind, actor_id, person_id, agent_id, session_id,
        target_kind, target_id, at, commitment)
    SELECT id, workspace_id, type, actor_kind, actor_id, person_id, agent_id, session_id, target_kind, target_id, at,
        commitment FROM audit_entries),
audit_payloads AS (
    INSERT INTO approvals_auditpayload (event_id, salt, data) SELECT id, salt, data FROM audit_entries),
audit_unsealed AS (
    INSERT INTO approvals_auditunsealed (workspace_id, event_id) SELECT workspace_id, id FROM audit_entries)"""

_held: ContextVar[list[Entry] | None] = ContextVar("audit_entries", default=None)


def person(actor: Actor) -> Who:
    """The caller, with the key in their hand."""
    return actor.who


def agent(agent_id: UUID, person_id: UUID | None = None, label: str = "") -> Who:
    """An agent, on behalf of the person it answers, if there is one; `label` is its slug."""
    return Who("agent", agent_id, person_id, label)


def record(*entries: Entry) -> None:
    """Insert the events in the transaction at hand, in one statement; raises where there is no transaction.

    Raises KeyError for a type that approvals/events.py does not name.
    """
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError("an audit event belongs into the transaction that it tells of")
    if not entries:
        return
    held = _held.get()
    if held is not None:
        held += entries
        return
    statement, parameters = cte(entries)
    prepared.execute(f"WITH {statement} SELECT FROM audit_clock", parameters)


@contextmanager
def together() -> Iterator[None]:
    """Insert all that is recorded within in one statement at the end, still in the transaction at hand."""
    entries: list[Entry] = []
    token = _held.set(entries)
    try:
        yield
    finally:
        _held.reset(token)
    record(*entries)


def cte(entries: Sequence[Entry], *, only_if: str = "true") -> tuple[str, dict[str, Any]]:
    """What `record` inserts, as named queries for another statement's WITH; raises as `record` does.

    `only_if` is SQL that says which are written, such as `entry.target_id IN (SELECT id FROM changed)` after a query
    `changed` that returns what a compare-and-set hit. The parameters' names begin with `audit_`, as do the queries'.
    """
    rows = [_row(entry) for entry in entries]
    return _CTE.format(only_if=only_if), dict(zip(_PARAMETERS, map(list, zip(*rows, strict=True)), strict=True))


def commit_to(salt: bytes, text: str) -> bytes:
    """The commitment to a payload: it can be checked while the payload is there, and tells nothing once it is gone."""
    return chain.sha256(salt + text.encode())


_PARAMETERS = [
    f"audit_{name}"
    for name in ("type", "workspace", "actor_kind", "actor", "person", "agent", "session", "target_kind", "target")
    + ("commitment", "salt", "data")
]


def _row(entry: Entry) -> tuple[Any, ...]:
    who = entry.who
    told = {"actor": who.label, "key": who.key, **ledger.origin()}
    data = {**{name: text for name, text in told.items() if text}, **entry.data}
    text = digest.canonical(veil.over(data, workspace_id=entry.workspace_id)).decode()
    salt = secrets.token_bytes(SALT)
    kind, target = entry.target or ("", None)
    EVENTS[entry.type]
    return (
        entry.type,
        entry.workspace_id,
        str(who.kind),
        who.id,
        who.person_id,
        entry.agent_id or (who.id if who.kind == "agent" else None),
        entry.session_id,
        kind,
        target,
        commit_to(salt, text),
        salt,
        text,
    )
