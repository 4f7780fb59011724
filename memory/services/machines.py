"""What a machine may write into a memory: nothing while it is paused, and nothing that was forgotten."""

from collections.abc import Mapping
from uuid import UUID

from core.errors import Conflict
from memory.models import Author, Owner
from memory.services import owners, tombstones
from memory.services.normalising import content_hash

MACHINES = (Author.COMPANION, Author.EXTRACTOR)


class Paused(Conflict):
    """The person wants nothing kept now; only they may write something down."""

    code = "memory_paused"
    title = "The person paused this memory: nothing is kept now"


class Forgotten(Conflict):
    """The person had this forgotten; only they may write it down again."""

    code = "forgotten"
    title = "The person had this forgotten"


class SourceGone(Conflict):
    """What a machine drew something from was forgotten or changed meanwhile."""

    code = "source_gone"
    title = "The message that it comes from is not there any more"


def check(owner: Owner, author: Author, text: str, read: Mapping[UUID, str]) -> None:
    """Whether an author other than a person may write this, drawn from the messages that it `read`.

    To be asked while the owner is locked, which whoever forgets waits for. Raises Paused, Forgotten, SourceGone.
    """
    if author in MACHINES and owners.is_paused(owner):
        raise Paused
    if tombstones.holds(owner, text):
        raise Forgotten
    there = dict(owner.entries.filter(message_id__in=read).values_list("message_id", "content_hash")) if read else {}
    if there != {message_id: content_hash(said) for message_id, said in read.items()}:
        raise SourceGone
