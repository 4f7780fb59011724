"""Runs that ended without an answer, as errors with a status: what whoever waited for the answer is told instead."""

from agents.events import RunFailed
from chat.models import Run
from core.errors import DomainError

STATUS_OF = {
    "budget_exceeded": 402,
    "unknown_model": 404,
    "brain_unavailable": 503,
    "provider_unavailable": 503,
    "provider_rate_limited": 503,
    "first_token_timeout": 504,
    "stalled": 504,
    "turn_too_long": 504,
    "context_too_long": 400,
    "deleted": 404,
    "internal_error": 503,
    "gave_up": 503,
}


class RunError(DomainError):
    """A run that ended without an answer, as the status and code of its error."""

    title = "The answer failed"

    def __init__(self, event: RunFailed, run: Run) -> None:
        super().__init__(
            event.message,
            extra={
                "run_id": str(run.pk),
                "session_id": str(run.conversation_id),
                "retryable": event.retryable,
                **({"budget": event.budget} if event.budget else {}),
            },
        )
        self.code = event.code  # type: ignore[misc]
        self.status = status_of(event.code)  # type: ignore[misc]


def status_of(code: str) -> int:
    """The HTTP status of a failed run by its code; a failure that is not ours is the provider's: 502."""
    return STATUS_OF.get(code, 502)
