"""The file that a backup is: a tar of named parts, and at its end a manifest with the digest of each.

What is written is one pass, whatever its size. What is read is looked through to its end before anything of it is used:
a file that was cut, changed or made by something else is refused as a whole.
"""

import hashlib
import json
import re
import tarfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import IO, Annotated, Any, NotRequired, TypedDict, TypeVar
from uuid import UUID

import msgspec

from approvals.services import heads
from approvals.services.heads import Head
from core.errors import DomainError, Invalid

FORMAT = "countersign.backup.1"
MANIFEST, DATABASE = "manifest.json", "database.dump"
HEADS, AUDIT_KEY, KEYS = "audit/heads.jsonl", "audit/audit_key", "keys.json"
ATTACHMENTS = "attachments/"
CHUNK = 1 << 20
LARGEST_MANIFEST = 1 << 28
MOST_IMAGES = 900_000  # of which a manifest surely has room
_SINGLE = frozenset({MANIFEST, DATABASE, HEADS, AUDIT_KEY, KEYS})
_Kind = TypeVar("_Kind")
_ATTACHMENT = re.compile(r"attachments/\d{4}-\d{2}-\d{2}/[0-9A-Za-z_-]{1,64}\.[a-z]{1,5}")


class BackupError(DomainError):
    """A backup cannot be made or used; the text says why and what to do."""

    code = "backup_failed"
    title = "The backup cannot be made or used"


class BadBackup(BackupError):
    """The file is no backup, or not the whole one that was written."""

    code = "bad_backup"


@dataclass(frozen=True, slots=True)
class Part:
    """One file within the backup."""

    name: str
    size: int
    sha256: str


class End(TypedDict):
    """Where the chain of a workspace ended."""

    workspace_id: UUID
    seq: int
    hash: str


class Audit(TypedDict):
    """The ends of all chains, and the key that heads of them are checked with."""

    ends: list[End]
    public_key: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]


class Attachments(TypedDict):
    """Where the images are."""

    where: str


class Manifest(TypedDict):
    """What a restore reads of a manifest."""

    format: str
    version: NotRequired[str]
    migrations: list[tuple[str, str]]
    attachments: Attachments
    audit: Audit
    keys: dict[str, str]
    parts: list[Part]


class Keys(TypedDict):
    """The keys in a backup that was made with them."""

    SECRET_KEY: str
    SEALING_KEYS: list[str]
    AUDIT_SIGNING_KEY: str


class _Format(TypedDict):
    format: str


@dataclass(slots=True)
class Writer:
    """Writes parts to an empty file that can be sought in, one after the other, and the manifest last."""

    file: IO[bytes]
    parts: list[Part] = field(default_factory=list)

    def add(self, name: str, chunks: Iterable[bytes]) -> Part:
        """Write a part whose length is known once it is over: its header is put in its place then."""
        start, size, digest = self.file.tell(), 0, hashlib.sha256()
        self.file.write(bytes(tarfile.BLOCKSIZE))
        for chunk in chunks:
            self.file.write(chunk)
            digest.update(chunk)
            size += len(chunk)
        self.file.write(bytes(-size % tarfile.BLOCKSIZE))
        end = self.file.tell()
        header = tarfile.TarInfo(name)
        header.size, header.mode, header.mtime = size, 0o600, int(time.time())
        self.file.seek(start)
        self.file.write(header.tobuf(tarfile.GNU_FORMAT))
        self.file.seek(end)
        part = Part(name, size, digest.hexdigest())
        self.parts.append(part)
        return part

    def finish(self, told: dict[str, Any]) -> dict[str, Any]:
        """Write the manifest, which ends the file, and give it."""
        manifest = {"format": FORMAT, **told, "parts": [asdict(part) for part in self.parts]}
        self.add(MANIFEST, [json.dumps(manifest, indent=1).encode()])
        self.file.write(bytes(2 * tarfile.BLOCKSIZE))
        return manifest


@dataclass(frozen=True, slots=True)
class Archive:
    """A backup that was found whole: its manifest, and where in the file each part lies."""

    file: IO[bytes]
    manifest: Manifest
    places: dict[str, tuple[int, int]]
    keys: Keys | None = None
    heads: tuple[Head, ...] = ()

    def chunks(self, name: str) -> Iterator[bytes]:
        """A part, some at a time."""
        start, left = self.places[name]
        self.file.seek(start)
        while left and (chunk := self.file.read(min(left, CHUNK))):
            left -= len(chunk)
            yield chunk

    def read(self, name: str) -> bytes:
        """A small part whole."""
        return b"".join(self.chunks(name))

    @property
    def attachments(self) -> list[str]:
        """The images of messages, by their names in the storage."""
        return sorted(name.removeprefix(ATTACHMENTS) for name in self.places if name.startswith(ATTACHMENTS))


def check(file: IO[bytes]) -> Archive:
    """Look through a whole backup; raises BadBackup for whatever is not exactly what was written."""
    found: dict[str, Part] = {}
    places: dict[str, tuple[int, int]] = {}
    text = b""
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            for member in tar:
                _check_member(member, found)
                inside = tar.extractfile(member)
                assert inside is not None, "it is a plain file"
                part, text = _measure(member.name, inside)
                if part.size != member.size:
                    raise BadBackup("The file is cut off: copy it again.")
                found[part.name], places[part.name] = part, (member.offset_data, member.size)
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise BadBackup(f"The file is no backup of Countersign, or it is damaged: {error}") from None
    if not text:
        raise BadBackup("The file has no manifest at its end: it is cut off, or no backup of Countersign.")
    found.pop(MANIFEST)
    manifest = _manifest(text)
    if found != {part.name: part for part in manifest["parts"]}:
        raise BadBackup("A part is not what the manifest says: the file is damaged or was changed.")
    if DATABASE not in places:
        raise BadBackup("The backup has no database.")
    held = Archive(file, manifest, places)
    if KEYS in places:
        held = replace(held, keys=_read(held.read(KEYS), Keys, "part with keys"))
    return replace(held, heads=read_heads(held.read(HEADS))) if HEADS in places else held


def _check_member(member: tarfile.TarInfo, before: dict[str, Part]) -> None:
    """Raises BadBackup for a name that no backup has, the same twice, what is no file, what follows the manifest."""
    known = member.name in _SINGLE or _ATTACHMENT.fullmatch(member.name)
    if not known or not member.isreg() or member.name in before or MANIFEST in before:
        raise BadBackup(f"The file has a part {ascii(member.name)[:80]} that no backup of Countersign has.")
    if member.name == MANIFEST and member.size > LARGEST_MANIFEST:
        raise BadBackup("The manifest is too large to be one.")


def _measure(name: str, inside: IO[bytes]) -> tuple[Part, bytes]:
    """The part as it is in the file, and its text where it is the manifest."""
    size, digest, text = 0, hashlib.sha256(), []
    while chunk := inside.read(CHUNK):
        size += len(chunk)
        digest.update(chunk)
        if name == MANIFEST:
            text.append(chunk)
    return Part(name, size, digest.hexdigest()), b"".join(text)


def _manifest(text: bytes) -> Manifest:
    version = _read(text, _Format, "manifest")["format"]
    if version != FORMAT:
        raise BadBackup(f"The backup has the format {ascii(version)[:60]}; this version reads {FORMAT}.")
    return _read(text, Manifest, "manifest")


def read_heads(text: bytes) -> tuple[Head, ...]:
    """The signed ends of a file of them; raises BadBackup where a line is none."""
    try:
        return tuple(heads.read(text.decode().splitlines()))
    except (Invalid, UnicodeDecodeError) as error:
        why = error.detail if isinstance(error, Invalid) else str(error)
        raise BadBackup(f"The signed ends of the audit log ({HEADS}) cannot be read: {why}") from None


def _read(text: bytes, kind: type[_Kind], what: str) -> _Kind:
    """The text as what it must be, or BadBackup: before anything is touched, and not halfway through a restore."""
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise BadBackup(f"The {what} cannot be read, the file is damaged or was changed: {error}") from None
