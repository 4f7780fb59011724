"""That something was forgotten, without keeping what: a hash under the installation's key.

It holds against the text as extraction would bring it back, whatever its case and blanks, in whichever slot; and
against a message as an import would bring it back, by when and by whom it was said.
"""

import hashlib
import hmac
from collections.abc import Collection
from datetime import UTC, datetime

from django.conf import settings

from memory.models import Owner, Tombstone
from memory.services import normalising

_PURPOSE = b"countersign.memory.tombstone:"


def keyed_hash(owner_id: int, text: str) -> str:
    """What stands for the text; another owner's, or another installation's, is another one."""
    key = hashlib.sha256(_PURPOSE + settings.SECRET_KEY.encode()).digest()
    said = f"{owner_id}:{normalising.normalised(text)}".encode("utf-8", "replace")
    return hmac.new(key, said, hashlib.sha256).hexdigest()


def message(text: str, speaker: str, said_at: datetime) -> str:
    """The text under which a message is noted: the same words may be said again at another time."""
    return f"{said_at.astimezone(UTC).isoformat()} {speaker} {text}"


def put(owner_id: int, *texts: str) -> None:
    """Note that these are forgotten."""
    hashes = sorted({keyed_hash(owner_id, text) for text in texts})
    rows = [Tombstone(owner_id=owner_id, keyed_hash=one) for one in hashes]
    Tombstone.objects.bulk_create(rows, batch_size=1_000, ignore_conflicts=True)


def holds(owner: Owner, text: str) -> bool:
    """Whether this was forgotten."""
    return bool(held(owner, [text]))


def held(owner: Owner, texts: Collection[str]) -> set[str]:
    """Those of the texts that were forgotten."""
    hashes = {keyed_hash(owner.pk, text): text for text in texts}
    return {hashes[one] for one in owner.tombstones.filter(keyed_hash__in=hashes).values_list("keyed_hash", flat=True)}


def lift(owner: Owner, text: str) -> None:
    """The person says it again by themselves: it may be kept."""
    owner.tombstones.filter(keyed_hash=keyed_hash(owner.pk, text)).delete()
