"""What a run's model is told of its person: recalled once, noted with the run, and told again where the run goes on."""

from collections.abc import Sequence
from uuid import UUID

from django.db import transaction

from chat.models import Run, RunState
from memory.services import owners, telling, touching
from memory.services.telling import Block


def block(run_id: UUID, attempt: int) -> tuple[Block, bool]:
    """What is told with a run's message, and whether it was recalled just now; nothing where no person speaks.

    An attempt that comes after another is told the same memories, as far as they are there: none that its person had
    forgotten meanwhile. What is told is noted while nothing of the person's can be forgotten, so that whoever forgets
    finds it noted, or it is not told.
    """
    rows = Run.objects.select_related("conversation__companion", "message").only(
        "memories", "role", "workspace_id", "conversation__user_id", "conversation__parent_id",
        "conversation__companion", "message__content",
    )  # fmt: skip
    run = rows.filter(pk=run_id, attempt=attempt, role="").first()
    if run is None or run.conversation.companion is None or run.conversation.user_id is None:
        return Block(), False
    person_id, companion = run.conversation.user_id, run.conversation.companion
    whose = run.workspace_id, person_id, companion.pk
    found = Block()
    if run.memories is None:
        found = telling.block(run.workspace_id, person_id, companion, run.message.content, but=run.conversation_id)
        if not found.entries:
            return Block(), False  # there is nothing to hold, or to note
    with transaction.atomic():
        owners.hold(*whose)
        if run.memories is not None:
            return telling.again([UUID(one) for one in run.memories], *whose), False
        if not found.still_holds():
            found = telling.again(found.entries, *whose)
        told = [str(one) for one in found.entries]
        mine = Run.objects.filter(pk=run_id, attempt=attempt, state=RunState.RUNNING).update(memories=told)
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
