"""Putting a backup back: all of it is checked before anything is touched, the database comes whole or not at all."""

import contextlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from django.conf import settings
from django.core.files.base import ContentFile
from django.core.management import call_command
from django.db import DatabaseError, connection
from django.db.migrations.loader import MigrationLoader
from redis.exceptions import RedisError

from approvals.models import AuditSeal
from approvals.services import sealing, verifying
from chat.services import attachments, restored
from config.backups import archive, database
from config.backups.archive import Archive, BackupError, Manifest
from config.backups.taking import key_marks, size
from core import valkey

Tell = Callable[[str], None]
# In the transaction that brings the rows: nothing of the past goes on by itself, whatever stops what comes after it.
_SETTLE = f"DELETE FROM public.django_session;{restored.HOLD_BACK}"


@dataclass(slots=True)
class Restored:
    """What came of it: how many events of the audit log were checked and what is wrong with it; what is to be done."""

    events: int = 0
    faults: list[str] = field(default_factory=list)
    todo: list[str] = field(default_factory=list)


def restore(source: Path, *, replace: bool = False, tell: Tell = lambda text: None) -> Restored:
    """Put a backup into this installation, which must be empty unless it is to be replaced.

    Raises BackupError, a BadBackup where the file is not whole, or OSError. What stops it before the database has come
    leaves database and keys as they were; what stops it later leaves nothing undone but migrations and the checks.
    """
    with source.open("rb") as file:
        tell(f"checking {size(source.stat().st_size)} …")
        held = archive.check(file)
        _check_version(held.manifest)
        _check_place(replace)
        done = Restored()
        tell("images …")
        _images(held)
        _forget()
        tell("database …")
        with _placed(_keys(held, done)):
            _check_place(replace)
            database.load(held.chunks(archive.DATABASE), replace=replace, finally_=_SETTLE)
        tell("migrations …")
        _migrate()
        _tell_log(done)
        tell("audit log …")
        _verify(held, done)
    return done


def _check_version(manifest: Manifest) -> None:
    made_by = manifest.get("version", "")
    if _numbers(made_by) > _numbers(settings.VERSION):
        raise BackupError(
            f"The backup was made by version {ascii(made_by)[1:-1][:40]}, which is newer than {settings.VERSION} here: "
            "install that version or a newer one first."
        )
    known = set(MigrationLoader(None, ignore_no_migrations=True).disk_migrations)
    strange = sorted(f"{app}.{name}" for app, name in manifest["migrations"] if (app, name) not in known)
    if strange:
        raise BackupError(
            f"The backup was made by version {manifest.get('version')}, which has what this one does not know "
            f"({', '.join(strange[:3])}): install that version or a newer one first."
        )


def _numbers(version: str) -> tuple[int, ...]:
    """A version in numbers, to compare with another."""
    return tuple(int(part) for part in re.findall(r"\d{1,9}", version)[:3])


def _check_place(replace: bool) -> None:
    if others := database.others():
        raise BackupError(f"{others} others use the database: stop web processes, workers and scheduler first.")
    if not replace and not database.is_empty():
        raise BackupError("The database is not empty. To lose all that is in it, say --replace.")


def _images(held: Archive) -> None:
    """Store the images that are not there whole; should the database fail to come, those without a row are swept."""
    storage = attachments.storage()
    for name in held.attachments:
        part = f"{archive.ATTACHMENTS}{name}"
        try:
            if storage.exists(name):
                if storage.size(name) == held.places[part][1]:
                    continue
                storage.delete(name)  # a restore was killed as it wrote it
            storage.save(name, ContentFile(held.read(part)))
        except attachments.FAILURES as error:
            raise BackupError(f"The image {name} cannot be stored: {error}") from None


def _forget() -> None:
    """Empty Valkey, whose logs of events and doorbells are of rows that go, or of an installation that is gone."""
    try:
        valkey.client().flushdb()
    except RedisError as error:
        raise BackupError(f"Valkey does not answer, and is to forget what was: {error}. Start it first.") from None


@contextlib.contextmanager
def _placed(files: dict[Path, bytes]) -> Iterator[None]:
    """Private files, written before and in their places at once after what is done meanwhile; not where that fails."""
    scratch = {path: path.with_name(f".{path.name}.new") for path in files}
    try:
        for path, data in files.items():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(scratch[path], "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        yield
        for path, written in scratch.items():
            written.replace(path)
    finally:
        for written in scratch.values():
            written.unlink(missing_ok=True)


def _keys(held: Archive, done: Restored) -> dict[Path, bytes]:
    """The keys for where this installation keeps its own in files; says what to do with those that it is given."""
    files, heads_file = {}, Path(settings.AUDIT_HEADS_FILE)
    if archive.AUDIT_KEY in held.places and not settings.AUDIT_SIGNING_KEY:
        files[settings.DATA_DIR / "audit_key"] = held.read(archive.AUDIT_KEY)
    if archive.HEADS in held.places and not heads_file.exists():
        files[heads_file] = held.read(archive.HEADS)
    kept: Mapping[str, object] = held.keys or {}
    own = settings.DATA_DIR / "secret_key"
    if kept and own.is_file() and own.read_text().strip() == settings.SECRET_KEY:
        settings.SECRET_KEY = str(kept["SECRET_KEY"])
        files[own] = settings.SECRET_KEY.encode()
    others = [name for name, mark in key_marks().items() if held.manifest["keys"].get(name) != mark]
    if others and kept:
        beside = settings.DATA_DIR / "restored_keys.json"
        files[beside] = json.dumps({name: kept[name] for name in others}, indent=1).encode()
        done.todo.append(f"Set {', '.join(others)} as {beside} has them (empty: not at all), then delete that file.")
    elif others:
        done.todo.append(
            f"Not those of the backup, which has no keys in it: {', '.join(others)}. Set the old ones, or enter anew: "
            "keys of model providers, secrets of tools, webhooks and connections. What another AUDIT_SIGNING_KEY "
            f"signed is checked with --public-key {held.manifest['audit']['public_key']}."
        )
    if held.manifest["attachments"]["where"] != "here":
        done.todo.append(f"The images are in the {held.manifest['attachments']['where']}: this file has none of them.")
    return files


def _migrate() -> None:
    """Bring the schema to where this version needs it; grants the serving role what it needs."""
    connection.close()
    try:
        call_command("migrate", interactive=False, verbosity=0)
    except DatabaseError as error:
        raise BackupError(f"The backup is in the database, but a migration failed: {error}") from None


def _tell_log(done: Restored) -> None:
    if unknown := restored.tell():
        done.todo.append(
            f"{unknown} actions were about to run, or ran, when the backup was made. Nobody knows whether they did: "
            "say so at /admin/chat/action/."
        )


def _verify(held: Archive, done: Restored) -> None:
    """Check the whole chain against the heads and ends of the backup.

    Events that waited for their place when the backup was made have waited for long by now: they get it first.
    """
    while sealing.seal():
        pass
    audit = held.manifest["audit"]
    for end in audit["ends"]:
        at = AuditSeal.objects.filter(workspace_id=end["workspace_id"], seq=end["seq"]).first()
        if at is None or bytes(at.hash).hex() != end["hash"]:
            done.faults.append(f"{end['workspace_id']}: the log does not end as the manifest says")
    ends = {end["workspace_id"]: end["seq"] for end in audit["ends"]}
    # What was signed after the moment of the snapshot, and before the file of heads was copied, is not of the backup.
    told = [head for head in held.heads if head.seq <= ends.get(head.workspace_id, 0)]
    found = verifying.verify(told=told, keys=[audit["public_key"]])
    done.events = found.rows
    for fault in found.faults[:20]:
        done.faults.append(f"{fault.workspace_id}, seq {fault.seq}: {fault.text}")
