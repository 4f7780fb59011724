"""The inbox: what waits and for whom, in which order, page by page, and several requests decided together."""

import datetime
import re
from collections.abc import Callable

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import Actor, Group, Membership, Role, User, Workspace
from approvals import waiting
from approvals.admin import pending
from approvals.models import Approval, Decision
from approvals.services import approvals
from tests.approvals.desk import Desk, events, fresh, request
from tests.cast import PASSWORD, person

INBOX = "/admin/approvals/inbox/"
TOGETHER = f"{INBOX}decide/"
Browser = Callable[[Actor], Client]


def listed(text: str) -> list[str]:
    """The services of the requests in a list, in its order."""
    return re.findall(r"<bdi>Restart (\w+)\.</bdi></a>", text)


def ask(desk: Desk, member: Actor | None, service: str, risk: str = "write", **changes: object) -> Approval:
    return request(desk, member, call={"risk": risk, "arguments": {"service": service}}, **changes)


def test_the_gravest_stand_first_and_of_them_the_one_that_ends_soonest(
    desk: Desk, member: Actor, manager: Actor, browser: Browser
) -> None:
    ask(desk, member, "a", "read")
    ask(desk, member, "b", "destructive")
    ask(desk, member, "c", "destructive", request_lasts=datetime.timedelta(minutes=5))
    ask(desk, member, "d", "external")
    assert listed(browser(manager).get(INBOX).text) == ["c", "b", "d", "a"]


def test_a_row_tells_who_asks_and_how_long_there_is(
    desk: Desk, member: Actor, manager: Actor, browser: Browser
) -> None:
    approval = ask(desk, member, "billing", quorum_approve=2)
    page = browser(manager).get(INBOX).text
    for told in (
        "devops",
        member.user.name,
        "service_restart",
        "0 of 2 votes",
        "23 h 59 min",
        f"{approval.pk}/change/",
    ):
        assert told in page


def test_an_empty_inbox_says_what_would_appear(manager: Actor, browser: Browser) -> None:
    page = browser(manager).get(INBOX).text
    assert "Nothing waits for your decision." in page
    assert "the request appears here by itself" in page
    assert "Nothing that waits fits" in browser(manager).get(f"{INBOX}?tool=none").text


def test_mine_are_those_that_the_terms_ask_me_about(
    desk: Desk, member: Actor, manager: Actor, colleague: Actor, owner: Actor, browser: Browser, workspace: Workspace
) -> None:
    group = Group.objects.create(workspace=workspace, name="On call")
    group.members.add(colleague.user)
    ask(desk, member, "roles")
    ask(desk, manager, "own")
    ask(desk, member, "named", roles=(), people=(colleague.user.pk,))
    ask(desk, member, "grouped", roles=(), groups=(group.pk,))
    late = ask(desk, member, "late", roles=(), escalate_after=datetime.timedelta(hours=1), escalate_to=group.pk)
    assert sorted(listed(browser(manager).get(INBOX).text)) == ["roles"]
    assert sorted(listed(browser(owner).get(INBOX).text)) == ["own", "roles"]
    assert sorted(listed(browser(colleague).get(INBOX).text)) == ["grouped", "named", "own", "roles"]
    Approval.objects.filter(pk=late.pk).update(escalates_at=late.created_at)
    assert "late" in listed(browser(colleague).get(INBOX).text)
    assert "late" not in listed(browser(manager).get(INBOX).text)


def test_a_second_account_is_not_asked_about_its_own(
    desk: Desk, member: Actor, manager: Actor, colleague: Actor, browser: Browser
) -> None:
    User.objects.filter(pk=manager.user.pk).update(same_person_as=member.user)
    ask(desk, member, "mine")
    assert listed(browser(manager).get(INBOX).text) == []
    assert listed(browser(manager).get(f"{INBOX}?whose=all").text) == ["mine"]
    assert listed(browser(colleague).get(INBOX).text) == ["mine"]


def test_what_the_inbox_calls_mine_is_what_the_service_lets_me_decide(
    desk: Desk, member: Actor, manager: Actor, owner: Actor, auditor: Actor, workspace: Workspace
) -> None:
    group = Group.objects.create(workspace=workspace, name="On call")
    group.members.add(auditor.user)
    for changes in (
        {}, {"roles": ("auditor",)}, {"roles": ("admin",)}, {"roles": (), "groups": (group.pk,)},
        {"roles": (), "people": (manager.user.pk,)}, {"roles": ()},
    ):  # fmt: skip
        for requester in (member, manager, None):
            request(desk, requester, workspace=workspace, **changes)
    for actor in (manager, owner, auditor, member):
        mine = set(Approval.objects.filter(waiting.to_decide(actor.user, {workspace.pk: actor.role})))
        may = {row for row in Approval.objects.all() if approvals.may_decide(row, actor) is None}
        assert mine == may, actor.role
        assert 0 < len(mine) < 18 or actor is member


def test_other_workspaces_are_not_seen(
    desk: Desk, member: Actor, manager: Actor, stranger: Actor, other_workspace: Workspace, browser: Browser
) -> None:
    boss = person(other_workspace, "boss", Role.MANAGER)
    ask(desk, member, "here")
    ask(desk, stranger, "yonder")
    assert listed(browser(manager).get(f"{INBOX}?whose=all").text) == ["here"]
    assert listed(browser(boss).get(f"{INBOX}?whose=all").text) == ["yonder"]
    Membership.objects.create(workspace=other_workspace, user=manager.user, role=Role.AUDITOR)
    assert sorted(listed(browser(manager).get(f"{INBOX}?whose=all").text)) == ["here", "yonder"]
    assert listed(browser(manager).get(INBOX).text) == ["here"]


def test_who_has_no_role_that_reads_is_refused(member: Actor, browser: Browser) -> None:
    assert browser(member).get(INBOX).status_code == 403
    assert browser(member).post(TOGETHER).status_code == 403
    assert Client().get(INBOX).status_code == 302


def test_filters_narrow_by_tool_agent_and_risk(desk: Desk, member: Actor, manager: Actor, browser: Browser) -> None:
    ask(desk, member, "a", "destructive")
    request(desk, member, call={"tool": "device_set", "agent": "smart-home", "arguments": {"service": "b"}})
    client = browser(manager)
    for query, expected in (
        ("risk=destructive", ["a"]), ("tool=device_set", ["b"]), ("agent=smart-home", ["b"]),
        ("tool=device_set&risk=destructive", []), ("risk=nonsense", ["a", "b"]),
    ):  # fmt: skip
        assert listed(client.get(f"{INBOX}?{query}").text) == expected, query


def test_pages_follow_each_other_without_a_gap(
    desk: Desk, member: Actor, manager: Actor, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pending, "PAGE", 3)
    for number in range(4):
        ask(desk, member, f"w{number}", "write")
        ask(desk, member, f"x{number}", "external")
    Approval.objects.filter(risk="write").update(expires_at=Approval.objects.first().expires_at)
    client, query, seen = browser(manager), "", []
    for _ in range(3):
        text = client.get(f"{INBOX}?{query}").text
        seen.append(listed(text))
        found = re.search(r'href="\?([^"]+)">Less urgent', text)
        query = found[1].replace("&amp;", "&") if found else ""
    assert [len(page) for page in seen] == [3, 3, 2]
    assert sum(seen, []) == [f"x{number}" for number in range(4)] + [f"w{number}" for number in range(4)]
    assert query == ""


@pytest.mark.parametrize("place", ["x", "1_2_3", "9999_2026-01-01T00:00:00+00:00_x", "1_2026-01-01_", "1_" * 50])
def test_a_strange_place_is_the_beginning(
    place: str, desk: Desk, member: Actor, manager: Actor, browser: Browser
) -> None:
    ask(desk, member, "a")
    assert listed(browser(manager).get(f"{INBOX}?after={place}").text) == ["a"]


def test_the_fragment_tells_what_became_of_known_rows(
    desk: Desk, member: Actor, manager: Actor, colleague: Actor, browser: Browser
) -> None:
    gone, stays = ask(desk, member, "gone"), ask(desk, member, "stays")
    approvals.decide(gone.pk, by=colleague, decision=Decision.APPROVE)
    page = browser(manager).get(f"{INBOX}?fragment=1&known={gone.pk},{stays.pk},x,").text
    assert "<html" not in page
    assert listed(page) == ["stays"]
    assert re.search(rf'data-gone="{gone.pk}" hidden>Approved by <bdi>Colleague</bdi>, \d s ago', page)


def test_the_fragment_tells_nothing_of_other_workspaces(
    desk: Desk, stranger: Actor, manager: Actor, other_workspace: Workspace, browser: Browser
) -> None:
    boss = person(other_workspace, "boss", Role.MANAGER)
    foreign = ask(desk, stranger, "yonder")
    approvals.decide(foreign.pk, by=boss, decision=Decision.APPROVE)
    page = browser(manager).get(f"{INBOX}?fragment=1&known={foreign.pk}").text
    assert str(foreign.pk) not in page


def test_a_longer_inbox_takes_no_more_queries(desk: Desk, member: Actor, manager: Actor, browser: Browser) -> None:
    client = browser(manager)
    ask(desk, member, "first")

    def queries() -> list[str]:
        with CaptureQueriesContext(connection) as captured:
            assert client.get(INBOX).status_code == 200
        return [one["sql"] for one in captured]

    few = queries()
    for number in range(10):
        ask(desk, member, f"w{number}", quorum_approve=2)
    many = queries()
    assert len(many) == len(few) <= 14
    assert not any('"approvals_approval"."arguments"' in sql for sql in many), "what is heavy is not read"


def test_several_of_one_tool_are_shown_with_their_arguments_and_decided_together(
    desk: Desk, member: Actor, manager: Actor, browser: Browser
) -> None:
    rows = [ask(desk, member, name) for name in ("a", "b", "c")]
    client, chosen = browser(manager), [row.pk for row in rows[:2]]
    asked = client.post(TOGETHER, {"ids": chosen, "decision": "approve"})
    assert asked.status_code == 200
    assert asked.text.count('class="exact') == 2
    assert all(fresh(row).status == "pending" for row in rows), "the first page only asks"
    given = {f"digest-{row.pk}": row.digest for row in rows[:2]}
    done = client.post(TOGETHER, {"ids": chosen, "decision": "approve", "confirmed": 1, **given}, follow=True)
    assert "Approved: 2 of service_restart." in done.text
    assert [fresh(row).status for row in rows] == ["approved", "approved", "pending"]
    assert events(rows[0])[-1] == "approved"


def test_requests_of_two_tools_are_not_decided_together(
    desk: Desk, member: Actor, manager: Actor, browser: Browser
) -> None:
    rows = [ask(desk, member, "a"), request(desk, member, call={"tool": "device_set"})]
    sent = {"ids": [row.pk for row in rows], "decision": "approve", "confirmed": 1}
    page = browser(manager).post(TOGETHER, sent, follow=True)
    assert "Only requests of one tool are decided together, not of device_set, service_restart." in page.text
    assert {fresh(row).status for row in rows} == {"pending"}


def test_together_each_is_bound_to_what_was_shown(desk: Desk, member: Actor, manager: Actor, browser: Browser) -> None:
    good, changed, unseen = (ask(desk, member, name) for name in ("a", "b", "c"))
    sent = {"ids": [good.pk, changed.pk, unseen.pk], "decision": "approve", "confirmed": 1}
    sent |= {f"digest-{good.pk}": good.digest, f"digest-{changed.pk}": "0" * 64}
    page = browser(manager).post(TOGETHER, sent, follow=True)
    assert "Approved: 1 of service_restart." in page.text
    assert "not the digest" in page.text
    assert [fresh(row).status for row in (good, changed, unseen)] == ["approved", "pending", "pending"]


def test_together_each_is_told_of_that_somebody_decided_meanwhile_or_that_is_sent_twice(
    desk: Desk, member: Actor, manager: Actor, colleague: Actor, browser: Browser
) -> None:
    own, over = ask(desk, member, "own"), ask(desk, member, "over")
    approvals.decide(over.pk, by=colleague, decision=Decision.REJECT, reason="No.")
    sent = {"ids": [own.pk, over.pk], "decision": "approve", "confirmed": 1}
    sent |= {f"digest-{row.pk}": row.digest for row in (own, over)}
    for _ in range(2):
        told = browser(manager).post(TOGETHER, sent, follow=True).text
        assert "Approved: 1 of service_restart." in told
        assert "Your decision was not counted. Colleague rejected this" in told


def test_together_what_changed_since_is_said_to_have_changed(
    desk: Desk, member: Actor, manager: Actor, browser: Browser
) -> None:
    row = ask(desk, member, "a")
    sent = {"ids": row.pk, "decision": "reject", "confirmed": 1, f"digest-{row.pk}": "0" * 64}
    assert "Some of these have changed since this page showed them" in browser(manager).post(TOGETHER, sent).text


def test_rejecting_together_needs_a_reason(desk: Desk, member: Actor, manager: Actor, browser: Browser) -> None:
    row = ask(desk, member, "a")
    sent = {"ids": row.pk, "decision": "reject", "confirmed": 1, f"digest-{row.pk}": row.digest}
    refused = browser(manager).post(TOGETHER, sent)
    assert (refused.status_code, fresh(row).status) == (400, "pending")
    browser(manager).post(TOGETHER, {**sent, "reason": "Not today."})
    assert (fresh(row).status, fresh(row).reason) == ("rejected", "Not today.")


def test_what_cannot_be_taken_back_is_approved_together_only_when_that_is_said(
    desk: Desk, member: Actor, manager: Actor, browser: Browser
) -> None:
    row = ask(desk, member, "a", "destructive")
    sent = {"ids": row.pk, "decision": "approve", "confirmed": 1, f"digest-{row.pk}": row.digest}
    assert "cannot be taken back" in browser(manager).post(TOGETHER, sent).text
    assert fresh(row).status == "pending"
    browser(manager).post(TOGETHER, {**sent, "certain": "on"})
    assert fresh(row).status == "approved"


def test_the_password_that_one_of_them_needs_is_asked_for_together(
    desk: Desk, member: Actor, workspace: Workspace, browser: Browser
) -> None:
    client = browser(person(workspace, "boss", Role.MANAGER, PASSWORD))
    row = ask(desk, member, "a", "destructive", fresh_password=True)
    sent = {"ids": row.pk, "decision": "approve", "confirmed": 1, f"digest-{row.pk}": row.digest}
    for more, told in (
        ({"certain": "on"}, "Type your password in the box above."),
        ({"certain": "on", "password": "x"}, "This is not your password."),
        ({"password": PASSWORD}, "Tick the box"),
    ):
        page = client.post(TOGETHER, {**sent, **more})
        assert (page.status_code, page.text.count(told)) == (400, 1)
        assert re.search(r'<input type="password"[^>]* required', page.text)
        assert fresh(row).status == "pending"
    client.post(TOGETHER, {**sent, "certain": "on", "password": PASSWORD})
    assert fresh(row).status == "approved"


def test_an_auditor_decides_nothing_together_and_the_log_has_the_attempt(
    desk: Desk, member: Actor, manager: Actor, auditor: Actor, browser: Browser
) -> None:
    row = ask(desk, member, "a")
    page = browser(auditor).get(f"{INBOX}?whose=all").text
    assert 'name="ids"' not in page
    assert "Approve…" not in page
    sent = {"ids": row.pk, "decision": "approve", "confirmed": 1, f"digest-{row.pk}": row.digest}
    told = browser(auditor).post(TOGETHER, sent, follow=True).text
    assert "The policy asks others to decide this. Asked are: Managers, Admins." in told
    assert fresh(row).status == "pending"
    assert events(row)[-1] == "denied_attempt"


@pytest.mark.parametrize(
    "sent", [{}, {"decision": "approve"}, {"decision": "approve", "ids": "x"}, {"decision": "respond", "ids": "x"}]
)
def test_a_lot_that_is_none_is_told_as_one(sent: dict[str, str], manager: Actor, browser: Browser) -> None:
    assert browser(manager).post(TOGETHER, sent).status_code == 302
    assert browser(manager).get(TOGETHER).status_code == 302
