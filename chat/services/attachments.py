"""Images of messages: read when they come, kept in a storage beside the database, gone with their conversation.

A file is written before the transaction that tells of it, because no transaction waits for a storage; where that fails
the file is taken away, and where the process dies before it can, by `sweep`. A file is removed after the transaction
that removes its row.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.core.files.base import ContentFile
from django.core.files.storage import Storage, storages
from django.db.models.signals import post_delete

from accounts.models import Actor
from chat.models import Attachment, Message
from chat.services import links
from chat.transcript import Part
from core import commits, ids, images
from core.errors import Invalid, NotFound, Unavailable
from core.images import BadImage, Picture

try:
    from botocore.exceptions import BotoCoreError, ClientError
except ImportError:  # no S3 here
    FAILURES: tuple[type[Exception], ...] = (OSError,)
else:
    FAILURES = (OSError, BotoCoreError, ClientError)

log = logging.getLogger(__name__)

MOST = 8  # of one message
MOST_BYTES = 10_000_000  # of the copies of one message together: more no provider takes in one request
ENDINGS = {"image/png": "png", "image/jpeg": "jpg"}
ORPHAN_AGE = timedelta(hours=1)  # a file whose row is not there by then has none coming


class UnknownAttachment(NotFound):
    """No attachment of the caller's has this id."""

    code = "unknown_attachment"
    title = "There is no such attachment"


class StorageUnavailable(Unavailable):
    """The storage of attachments does not answer, or is full."""

    code = "storage_unavailable"
    title = "Images cannot be kept now"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A picture that is written, and whose row is to come."""

    picture: Picture
    id: UUID = field(default_factory=ids.new)

    @property
    def file(self) -> str:
        """Its name in the storage, made of its id alone."""
        return f"{datetime.now(UTC):%Y-%m-%d}/{self.id}.{ENDINGS[self.picture.media_type]}"

    def part(self) -> Part:
        """It as a part of its message."""
        return {
            "type": "image",
            "attachment_id": str(self.id),
            "media_type": self.picture.media_type,
            "width": self.picture.width,
            "height": self.picture.height,
            "url": f"{links.PATH}{self.id}",
        }


@dataclass(frozen=True, slots=True)
class Written:
    """A picture, and the name of the file that holds it."""

    prepared: Prepared
    file: str


def storage() -> Storage:
    """Where the files are."""
    return storages["attachments"]


def read(sent: Sequence[dict[str, Any]]) -> list[Prepared]:
    """Clean copies of what came with a message; raises Invalid that names the one that is no such image, ImagesBusy."""
    pictures: list[Prepared] = []
    if not sent:
        return pictures
    with images.place() as until:
        for place, one in enumerate(sent):
            name = f"attachments.{place}"
            try:
                pictures.append(Prepared(images.read(one["media_type"], one["data"], until=until)))
            except BadImage as error:
                where = f"{name}.media_type" if error.reason == "mismatch" else f"{name}.data"
                raise Invalid.field(where, error.detail, error.reason) from None
            if sum(len(found.picture.data) for found in pictures) > MOST_BYTES:
                raise Invalid.field(name, "The images of this message are too large together.", "too_large")
    return pictures


@contextmanager
def written(pictures: Sequence[Prepared]) -> Iterator[list[Written]]:
    """The pictures in their files, which are taken away again where the block raises."""
    names: list[Written] = []
    try:
        for one in pictures:
            names.append(Written(one, _save(one)))
        yield names
    except BaseException:
        for name in names:
            remove(name.file)
        raise


def _save(one: Prepared) -> str:
    """The name of the file that was written; raises StorageUnavailable."""
    try:
        return storage().save(one.file, ContentFile(one.picture.data))
    except FAILURES:
        log.exception("an image could not be written")
        raise StorageUnavailable("The image could not be stored. Send the message again later.") from None


def store(message: Message, pictures: Sequence[Written]) -> None:
    """Insert the rows of a message's images, in the transaction that stores the message."""
    Attachment.objects.bulk_create(
        Attachment(
            id=one.prepared.id,
            workspace_id=message.workspace_id,
            conversation_id=message.conversation_id,
            message_id=message.pk,
            media_type=one.prepared.picture.media_type,
            width=one.prepared.picture.width,
            height=one.prepared.picture.height,
            size=len(one.prepared.picture.data),
            sha256=one.prepared.picture.sha256,
            file=one.file,
        )
        for one in pictures
    )


def get(attachment_id: UUID, *, by: Actor | None, signature: str = "") -> tuple[Attachment, bytes]:
    """The image that a signature opens, or the caller's, and its bytes; raises UnknownAttachment."""
    rows = Attachment.objects.all()
    if not links.opens(attachment_id, signature):
        rows = rows.visible_to(by) if by else rows.none()
    found: Attachment | None = rows.filter(pk=attachment_id).first()
    data = contents(found.file) if found else None
    if found is None or data is None:
        raise UnknownAttachment(f"No attachment {attachment_id} is yours, or its address has expired.")
    return found, data


def contents(file: str) -> bytes | None:
    """The bytes of a file, None where it is not there any more; raises StorageUnavailable."""
    try:
        with storage().open(file) as opened:
            data: bytes = opened.read()
            return data
    except FileNotFoundError:
        return None
    except FAILURES:
        log.exception("an image could not be read")
        raise StorageUnavailable("An image of this conversation could not be read. Try again later.") from None


def remove(file: str) -> None:
    """Remove a file; a storage that does not answer now is left to `sweep`."""
    try:
        storage().delete(file)
    except FAILURES:  # the row is gone, and the request must not fail for it
        log.warning("the file of an attachment could not be removed", exc_info=True, extra={"file": file})


def sweep(now: datetime | None = None) -> int:
    """Remove files that have no row, an hour after they were written; gives how many were found.

    A storage that does not answer is looked through another time.
    """
    kept = storage()
    before = (now or datetime.now(UTC)) - ORPHAN_AGE
    gone = 0
    try:
        for day in _listed(kept, "")[0]:
            known = set(Attachment.objects.filter(file__startswith=f"{day}/").values_list("file", flat=True))
            for name in _listed(kept, day)[1]:
                file = f"{day}/{name}"
                if file not in known and kept.get_modified_time(file) < before:
                    remove(file)
                    gone += 1
    except FAILURES:
        log.warning("the storage of attachments could not be looked through", exc_info=True)
    return gone


def _listed(kept: Storage, folder: str) -> tuple[list[str], list[str]]:
    """The folders and the files in a folder; of one that is not there, none."""
    try:
        folders, files = kept.listdir(folder)
    except FileNotFoundError:
        return [], []
    return list(folders), list(files)


def _remove_after(sender: object, instance: Attachment, **_: Any) -> None:
    commits.after(remove, instance.file)


post_delete.connect(_remove_after, sender=Attachment, dispatch_uid="an attachment's file goes after its row")
