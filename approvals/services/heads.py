"""The ends of the chains, signed and put where the database's owner cannot reach them.

A chain alone cannot show that its tail was cut or that all of it was written anew: heads that were told outside can.
"""

import base64
import json
import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connection

from approvals.models import AuditHead
from approvals.services import chain
from core import kept
from core.errors import Invalid

log = logging.getLogger(__name__)

CONTEXT = b"countersign.head.1"
SECONDS = 10.0  # that who is told of heads has for an answer
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_GROWN = f"""
SELECT chain.workspace_id, seal.seq, seal.hash, clock_timestamp() FROM ({chain.each("approvals_auditseal")}) AS chain
CROSS JOIN LATERAL (
    SELECT seq, hash FROM approvals_auditseal WHERE workspace_id = chain.workspace_id ORDER BY seq DESC LIMIT 1) AS seal
LEFT JOIN LATERAL (
    SELECT seq FROM approvals_audithead WHERE workspace_id = chain.workspace_id ORDER BY seq DESC LIMIT 1) AS head
    ON true
WHERE seal.seq IS DISTINCT FROM head.seq"""


@dataclass(frozen=True, slots=True)
class Head:
    """A chain's end at a moment, with its signature."""

    workspace_id: UUID
    seq: int
    hash: bytes
    signed_at: datetime
    key_id: str
    signature: bytes

    @property
    def message(self) -> bytes:
        """What is signed: a context, the workspace, the place, the hash there, and when, in microseconds."""
        return _message(self.workspace_id, self.seq, self.hash, self.signed_at)

    def told(self) -> dict[str, Any]:
        """The head as JSON has it."""
        return {
            "workspace_id": str(self.workspace_id),
            "seq": self.seq,
            "hash": self.hash.hex(),
            "signed_at": instant(self.signed_at),
            "key_id": self.key_id,
            "signature": self.signature.hex(),
        }


def instant(at: datetime) -> str:
    """A moment as text, to the microsecond."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def sign_heads() -> int:
    """Sign the end of each chain that grew, tell it outside, and store it; returns how many.

    Stored last: a head that nobody outside was told of is told again. Raises OSError or httpx.HTTPError.
    """
    with connection.cursor() as cursor:
        cursor.execute(_GROWN)
        grown = [_signed(*row) for row in cursor.fetchall()]
    if grown:
        _write(Path(settings.AUDIT_HEADS_FILE), grown)
        if settings.AUDIT_HEADS_URL:
            _post(settings.AUDIT_HEADS_URL, grown)
        AuditHead.objects.bulk_create(map(_row, grown), ignore_conflicts=True)
    return len(grown)


def stored(workspace_id: UUID) -> Iterator[Head]:
    """The heads that the database keeps of a chain, in its order."""
    rows = AuditHead.objects.filter(workspace_id=workspace_id).order_by("seq")
    for row in rows.iterator():
        yield of_row(row)


def of_row(row: AuditHead) -> Head:
    """A stored head."""
    return Head(row.workspace_id, row.seq, bytes(row.hash), row.signed_at, row.key_id, bytes(row.signature))


def read(lines: Iterable[str]) -> list[Head]:
    """The heads in a file that was kept outside, one JSON object a line; raises Invalid for what is none."""
    heads = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            told = json.loads(line)
            at = datetime.fromisoformat(told["signed_at"])
            hash, signature = bytes.fromhex(told["hash"]), bytes.fromhex(told["signature"])
            head = Head(UUID(told["workspace_id"]), int(told["seq"]), hash, at, str(told["key_id"]), signature)
            _ = head.message  # what a signature is checked against: not every number and time can be in it
            heads.append(head)
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
            raise Invalid(f"Line {number} of the heads is none: {error}") from None
    return heads


def is_genuine(head: Head, keys: dict[str, Ed25519PublicKey]) -> bool:
    """Whether the head was signed with one of these keys."""
    key = keys.get(head.key_id)
    if key is None:
        return False
    try:
        key.verify(head.signature, head.message)
    except InvalidSignature:
        return False
    return True


def public_key() -> str:
    """The key that heads are checked with, as 64 hexadecimal characters: to be kept by whoever checks."""
    return _raw(_private_key().public_key()).hex()


def known_keys(others: Iterable[str] = ()) -> dict[str, Ed25519PublicKey]:
    """Our key and others, by their ids; raises Invalid for what is no key."""
    try:
        keys = [Ed25519PublicKey.from_public_bytes(bytes.fromhex(text)) for text in (public_key(), *others)]
    except ValueError:
        raise Invalid("A public key is 64 hexadecimal characters.") from None
    return {key_id(key): key for key in keys}


def has_key() -> bool:
    """Whether there is a signing key, which would be made by what asks for it."""
    return bool(settings.AUDIT_SIGNING_KEY) or _key_file().is_file()


def key_id(key: Ed25519PublicKey) -> str:
    """The name of a key: the beginning of its SHA-256."""
    return chain.sha256(_raw(key)).hex()[:16]


def _signed(workspace_id: UUID, seq: int, hash: bytes, at: datetime) -> Head:
    key, hash = _private_key(), bytes(hash)
    return Head(workspace_id, seq, hash, at, key_id(key.public_key()), key.sign(_message(workspace_id, seq, hash, at)))


def _message(workspace_id: UUID, seq: int, hash: bytes, at: datetime) -> bytes:
    since = at - _EPOCH
    micros = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    return CONTEXT + workspace_id.bytes + seq.to_bytes(8) + hash + micros.to_bytes(8)


def _private_key() -> Ed25519PrivateKey:
    if settings.AUDIT_SIGNING_KEY:
        return _parsed("AUDIT_SIGNING_KEY", settings.AUDIT_SIGNING_KEY)
    path = _key_file()
    return _parsed(str(path), kept.secret(path, lambda: base64.b64encode(os.urandom(32)).decode()))


def _key_file() -> Path:
    path: Path = settings.DATA_DIR / "audit_key"
    return path


@cache
def _parsed(where: str, text: str) -> Ed25519PrivateKey:
    try:
        return Ed25519PrivateKey.from_private_bytes(base64.b64decode(text, validate=True))
    except ValueError:
        raise ImproperlyConfigured(f"{where} must be 32 random bytes in base64") from None


def _raw(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def _write(path: Path, heads: list[Head]) -> None:
    """Append the heads and see them to the disk."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write("".join(f"{json.dumps(head.told())}\n" for head in heads))
        file.flush()
        os.fsync(file.fileno())


def _post(url: str, heads: list[Head]) -> None:
    with httpx.Client(trust_env=False, follow_redirects=False, timeout=SECONDS) as client:
        client.post(url, json={"heads": [head.told() for head in heads]}).raise_for_status()


def _row(head: Head) -> AuditHead:
    return AuditHead(
        workspace_id=head.workspace_id,
        seq=head.seq,
        hash=head.hash,
        signed_at=head.signed_at,
        key_id=head.key_id,
        signature=head.signature,
    )
