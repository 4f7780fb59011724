"""The end of a run as one JSON body needs it: how it ended, and the answer, from the events or else as it is stored."""

from typing import Any

from agents import teams
from agents.events import RunCancelled, RunCompleted, RunFailed, RunWaiting, usage_json
from chat.dialects.failures import RunError
from chat.dialects.native.serializers import MessageOut
from chat.models import Message, Run
from chat.stream import Fold
from core import bridge

Ended = RunCompleted | RunWaiting | RunCancelled


def of(fold: Fold, run: Run) -> Ended:
    """What the run ended with, or waits for; raises RunError where it failed."""
    last = fold.last
    if isinstance(last, RunFailed):
        raise RunError(last, run)
    assert isinstance(last, RunCompleted | RunWaiting | RunCancelled), "a followed run ends with one of these"
    return last


def standing(last: Ended) -> str:
    """How the answer stands, in one word that all dialects share."""
    if isinstance(last, RunWaiting):
        return "awaiting_tools" if last.calls else "awaiting_approval"
    return "completed" if isinstance(last, RunCompleted) else "cancelled"


def approvals(last: Ended) -> list[str]:
    """The approvals that the answer waits for."""
    return last.approvals if isinstance(last, RunWaiting) else []


async def message(fold: Fold, last: Ended) -> dict[str, Any] | None:
    """The answer, as the events told it or else as it is stored; None while the run waits, or where nothing was said.

    A team's answer is to be read by `stored`: events of several speakers do not add up to its parts.
    """
    return _told(fold) or await stored(last)


async def stored(last: Ended) -> dict[str, Any] | None:
    """The answer as the database has it."""
    if isinstance(last, RunWaiting) or not last.message_id:
        return None
    return await bridge.in_thread(_read, last.message_id)


async def of_team(run: Run, last: Ended, answer: dict[str, Any] | None) -> dict[str, Any]:
    """What the members of a team said, and in which mode: in its answer, or so far where it waits."""
    parts = answer["parts"] if answer else []
    if isinstance(last, RunWaiting):
        parts = await bridge.in_thread(_draft, run)
    responses, summary = teams.result(parts)
    return {"mode": (run.team or {}).get("mode", ""), "responses": responses, "summary": summary}


def _told(fold: Fold) -> dict[str, Any] | None:
    """The answer as the events told it; None where they did not tell all of it."""
    last, kept = fold.last, fold.stored
    if kept is None or not fold.whole or not isinstance(last, RunCompleted):
        return None
    return {
        "id": kept.message_id,
        "role": "assistant",
        "content": last.text,
        "parts": fold.parts or [{"type": "text", "text": ""}],
        "created_at": kept.created_at,
        "usage": usage_json(fold.usage),
    }


def _read(message_id: str) -> dict[str, Any] | None:
    found = Message.objects.filter(pk=message_id).first()
    return dict(MessageOut(found).data) if found else None


def _draft(run: Run) -> list[dict[str, Any]]:
    """What was said so far in a run that goes on."""
    return Run.objects.filter(pk=run.pk).values_list("draft", flat=True).first() or []
