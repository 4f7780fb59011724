"""Giving committed audit events their places in the chain, after the fact and in batches.

Whoever writes an event waits for nobody. An event that is committed late, with an earlier id, comes later in the
chain; between its commit and its sealing, a second in a healthy installation, an event is not proven yet.
"""

from uuid import UUID

from django.db import connection, transaction

from approvals.models import AuditSeal
from approvals.services import chain

BATCH = 5_000
_WAITING = chain.each("approvals_auditunsealed")
_TAKE = f"""
WITH taken AS (
    DELETE FROM approvals_auditunsealed WHERE workspace_id = %(workspace)s AND event_id IN (
        SELECT event_id FROM approvals_auditunsealed WHERE workspace_id = %(workspace)s
        ORDER BY event_id LIMIT %(limit)s)
    RETURNING event_id)
SELECT event.id, {chain.FRAME} FROM taken JOIN approvals_auditevent AS event ON event.id = taken.event_id
ORDER BY event.id"""
_PLACE = """
INSERT INTO approvals_auditseal (workspace_id, event_id, seq, hash)
SELECT %(workspace)s, * FROM unnest(%(events)s::uuid[], %(seqs)s::bigint[], %(hashes)s::bytea[])"""


def seal(limit: int = BATCH) -> int:
    """Chain what was committed, at most `limit` events of each workspace; returns how many it chained.

    Any number of processes may do so at once: a chain that another is at work on is left to it.
    """
    with connection.cursor() as cursor:
        cursor.execute(_WAITING)
        waiting = [workspace_id for (workspace_id,) in cursor.fetchall()]
    return sum(_seal_chain(workspace_id, limit) for workspace_id in waiting)


@transaction.atomic
def _seal_chain(workspace_id: UUID, limit: int) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_lock(workspace_id)])
        if cursor.fetchone() != (True,):
            return 0
        # What follows are new statements, which see all that the holder before us committed.
        end = AuditSeal.objects.filter(workspace_id=workspace_id).order_by("-seq").values_list("seq", "hash").first()
        first, hash = (end[0] + 1, bytes(end[1])) if end else (1, chain.START)
        cursor.execute(_TAKE, {"workspace": workspace_id, "limit": limit})
        taken = cursor.fetchall()
        hashes = []
        for seq, (_, frame) in enumerate(taken, start=first):
            hash = chain.link(hash, seq, chain.leaf(frame))
            hashes.append(hash)
        if taken:
            places = {"events": [row[0] for row in taken], "seqs": list(range(first, first + len(taken)))}
            cursor.execute(_PLACE, {"workspace": workspace_id, "hashes": hashes, **places})
        return len(taken)


def _lock(workspace_id: UUID) -> int:
    """The number of the advisory lock on a workspace's chain."""
    return int.from_bytes(chain.sha256(b"countersign chain " + workspace_id.bytes)[:8], signed=True)
