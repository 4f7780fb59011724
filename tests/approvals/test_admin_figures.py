"""The pictures of approvals on the admin's first page."""

import datetime
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import Actor, Workspace
from approvals import figures, overview
from approvals.models import Approval, Decision
from approvals.services import approvals
from core import ids
from tests.approvals.desk import Desk, request

Browser = Callable[[Actor], Client]


def past(desk: Desk, member: Actor, days: int, status: str, *, took: int = 60, decision: str = "") -> None:
    """A request of so many days ago, which ended after so many seconds."""
    row = request(desk, member)
    at = timezone.now() - datetime.timedelta(days=days)
    row.delete()
    row.pk, row.created_at, row.status, row.decision = ids.first_since(at), at, status, decision
    row.decided_at = None if status == "pending" else at + datetime.timedelta(seconds=took)
    row.save(force_insert=True)


def test_each_day_tells_its_verdicts_and_its_times(desk: Desk, member: Actor) -> None:
    for took in (10, 20, 600):
        past(desk, member, 3, "approved", took=took, decision="approve")
    past(desk, member, 2, "rejected", took=5, decision="reject")
    past(desk, member, 2, "expired", took=86_400)
    past(desk, member, 1, "cancelled")
    past(desk, member, 1, "superseded")
    past(desk, member, 0, "pending")
    past(desk, member, 30, "approved", decision="approve")
    found = figures.last_days(Approval.objects.all())
    days = {day.begins.date(): day for day in found.days}
    assert len(days) == figures.DAYS
    third, second, first, today = (days[(timezone.now() - datetime.timedelta(days=n)).date()] for n in (3, 2, 1, 0))
    assert (third.approved, third.total) == (3, 3)
    assert third.median == datetime.timedelta(seconds=20)
    assert third.p90 == datetime.timedelta(seconds=20 + 0.8 * 580)
    assert (second.rejected, second.expired) == (1, 1)
    assert second.median == datetime.timedelta(seconds=5), "what nobody decided has no time to decide"
    assert (first.cancelled, first.superseded, today.open) == (1, 1, 1)
    assert sum(day.total for day in found.days) == 8
    assert found.whole


def test_what_waits_is_told_by_its_age(desk: Desk, member: Actor) -> None:
    for days in (0, 0, 2):
        past(desk, member, days, "pending")
    assert dict(figures.last_days(Approval.objects.all()).ages) == {
        "under 5 min": 2, "under 1 h": 0, "under 4 h": 0, "under 24 h": 0, "older": 1,
    }  # fmt: skip


def test_more_than_are_looked_at_are_told_as_that(desk: Desk, member: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "MOST", 3)
    for _ in range(5):
        past(desk, member, 1, "approved", decision="approve")
    found = figures.last_days(Approval.objects.all())
    assert not found.whole
    assert sum(day.total for day in found.days) == 3


def test_the_first_page_draws_the_own_workspaces(
    desk: Desk, member: Actor, stranger: Actor, manager: Actor, workspace: Workspace, browser: Browser
) -> None:
    approvals.decide(request(desk, member).pk, by=manager, decision=Decision.APPROVE)
    request(desk, member)
    request(desk, stranger)
    page = browser(manager).get("/admin/").text
    assert "1 approved, 0 rejected, 0 expired, 0 cancelled, 0 superseded, 1 pending" in page
    assert "half within 0 s" in page
    drawn: dict[str, Any] = overview.pictures([workspace.pk])
    assert drawn["approval_tallest"] == 2
    assert [part["kind"] for part in drawn["approval_days"][-1]["parts"]] == ["approved", "open"]


def test_an_empty_page_draws_nothing(manager: Actor, browser: Browser) -> None:
    page = browser(manager).get("/admin/")
    assert page.status_code == 200
    assert "Nothing was decided in these days." in page.text


def test_the_pictures_take_three_queries_however_many_there_are(desk: Desk, member: Actor) -> None:
    for _ in range(5):
        request(desk, member)
    with CaptureQueriesContext(connection) as captured:
        overview.pictures(None)
    assert len(captured) == 3
