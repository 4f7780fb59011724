"""The calls that a run's client makes: it brings what came of each, once, and the run goes on when all are there.

A run that waits for its client has no lease and takes no worker's place. What is brought for a call of the server's own
tools is as for one that there is not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NoReturn
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from accounts.models import Actor
from agents.tools import client
from approvals.services import audit
from chat.models import Action, ActionState, Run, RunState
from chat.services import actions, chats, gate, runs
from core.errors import Conflict, Invalid, NotFound

MOST_SWEPT = 100
LONGEST_OUTPUT = 200_000  # bytes of JSON; models are told the first 20,000 characters
FAILED = "client_failed"


class UnknownCall(NotFound):
    """The run asked its client for no such call."""

    code = "unknown_call"
    title = "There is no such call"


class AlreadyAnswered(Conflict):
    """A call has its outcome; `calls` in the problem says which."""

    code = "already_answered"
    title = "The call has its outcome already"


class RunEnded(Conflict):
    """The run takes no results any more; `calls` in the problem says what stands."""

    code = "run_ended"
    title = "The run has ended"


@dataclass(frozen=True, slots=True)
class Result:
    """What a client says came of a call: any JSON, and whether the call succeeded."""

    call_id: str
    output: Any
    ok: bool = True


def answer(run_id: UUID, results: Sequence[Result], *, by: Actor) -> Run:
    """Store what the client brings for calls of the caller's run, all of it or nothing, and let the run go on.

    Raises UnknownRun, NotYours or ScopeMissing for who may say nothing there, Invalid for a call that stands twice,
    UnknownCall, RunEnded, and AlreadyAnswered where a call has its outcome: of two that bring one at the same time the
    second learns what stands.
    """
    chats.check_speaker(by, runs.get(run_id, by=by).conversation)
    wanted = [one.call_id for one in results]
    twice = next((place for place, call_id in enumerate(wanted) if call_id in wanted[:place]), None)
    if twice is not None:
        raise Invalid.field(f"results.{twice}.call_id", "stands twice", "duplicate")
    with transaction.atomic(), audit.together():
        run = _locked(run_id)
        if run is None:
            raise runs.UnknownRun(f"No run {run_id} is yours.")
        calls = Action.objects.select_for_update().filter(run=run, client=True)
        rows = {row.call_id: row for row in calls.filter(call_id__in=wanted)}
        if missing := [call_id for call_id in wanted if call_id not in rows]:
            raise UnknownCall(f"This run asked its client for no call {missing[0]!r}.")
        settled = [row for row in rows.values() if row.state != ActionState.AWAITED]
        if run.ended or settled:
            _refuse(run, settled)
        for one in results:
            _settle(rows[one.call_id], one, by)
        _go_on(run)
    return run


def awaiting(call_ids: Sequence[str], *, by: Actor, session_id: UUID | None = None) -> Run | None:
    """The caller's run that waits for the results of all these calls, in the session if one is named; None without.

    Where several do it is the newest.
    """
    mine = Run.objects.visible_to(by).select_related("conversation").filter(state=RunState.WAITING_TOOLS)
    if session_id is not None:
        mine = mine.filter(conversation=session_id)
    rows = Action.objects.filter(client=True, state=ActionState.AWAITED, call_id__in=call_ids, run__in=mine)
    found: dict[UUID, set[str]] = {}
    for run_id, call_id in rows.values_list("run_id", "call_id"):
        found.setdefault(run_id, set()).add(call_id)
    whole = [run_id for run_id, calls in found.items() if calls == {*call_ids}]
    return mine.filter(pk=max(whole)).first() if whole else None


def _refuse(run: Run, settled: Sequence[Action]) -> NoReturn:
    stands = {"calls": [{"call_id": row.call_id, "status": row.state, "summary": row.summary} for row in settled]}
    if run.ended:
        raise RunEnded(f"The run is {run.state}; nothing was stored.", extra=stands)
    names = ", ".join(row.call_id for row in settled)
    raise AlreadyAnswered(f"There is an outcome of {names}, and nothing was stored; send the others.", extra=stands)


def _settle(action: Action, brought: Result, by: Actor) -> None:
    told = client.result(action.tool, brought.output)
    action.state = ActionState.SUCCEEDED if brought.ok else ActionState.FAILED
    action.code, action.ended_at = "" if brought.ok else FAILED, Now()
    action.result, action.summary = told.content, told.summary[: actions.SUMMARY]
    action.save(update_fields=actions.OUTCOME)
    audit.record(actions.entry(action, f"action.{action.state}", audit.person(by), summary=action.summary))
    actions.announce(action)


def _go_on(run: Run) -> None:
    """Tell those who watch, and let the run go on where nothing else is waited for; its lock is held."""
    actions.tell(run, [actions.standing(run)])
    actions.advance(run)


def expire_due() -> None:
    """Refuse what clients did not bring in time: the model is told, and a run's client is asked nothing more."""
    due = _due(Action.objects.filter(run__isnull=False))
    for run_id in set(due.values_list("run_id", flat=True)[:MOST_SWEPT]):
        with transaction.atomic(), audit.together():
            run = _locked(run_id)
            rows = list(_due(Action.objects.select_for_update().filter(run=run_id)))
            for action in rows:
                actions.refuse(action, gate.SILENT, "The client did not bring the result in time.")
                action.save(update_fields=actions.OUTCOME)
                actions.announce(action)
            audit.record(*(actions.entry(action, "action.refused", audit.SYSTEM) for action in rows))
            if run is not None and rows:
                _go_on(run)


def _due(rows: "QuerySet[Action]") -> "QuerySet[Action]":
    since = Now() - timedelta(seconds=settings.CLIENT_TOOL_SECONDS)
    return rows.filter(state=ActionState.AWAITED, created_at__lt=since)


def _locked(run_id: UUID) -> Run | None:
    rows = Run.objects.select_for_update(of=("self",)).select_related("agent", "conversation")
    return rows.filter(pk=run_id).first()
