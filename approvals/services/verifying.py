"""Whether the audit log is what was written: every place, hash and commitment, and the heads that were told outside."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.db import connection, transaction

from approvals.models import AuditSeal
from approvals.services import chain, heads
from approvals.services.audit import SALT
from approvals.services.heads import Head

ROWS = 5_000  # fetched at a time
_CHAINS = " UNION ".join(
    f"({chain.each(table)})" for table in ("approvals_auditevent", "approvals_auditseal", "approvals_audithead")
)
_CHAIN = f"""
SELECT seal.seq, seal.hash, {chain.FRAME},
    CASE WHEN octet_length(payload.salt) = {SALT} THEN payload.salt || convert_to(payload.data, 'UTF8')
        WHEN payload.salt IS NOT NULL THEN ''::bytea END
FROM approvals_auditseal AS seal
LEFT JOIN approvals_auditevent AS event ON event.id = seal.event_id AND event.workspace_id = seal.workspace_id
LEFT JOIN approvals_auditpayload AS payload ON payload.event_id = seal.event_id
WHERE seal.workspace_id = %s ORDER BY seal.seq"""
_UNSEALED = """
SELECT event.id FROM approvals_auditevent AS event
LEFT JOIN approvals_auditunsealed AS waiting ON waiting.event_id = event.id
WHERE event.workspace_id = %s AND NOT EXISTS (
        SELECT FROM approvals_auditseal AS seal WHERE seal.event_id = event.id)
    AND (waiting.event_id IS NULL OR abs(extract(epoch FROM clock_timestamp() - event.at)) > 60)
ORDER BY event.id LIMIT 1"""
_ERASED = """
SELECT coalesce(sum((payload.data::json ->> 'events')::bigint), 0) FROM approvals_auditevent AS event
JOIN approvals_auditpayload AS payload ON payload.event_id = event.id
WHERE event.workspace_id = %s AND event.type = 'audit.erased' AND (
    EXISTS (SELECT FROM approvals_auditseal AS seal WHERE seal.event_id = event.id)
    OR EXISTS (SELECT FROM approvals_auditunsealed AS waiting WHERE waiting.event_id = event.id))"""
_AT = "SELECT seq, hash FROM approvals_auditseal WHERE workspace_id = %s AND seq = ANY(%s)"


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a workspace's chain, and the first place where it is, if it has one."""

    workspace_id: UUID
    seq: int | None
    text: str


@dataclass(slots=True)
class Report:
    """What was looked at, and what was found.

    `rows` are events, of which `erased` have no payload any more; a head that is in the database and outside is one.
    """

    chains: int = 0
    rows: int = 0
    erased: int = 0
    heads: int = 0
    faults: list[Fault] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults


def verify(
    workspace_id: UUID | None = None,
    *,
    told: Sequence[Head] = (),
    keys: Sequence[str] = (),
    progress: Callable[[int], None] = lambda rows: None,
) -> Report:
    """Check one chain or all, with heads that were kept outside; `keys` are public keys besides our own.

    All of it is read as it was at one moment. Raises Invalid for what is no public key.
    """
    known, report = heads.known_keys(keys), Report()
    with _snapshot():
        for chain_of in [workspace_id] if workspace_id else _chains(told):
            report.chains += 1
            _check_chain(chain_of, report, progress)
            _check_unsealed(chain_of, report)
            outside = sorted((head for head in told if head.workspace_id == chain_of), key=lambda head: head.seq)
            alone = {head.seq for head in outside}  # and not in the database, once that is read
            _check_heads(chain_of, "the database", _counted(heads.stored(chain_of), alone, report), known, report)
            _check_heads(chain_of, "outside", iter(outside), known, report)
            report.heads += len(alone)
    report.faults.sort(key=lambda fault: (fault.workspace_id, fault.seq is None, fault.seq or 0))
    return report


@contextmanager
def _snapshot() -> Iterator[None]:
    with transaction.atomic(durable=True):
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield


def _chains(told: Sequence[Head]) -> list[UUID]:
    with connection.cursor() as cursor:
        cursor.execute(_CHAINS)
        return sorted({row[0] for row in cursor.fetchall()} | {head.workspace_id for head in told})


def _check_chain(workspace_id: UUID, report: Report, progress: Callable[[int], None]) -> None:
    """Walk the chain to its end, or to the first place that is not as it was written."""
    previous, erased = chain.START, 0
    for expected, (seq, stored, frame, payload) in enumerate(_rows(workspace_id), start=1):
        if seq != expected:
            report.faults.append(Fault(workspace_id, expected, "Nothing has this place in the chain."))
            return
        if frame is None:
            report.faults.append(Fault(workspace_id, seq, "The event at this place is gone."))
            return
        previous = chain.link(previous, seq, chain.leaf(frame))
        if previous != stored:
            report.faults.append(Fault(workspace_id, seq, "The event or its hash is not what was written."))
            return
        if payload is None:
            erased += 1
        elif chain.sha256(payload) != frame[chain.COMMITMENT]:
            report.faults.append(Fault(workspace_id, seq, "The payload is not what was written."))
            return
        report.rows += 1
        if not seq % ROWS:
            progress(report.rows)
    report.erased += erased
    with connection.cursor() as cursor:
        cursor.execute(_ERASED, [workspace_id])
        ((told,),) = cursor.fetchall()
    if erased != told:
        text = f"{erased} payloads are gone, of which {told} were erased."
        report.faults.append(Fault(workspace_id, None, text))


def _rows(workspace_id: UUID) -> Iterator[tuple[Any, ...]]:
    """The chain in the driver's binary form: reading it through Django took most of the time."""
    connection.ensure_connection()
    with connection.connection.cursor(f"audit_{workspace_id.hex}", scrollable=False) as cursor:
        cursor.execute(_CHAIN, [workspace_id], binary=True)
        while rows := cursor.fetchmany(ROWS):
            yield from rows


def _check_unsealed(workspace_id: UUID, report: Report) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_UNSEALED, [workspace_id])
        found = cursor.fetchone()
    if found:
        text = f"The event {found[0]} has no place in the chain, and is not about to get one."
        report.faults.append(Fault(workspace_id, None, text))


def _counted(stored: Iterator[Head], alone: set[int], report: Report) -> Iterator[Head]:
    """The heads of the database, counted; their places go from those of the heads that are outside alone."""
    for head in stored:
        report.heads += 1
        alone.discard(head.seq)
        yield head


def _check_heads(
    workspace_id: UUID, where: str, told: Iterator[Head], known: dict[str, Ed25519PublicKey], report: Report
) -> None:
    """Compare signed heads, in their order, with the chain: up to the first that it does not bear out."""
    while some := list(islice(told, 1_000)):
        with connection.cursor() as cursor:
            cursor.execute(_AT, [workspace_id, [head.seq for head in some]])
            there = {seq: bytes(hash) for seq, hash in cursor.fetchall()}
        for head in some:
            seq, text = head.seq, ""
            if not heads.is_genuine(head, known):
                text = f"A head from {where} is not signed with a known key ({head.key_id})."
            elif head.seq not in there:
                seq = _end(workspace_id) + 1
                text = f"The chain's tail was cut: a head from {where} was signed at place {head.seq}."
            elif there[head.seq] != head.hash:
                text = f"The chain was written anew: a head from {where} has another hash here."
            if text:
                report.faults.append(Fault(workspace_id, seq, text))
                return


def _end(workspace_id: UUID) -> int:
    end = AuditSeal.objects.filter(workspace_id=workspace_id).order_by("-seq").values_list("seq", flat=True).first()
    return end or 0
