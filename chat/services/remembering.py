"""What a run's model is told of its person: recalled once, noted with the run, and told again where the run goes on."""

import json
from collections.abc import Sequence
from uuid import UUID

from django.db import transaction

from chat.models import Run
from chat.services.leases import Claim
from core import prepared
from memory.services import owners, telling, touching
from memory.services.telling import Block

_NOTE = """UPDATE chat_run SET memories = %(told)s::jsonb
    WHERE id = %(run)s AND attempt = %(attempt)s AND state = 'running' RETURNING id"""


def block(claim: Claim) -> tuple[Block, bool]:
    """What is told with a run's message, and whether it was recalled just now; nothing where no person speaks.

    An attempt that comes after another is told the same memories, as far as they are there: none that its person had
    forgotten meanwhile. What is told is noted while nothing of the person's can be forgotten, so that whoever forgets
    finds it noted, or it is not told.
    """
    whose, known = claim.telling, claim.memories
    if whose is None:
        return Block(), False
    found = Block()
    if known is None:
        found = telling.block(whose, claim.messages[-1].content, but=claim.conversation_id)
        if not found.entries:
            return Block(), False  # there is nothing to hold, or to note
    with transaction.atomic():
        owners.hold(whose.workspace_id, whose.user_id, whose.companion_id)
        if known is not None:
            return telling.again(known, whose), False
        if not found.still_holds():
            found = telling.again(found.entries, whose)
        told = json.dumps([str(one) for one in found.entries])
        mine = prepared.execute(_NOTE, {"run": claim.run_id, "attempt": claim.attempt, "told": told}).fetchone()
    if not mine:
        return Block(), False
    touching.note(found.entries)
    return found, True


def note(run_id: UUID, memories: Sequence[UUID]) -> None:
    """Note that a run's model is told these by a tool; to be called in the transaction in which they are read."""
    run = Run.objects.select_for_update(no_key=True).only("memories").filter(pk=run_id).first()
    if run is not None and memories:
        noted = dict.fromkeys([*(run.memories or ()), *map(str, memories)])
        Run.objects.filter(pk=run_id).update(memories=list(noted))
