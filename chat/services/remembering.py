"""What a run's model is told of its person: recalled once, noted with the run, and told again where the run goes on."""

from uuid import UUID

from chat.models import Run, RunRole, RunState
from memory.services import telling
from memory.services.telling import Block


def block(run_id: UUID, attempt: int) -> tuple[Block, bool]:
    """What is told with a run's message, and whether it was recalled just now; nothing where no person speaks.

    An attempt that comes after another is told the same memories, as far as they are there: none that its person had
    forgotten meanwhile.
    """
    rows = Run.objects.select_related("conversation__companion", "message").only(
        "memories", "role", "workspace_id", "conversation__user_id", "conversation__parent_id",
        "conversation__companion", "message__content",
    )  # fmt: skip
    run = rows.filter(pk=run_id, attempt=attempt, role__in=("", RunRole.DELEGATE)).first()
    if run is None or run.conversation.companion is None or run.conversation.user_id is None:
        return Block(), False
    person_id, companion = run.conversation.user_id, run.conversation.companion
    if run.memories is not None:
        return telling.again([UUID(one) for one in run.memories], run.workspace_id, person_id), False
    found = telling.block(run.workspace_id, person_id, companion, run.message.content, but=run.conversation_id)
    told = [str(one) for one in found.entries]
    mine = Run.objects.filter(pk=run_id, attempt=attempt, state=RunState.RUNNING).update(memories=told)
    return (found, True) if mine else (Block(), False)
