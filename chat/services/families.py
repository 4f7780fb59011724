"""A run and those that work within it: what they wait for and took together, and how one that asked hears of the end.

Locks are taken from below: a child's row before its parent's, and a parent's only while it waits. So whoever lets a
child go on finds a parent that waits, or one that has not looked yet.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from agents.events import Usage
from agents.tools import registry
from agents.tools.registry import ToolResult
from approvals.services import audit
from chat import eventlog
from chat.models import Action, ActionState, Run, RunRole, RunState
from chat.services import actions, ledger
from chat.services.actions import SUMMARY, Asked
from chat.transcript import Part
from core import commits

CALL = "call."


def hold(
    run_id: UUID, attempt: int, *, seq: int, parts: Sequence[Part], tell: bool, **stored: Any
) -> list[Asked] | None:
    """Let a run wait because all that works within it waits for people; gives what is waited for.

    None where somebody within it goes on, or the run is not this attempt's any more. `seq` covers all that was said;
    the event that tells of the wait comes after it and, with `tell`, after one for each approval. Raises Stopping.
    """
    with transaction.atomic():
        below = list(Run.objects.select_for_update().filter(parent=run_id, ended_at=None).order_by("pk"))
        if not below or not all(run.waits for run in below):
            return None
        run = Run.objects.select_for_update().filter(pk=run_id, attempt=attempt, state=RunState.RUNNING).first()
        if run is None:
            return None
        waiting = actions.asked(run_id)
        actions.hold(run, seq=seq + 1 + (len(waiting) if tell else 0), draft=list(parts), **stored)
    return waiting


def all_wait(run_id: UUID) -> bool:
    """Whether somebody works within the run, and all who do wait for people."""
    states = Run.objects.filter(parent=run_id, ended_at=None).values_list("state", flat=True)
    return bool(states) and set(states) == {RunState.WAITING_APPROVAL}


def taken(root_id: UUID, *, but: UUID) -> Usage | None:
    """What the first run and all that work within it took so far, as limits count it, without the run `but`.

    What is asked of models at the moment is known to the last checkpoint, and as long as nobody told of it estimated.
    """
    family = Run.objects.filter(Q(pk=root_id) | Q(root_id=root_id)).exclude(pk=but)
    return ledger.total(one for spent in family.values_list("spent", flat=True) for one in ledger.read(spent))


def settle_calls(ended: Sequence[tuple[UUID, bool, str, str]]) -> None:
    """Give the calls that these runs answered their outcome; each is its id, whether it succeeded, text and code.

    In the transaction in which they end: a call that was handed on is settled whatever becomes of any worker.
    """
    outcomes = {run_id: (ok, text, code) for run_id, ok, text, code in ended}
    for run in Run.objects.filter(pk__in=outcomes, role=RunRole.DELEGATE).select_related("agent").order_by("pk"):
        ok, text, code = outcomes[run.pk]
        rows = Action.objects.select_for_update().filter(pk=UUID(run.place.removeprefix(CALL)))
        action = rows.filter(run=run.parent_id, state=ActionState.DELEGATED).first()
        if action is None:
            continue
        said = text if ok else f"{run.agent.name} did not answer: {text or code}"
        told = registry.bounded(ToolResult(said, f"{run.agent.name} {'answered' if ok else f'failed: {code}'}"))
        action.state = ActionState.SUCCEEDED if ok else ActionState.FAILED
        action.code, action.result, action.summary = ("" if ok else code)[:60], told.content, told.summary[:SUMMARY]
        action.ended_at = Now()
        action.save(update_fields=actions.OUTCOME)
        audit.record(actions.entry(action, f"action.{action.state}", summary=action.summary))
        actions.announce(action)
        if run.parent_id:
            commits.after(eventlog.tell_settled, run.parent_id)
