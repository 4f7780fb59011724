"""The list of approvals: whose, which, in what order, and at what cost."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Group
from tests.approvals.calling import LIST, problem, url
from tests.approvals.desk import request
from tests.cast import person


def test_the_list_shows_what_waits_most_urgent_first(desk, member, manage):
    late = request(desk, member, request_lasts=timedelta(hours=30))
    soon = request(desk, member, request_lasts=timedelta(hours=2))
    grave = request(desk, member, call={"risk": "destructive", "tool": "service_delete"})
    told = manage.get(LIST).json()
    assert [row["id"] for row in told["approvals"]] == [str(one.pk) for one in (grave, soon, late)]
    assert (told["total"], told["limit"], told["offset"]) == (3, 20, 0)
    row = told["approvals"][1]
    assert set(row) == {
        "id", "status", "tool", "risk", "agent", "companion", "summary", "requested_by", "session_id", "run_id",
        "call_id", "created_at", "expires_at", "decision", "decided_by", "decided_at", "reason", "deciders", "edited",
    }  # fmt: skip
    assert (row["deciders"], row["edited"]) == ([], None)
    assert (row["status"], row["summary"], row["decision"]) == ("pending", "Restart billing.", None)
    assert row["requested_by"] == {"id": str(member.user.pk), "name": "Member"}
    assert row["expires_at"].endswith("Z")


def test_the_list_is_filtered(desk, member, manage):
    plain = request(desk, member)
    session = uuid4()
    light = {"tool": "light_switch", "agent": "smart-home", "risk": "external", "session_id": session}
    other = request(desk, member, call=light)
    done = request(desk, member)
    manage.post(url(done), {"decision": "reject", "reason": "No."})

    def found(**query: Any) -> list[str]:
        answer = manage.get(LIST, query)
        assert answer.json()["total"] == len(answer.json()["approvals"])
        return [row["id"] for row in answer.json()["approvals"]]

    assert found() == [str(other.pk), str(plain.pk)]
    assert found(status="rejected") == [str(done.pk)]
    assert found(status="approved") == []
    assert found(status="all") == [str(one.pk) for one in (done, other, plain)], "newest first"
    assert found(tool="light_switch") == found(agent="smart-home") == found(risk="external") == [str(other.pk)]
    assert found(session_id=session) == found(session_id=session, status="all") == [str(other.pk)]
    assert found(session_id=uuid4()) == []
    assert found(tool="light_switch", risk="write") == []
    assert manage.get(LIST, {"limit": 1, "offset": 1}).json()["approvals"][0]["id"] == str(plain.pk)


@pytest.mark.parametrize(
    "query", ["status=open", "status=", "risk=high", "limit=0", "limit=101", "offset=-1", "offset=10001", "unknown=1",
              "tool=a%20b", "session_id=x", "status=pending&status=all", "agent=x'y"],
)  # fmt: skip
def test_a_filter_that_does_not_fit_is_refused(manage, query):
    problem(manage.get(f"{LIST}?{query}"), 400)


def test_a_lists_queries_do_not_grow_with_it(desk, member, manage):
    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as ran:
            assert manage.get(LIST, {"limit": 100}).status_code == 200
        return len(ran)

    request(desk, member)
    few = queries()
    for _ in range(20):
        request(desk, member)
    assert queries() == few <= 4


def test_the_total_is_counted_to_a_bound(desk, member, manage, monkeypatch):
    monkeypatch.setattr("approvals.services.listing.COUNTED", 3)
    for number in range(5):
        request(desk, member)
        assert manage.get(LIST).json()["total"] == min(number + 1, 3)


def test_each_sees_what_is_theirs_to_see(desk, workspace, member, manager, auditor, stranger, client_of):
    colleague = person(workspace, "other")
    group = Group.objects.create(workspace=workspace, name="On call")
    on_call = person(workspace, "oncall")
    group.members.add(on_call.user)
    mine, theirs = request(desk, member), request(desk, colleague)
    for_group = request(desk, colleague, roles=(), groups=(group.pk,))
    both = {str(one.pk) for one in (mine, theirs, for_group)}
    for who, seen in (
        (manager, both), (auditor, both), (member, {str(mine.pk)}), (on_call, {str(for_group.pk)}), (stranger, set()),
    ):  # fmt: skip
        api = client_of(who)
        listed = api.get(LIST).json()
        assert {row["id"] for row in listed["approvals"]} == seen, who.user
        assert listed["total"] == len(seen)
        for one in (mine, theirs, for_group):
            assert api.get(url(one)).status_code == (200 if str(one.pk) in seen else 404)


def test_a_members_list_is_of_two_kinds_in_one_order(desk, workspace, member, manage, client_of):
    """Their own requests, and what is asked of them while it waits; what is both stands there once."""
    colleague = person(workspace, "other")
    everybody = {"roles": ("manager", "member")}
    own = [request(desk, member, **everybody) for _ in range(2)]
    asked = [request(desk, colleague, call={"risk": risk}, **everybody) for risk in ("destructive", "read")]
    api = client_of(member)

    def found(**query: Any) -> list[str]:
        return [row["id"] for row in api.get(LIST, query).json()["approvals"]]

    urgent = [str(one.pk) for one in (asked[0], *own, asked[1])]
    newest = [str(one.pk) for one in (*reversed(asked), *reversed(own))]
    assert (found(), found(status="all")) == (urgent, newest)
    assert [found(limit=1, offset=place)[0] for place in range(4)] == urgent
    assert found(status="all", limit=2, offset=1) == newest[1:3]
    manage.post(url(asked[0]), {"decision": "reject", "reason": "No."})
    assert (found(), found(status="rejected")) == (urgent[1:], [])
    assert api.get(url(asked[0])).json()["status"] == "rejected"
