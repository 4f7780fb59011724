"""Making a backup while the service runs: database, audit chain and list of images as they are at one moment."""

import contextlib
import fcntl
import hashlib
import hmac
import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.core.files.storage import FileSystemStorage
from django.db import connection, transaction

from approvals.services import heads
from chat.models import Attachment
from chat.services import attachments
from chat.services.attachments import StorageUnavailable
from config.backups import archive, database
from config.backups.archive import BackupError, BadBackup, Writer

Tell = Callable[[str], None]
_ENDS = """
SELECT DISTINCT ON (workspace_id) workspace_id::text, seq, encode(hash, 'hex')
FROM approvals_auditseal ORDER BY workspace_id, seq DESC"""
KEYS = ("SECRET_KEY", "SEALING_KEYS", "AUDIT_SIGNING_KEY")
PARTIAL = ".countersign-partial"
_SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"


def take(target: Path, *, with_keys: bool = False, tell: Tell = lambda text: None) -> dict[str, Any]:
    """Write a backup to a file that is not there yet, and give its manifest; raises BackupError or OSError.

    The file has its name once it is whole and on the disk. `with_keys` puts the keys in that open what is sealed.
    """
    if target.exists():
        raise BackupError(f"{target} is there already: choose another name, or move it away.")
    with _scratch(target) as file:
        writer = Writer(file)
        manifest = writer.finish(_write(writer, with_keys=with_keys, tell=tell))
        file.flush()
        os.fsync(file.fileno())
        Path(file.name).replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)
    return manifest


@contextlib.contextmanager
def _scratch(target: Path) -> Iterator[IO[bytes]]:
    """A private file beside the target; what killed backups left in that folder goes."""
    for left in target.parent.glob(f".*{PARTIAL}"):
        with contextlib.suppress(OSError), left.open("rb") as held:  # somebody writes to it, or it is not ours
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink()
    path = target.with_name(f".{target.name}{PARTIAL}")
    with open(path, "a+b", opener=lambda name, flags: os.open(name, flags, 0o600)) as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BackupError(f"Another backup writes to {target}.") from None
        try:
            with path.open("r+b") as file:
                yield file
        finally:
            path.unlink(missing_ok=True)  # not there any more once it has its name


def _write(writer: Writer, *, with_keys: bool, tell: Tell) -> dict[str, Any]:
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute(_SNAPSHOT)
        cursor.execute("SELECT pg_export_snapshot(), current_setting('server_version')")
        snapshot, version = cursor.fetchone()
        cursor.execute("SELECT app, name FROM django_migrations ORDER BY id")
        migrations = [list(row) for row in cursor.fetchall()]
        cursor.execute(_ENDS)
        ends = [dict(zip(("workspace_id", "seq", "hash"), row, strict=True)) for row in cursor.fetchall()]
        part = writer.add(archive.DATABASE, _told(database.dump(snapshot), "database", tell))
        tell(f"database: {size(part.size)}")
        images = _images(writer, tell)
    _files(writer, with_keys=with_keys)
    return {
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "version": settings.VERSION,
        "server": version,
        "migrations": migrations,
        "attachments": images,
        "audit": {"ends": ends, "public_key": heads.public_key()},
        "keys": key_marks(),
        "with_keys": with_keys,
    }


def keys() -> dict[str, Any]:
    """The keys that this installation is given, by their settings."""
    return {name: getattr(settings, name) for name in KEYS}


def key_marks() -> dict[str, str]:
    """By which it is told whether each key is the one of a backup, and nothing else of them."""
    return {name: _mark(json.dumps(value)) for name, value in keys().items()}


def _mark(secret: str) -> str:
    return hmac.new(secret.encode(), b"countersign.backup", hashlib.sha256).hexdigest()[:16]


def size(count: int) -> str:
    """So many bytes, to read."""
    return f"{count / 1_000_000:,.1f} MB"


def _told(chunks: Iterator[bytes], what: str, tell: Tell) -> Iterator[bytes]:
    """The chunks, with a word every 100 MB."""
    done = told = 0
    for chunk in chunks:
        yield chunk
        done += len(chunk)
        if done - told >= 100_000_000:
            told = done
            tell(f"{what}: {size(done)} …")


def _images(writer: Writer, tell: Tell) -> dict[str, Any]:
    """Copy the images that the snapshot knows; those of a bucket are only counted."""
    rows = Attachment.objects.order_by("file").values_list("file", flat=True)
    if not isinstance(attachments.storage(), FileSystemStorage):
        tell("images: they are in a bucket, and no part of this file")
        return {"where": f"bucket {settings.ATTACHMENTS_S3_BUCKET}", "files": rows.count(), "missing": []}
    total, done, missing = rows.count(), 0, []
    if total > archive.MOST_IMAGES:
        raise BackupError(f"{total:,} images are too many for one file: keep them in a bucket (ATTACHMENTS_S3_BUCKET).")
    for file in rows.iterator(1_000):
        try:
            data = attachments.contents(file)
        except StorageUnavailable as error:
            raise BackupError(f"The image {file} cannot be read: {error.detail}") from None
        if data is None:  # deleted since the snapshot, or lost before
            missing.append(file)
        else:
            writer.add(f"{archive.ATTACHMENTS}{file}", [data])
        done += 1
        if done % 500 == 0:
            tell(f"images: {done:,}/{total:,} …")
    tell(f"images: {done - len(missing):,}" + (f", {len(missing):,} are not there" if missing else ""))
    return {"where": "here", "files": done, "missing": missing}


def _files(writer: Writer, *, with_keys: bool) -> None:
    """The audit log's heads and key, where they are files; the other keys where they are wanted."""
    told = Path(settings.AUDIT_HEADS_FILE)
    if told.is_file():
        text = told.read_bytes()
        text = text[: text.rfind(b"\n") + 1]  # the last may just be written; it is of a later moment
        try:
            archive.read_heads(text)
        except BadBackup as error:
            raise BackupError(f"{told} cannot be restored from. {error.detail}") from None
        writer.add(archive.HEADS, [text])
    key = settings.DATA_DIR / "audit_key"
    if not settings.AUDIT_SIGNING_KEY and key.is_file():
        writer.add(archive.AUDIT_KEY, [key.read_bytes()])
    if with_keys:
        writer.add(archive.KEYS, [json.dumps(keys()).encode()])
