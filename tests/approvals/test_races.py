"""Decisions at the same instant: one ends the request, all others are told how it stands."""

import logging
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models.functions import Now

from accounts.models import Actor, Group, Role, Workspace
from approvals.models import Approval, Decision, Vote
from approvals.services import approvals, audit
from tests.approvals.desk import Desk, events, fresh, request
from tests.cast import person
from tests.crowd import crowd

DECIDERS, TRIALS = 40, 20
APPROVE, REJECT = Decision.APPROVE, Decision.REJECT
ENDINGS = {"approved", "rejected", "expired", "cancelled", "superseded"}

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def managers(workspace: Workspace, transactional_db: None) -> list[Actor]:
    """As many managers as decide at once."""
    return [person(workspace, f"manager{number}", Role.MANAGER) for number in range(DECIDERS)]


def test_of_forty_deciders_one_wins_and_the_others_are_told(desk, member, managers):
    with crowd(DECIDERS) as at_once:
        for trial in range(TRIALS):
            asked = request(desk, member)
            said = [(APPROVE, "")] * 20 + [(REJECT, "No.")] * 20

            def vote(by: Actor, decision: Decision, reason: str, asked: Approval = asked) -> str:
                return approvals.decide(asked.pk, by=by, decision=decision, reason=reason, digest=asked.digest).status

            calls = [
                lambda by=by, what=what, vote=vote: vote(by, *what) for by, what in zip(managers, said, strict=True)
            ]
            told = Counter(at_once(calls))
            status = fresh(asked).status
            assert told == {status: 1, "already_decided": DECIDERS - 1}, trial
            assert events(asked) == ["requested", status], trial
            assert desk.heard.count((asked.pk, status)) == 1
            assert Vote.objects.filter(approval=asked).count() == 1
    assert len(desk.heard) == TRIALS


def test_the_requests_own_lock_is_enough_to_keep_votes_in_line(desk, member, managers):
    desk.lock = lambda subject_id: None
    with crowd(DECIDERS) as at_once:
        asked = request(desk, member, quorum_approve=5)
        told = at_once([lambda by=by: approvals.decide(asked.pk, by=by, decision=APPROVE).status for by in managers])
    assert Counter(told) == {"pending": 4, "approved": 1, "already_decided": DECIDERS - 5}
    assert Vote.objects.count() == 5


def test_of_forty_votes_as_many_count_as_are_needed(desk, member, managers):
    with crowd(DECIDERS) as at_once:
        asked = request(desk, member, quorum_approve=7, quorum_reject=7)
        told = Counter(
            at_once([lambda by=by: approvals.decide(asked.pk, by=by, decision=APPROVE).status for by in managers])
        )
    assert told == {"pending": 6, "approved": 1, "already_decided": DECIDERS - 7}
    assert events(asked) == ["requested", *["voted"] * 6, "approved"]


def test_one_person_votes_once_however_often_at_once(desk, member, managers):
    with crowd(8) as at_once:
        asked = request(desk, member, quorum_approve=2)
        told = at_once([lambda: approvals.decide(asked.pk, by=managers[0], decision=APPROVE).status] * 8)
    assert Counter(told) == {"pending": 1, "already_voted": 7}
    assert Vote.objects.count() == 1


def later(queries: int, call: Callable[[], Any]) -> Callable[[], Any]:
    """The call after so many round trips, so that over the trials each comes first now and then."""

    def act() -> Any:
        for _ in range(queries):
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
        return call()

    return act


def ways(asked: Approval, managers: list[Actor]) -> dict[str, Callable[[], Any]]:
    """What may end a request."""

    def decide(by: Actor, **how: Any) -> str:
        return approvals.decide(asked.pk, by=by, **how).status

    def expire() -> bool:
        Approval.objects.filter(pk=asked.pk).update(expires_at=Now() - timedelta(seconds=1))
        return bool(approvals.expire_due())

    return {
        "approve": lambda: decide(managers[0], decision=APPROVE),
        "reject": lambda: decide(managers[1], decision=REJECT, reason="No."),
        "edit": lambda: decide(managers[2], decision=APPROVE, arguments={"service": "mail"}),
        "expire": expire,
        "cancel": lambda: bool(approvals.cancel(asked.run_id, who=audit.SYSTEM, reason="Stopped.")),
        "supersede": lambda: approvals.supersede(asked.pk, reason="The policy changed."),
    }


def check_one_end(desk: Desk, asked: Approval, told: list[Any]) -> None:
    """One terminal status, which the log, the owner and the deciders were told alike."""
    now, log = fresh(asked), events(asked)
    assert now.status in ENDINGS
    assert log == ["requested", *(["edited"] if now.version == 2 else []), now.status]
    assert (now.arguments == {"service": "mail"}) == (now.version == 2)
    assert [status for pk, status in desk.heard if pk == asked.pk] == [now.status]
    decided = [answer for answer in told if answer in ("approved", "rejected")]
    assert decided == ([now.status] if now.status in ("approved", "rejected") else [])


@pytest.mark.parametrize("name", ["approve", "reject", "edit", "expire", "cancel", "supersede"])
def test_whatever_ends_a_request_locks_what_stands_above_it(desk, member, managers, name):
    asked = request(desk, member)
    desk.locked.clear()
    ways(asked, managers)[name]()
    assert fresh(asked).status in ENDINGS
    assert desk.locked == [asked.subject_id]


@pytest.mark.parametrize("other", ["reject", "edit", "expire", "cancel", "supersede"])
def test_an_approval_and_whatever_comes_at_the_same_instant_end_in_one_state(desk, member, managers, other):
    with crowd(2) as at_once:
        for trial in range(30):
            asked = request(desk, member)
            end = ways(asked, managers)
            told = at_once([later(15 - trial, end["approve"]), later(trial - 15, end[other])])
            check_one_end(desk, asked, told)


def test_all_ends_at_once_are_one(desk, member, managers):
    with crowd(6) as at_once:
        for trial in range(36):
            asked = request(desk, member)
            end = ways(asked, managers)
            decided = [end.pop(name) for name in ("approve", "reject", "edit")]
            told = at_once([*decided, *(later(trial, other) for other in end.values())])
            check_one_end(desk, asked, told)


def test_sweeps_at_once_do_everything_once(desk, workspace, member, caplog):
    group = Group.objects.create(workspace=workspace, name="Second line")
    late = {"escalate_after": timedelta(minutes=5), "escalate_to": group.pk}
    asked = [request(desk, member, **late) for _ in range(30)]
    second = timedelta(seconds=1)
    with crowd(4) as at_once, caplog.at_level(logging.ERROR):
        Approval.objects.update(escalates_at=Now() - second)
        assert sum(at_once([approvals.escalate_due] * 4)) + approvals.escalate_due() == 30
        Approval.objects.update(expires_at=Now() - second)
        assert sum(at_once([approvals.expire_due] * 4)) + approvals.expire_due() == 30
    assert all(events(one) == ["requested", "escalated", "expired"] for one in asked)
    assert not caplog.records


def test_a_vote_and_the_loss_of_the_right_do_not_both_count(desk, member, managers):
    """Whoever comes first: either the vote counts, or it was refused."""
    with crowd(2) as at_once:
        for manager in managers[:10]:
            asked = request(desk, member)
            told, _ = at_once(
                [
                    lambda by=manager, asked=asked: approvals.decide(asked.pk, by=by, decision=APPROVE).status,
                    lambda by=manager: type(by.membership).objects.filter(pk=by.membership.pk).update(role="member"),
                ]
            )
            assert told in ("approved", "role_required")
            assert fresh(asked).status == ("approved" if told == "approved" else "pending")
            assert not approvals.still_holds(fresh(asked)), "at the gate the right is gone in any case"
