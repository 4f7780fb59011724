"""Backups that are made of anything, for those who read them."""

import io

from config.backups.archive import Writer

FACTS = {
    "made_at": "2026-01-01T00:00:00+00:00", "version": "0.1.0", "migrations": [], "attachments": {"where": "here"},
    "audit": {"ends": [], "public_key": "0" * 64}, "keys": {},
}  # fmt: skip


def backup(*parts: tuple[str, bytes], **facts) -> bytes:
    """A whole backup of these parts."""
    out = io.BytesIO()
    writer = Writer(out)
    for name, data in parts:
        writer.add(name, [data])
    writer.finish({**FACTS, **facts})
    return out.getvalue()
