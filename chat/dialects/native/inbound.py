"""What the native dialect's doors share: a validated body as what was said, and a reader's encoder and cursor."""

from typing import Any

from chat.dialects.native.encoder import Encoder
from chat.models import Run
from chat.services.runs import OnConflict
from chat.services.saying import Said


def said_of(body: dict[str, Any]) -> Said:
    """What was said, of a body that MessageRequest or one of its kind has validated."""
    return Said(
        text=body["message"],
        model=body.get("model"),
        mood=body.get("mood", ""),
        mode=body.get("mode"),
        metadata=body.get("metadata"),
        attachments=body.get("attachments", ()),
        tools=body.get("tools", ()),
        on_conflict=OnConflict(body["on_conflict"]),
    )


def encoder(run: Run) -> Encoder:
    """The encoder for a reader of this run."""
    return Encoder(
        session_id=str(run.conversation_id),
        run_id=str(run.pk),
        companion=run.companion_type,
        provider=run.provider,
        model=run.model,
    )


def highest_cursor(run: Run) -> int:
    """The highest number that an event of this run can have by now."""
    return max(run.seq, run.seq_base, run.conversation.last_seq) + (run.attempt + 1) * Run.ATTEMPT_SEQS
