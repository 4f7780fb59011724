"""How a run stands, for those who watch it."""

from dataclasses import dataclass

from agents.providers.base import PASSING
from chat import transcript
from chat.models import Message, Run, RunState
from chat.services import actions


@dataclass(frozen=True, slots=True)
class Standing:
    """How a run stands in the database: the truth that a reader falls back to when the log cannot serve it."""

    state: RunState
    attempt: int
    seq: int
    text: str
    reasoning: str
    message_id: str | None
    error_code: str
    error_message: str
    provider: str
    model: str
    companion: str
    conversation_id: str
    waits_for: tuple[actions.Asked, ...] = ()
    called: tuple[actions.Called, ...] = ()


def standing(run_id: str) -> Standing | None:
    """The run as the database has it, or None where it has been deleted."""
    run = Run.objects.filter(pk=run_id).first()
    if run is None:
        return None
    answer = Message.objects.filter(pk=run.answer_id).first() if run.answer_id else None
    parts = answer.parts if answer else run.draft
    return Standing(
        state=RunState(run.state),
        attempt=run.attempt,
        seq=run.seq,
        text=transcript.text(parts),
        reasoning=transcript.text(parts, "reasoning"),
        message_id=str(run.answer_id) if run.answer_id else None,
        error_code=run.error_code,
        error_message=run.error_message,
        provider=run.provider,
        model=run.model,
        companion=run.companion_type,
        conversation_id=str(run.conversation_id),
        waits_for=tuple(actions.asked(run.pk)) if run.waits else (),
        called=tuple(actions.called(run.pk)) if run.waits else (),
    )


_RETRYABLE = PASSING | {"gave_up", "internal_error", "brain_unavailable"}


def retryable(error_code: str) -> bool:
    """Whether the same message may be sent again with hope after a run failed with this code."""
    return error_code in _RETRYABLE
