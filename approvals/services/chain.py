"""What the chain of a workspace's audit events is made of; docs/audit.md tells it to who checks it elsewhere.

An event's leaf is SHA-256 over a zero byte and its frame, which is its columns in fixed binary form with the commitment
to its payload at the end. The hash at a place is SHA-256 over a one byte, the hash before it, the place and the leaf.
PostgreSQL puts frames together, because doing it here took longer than all the hashing; it hashes nothing.
"""

import hashlib

START = bytes(32)
COMMITMENT = slice(-32, None)
_NONE = "'00000000-0000-0000-0000-000000000000'::uuid"


def _text(column: str) -> str:
    return f"int2send(octet_length({column})::int2) || convert_to({column}, 'UTF8')"


FRAME = " || ".join(
    [
        "uuid_send(event.id)",
        "uuid_send(event.workspace_id)",
        "timestamptz_send(event.at)",
        *(
            f"uuid_send(coalesce(event.{name}, {_NONE}))"
            for name in ("actor_id", "person_id", "agent_id", "session_id", "target_id")
        ),
        *(_text(f"event.{name}") for name in ("type", "actor_kind", "target_kind")),
        "event.commitment",
    ]
)
"""SQL of the frame of a row `event`; NULL where there is no such row."""


def sha256(data: bytes) -> bytes:
    """The digest that the chain is made of."""
    return hashlib.sha256(data).digest()


def leaf(frame: bytes) -> bytes:
    """What stands for an event in its chain."""
    return sha256(b"\x00" + frame)


def link(previous: bytes, seq: int, leaf: bytes) -> bytes:
    """The hash at a place, from the hash at the place before it."""
    return sha256(b"\x01" + previous + seq.to_bytes(8) + leaf)


def each(table: str) -> str:
    """SQL of the workspaces in a table that is indexed by them first: it costs as many look-ups as there are."""
    following = f"SELECT workspace_id FROM {table} WHERE workspace_id > chains.workspace_id ORDER BY 1 LIMIT 1"
    return f"""
        WITH RECURSIVE chains AS (
            (SELECT workspace_id FROM {table} ORDER BY workspace_id LIMIT 1)
            UNION ALL
            SELECT ({following}) FROM chains WHERE workspace_id IS NOT NULL)
        SELECT workspace_id FROM chains WHERE workspace_id IS NOT NULL"""
