"""That something was forgotten, without keeping what: a hash under the installation's key.

It holds against the text as extraction would bring it back, whatever its case and blanks, in whichever slot.
"""

import hashlib
import hmac

from django.conf import settings

from memory.models import Owner, Tombstone
from memory.services import normalising

_PURPOSE = b"countersign.memory.tombstone:"


def keyed_hash(owner_id: int, text: str) -> str:
    """What stands for the text; another owner's, or another installation's, is another one."""
    key = hashlib.sha256(_PURPOSE + settings.SECRET_KEY.encode()).digest()
    said = f"{owner_id}:{normalising.normalised(text)}".encode("utf-8", "replace")
    return hmac.new(key, said, hashlib.sha256).hexdigest()


def put(owner: Owner, *texts: str) -> None:
    """Note that these are forgotten."""
    rows = [Tombstone(owner=owner, keyed_hash=one) for one in sorted({keyed_hash(owner.pk, text) for text in texts})]
    Tombstone.objects.bulk_create(rows, ignore_conflicts=True)


def holds(owner: Owner, text: str) -> bool:
    """Whether this was forgotten."""
    return owner.tombstones.filter(keyed_hash=keyed_hash(owner.pk, text)).exists()


def lift(owner: Owner, text: str) -> None:
    """The person says it again by themselves: it may be kept."""
    owner.tombstones.filter(keyed_hash=keyed_hash(owner.pk, text)).delete()
