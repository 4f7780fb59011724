"""A request's page: what it shows, and each way to decide on it."""

import html
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts import limits
from accounts.models import Actor, Membership, Role, Workspace
from approvals.models import Approval, AuditEvent, Decision, Grant
from approvals.services import approvals
from tests.approvals.desk import Desk, events, fresh, request
from tests.cast import PASSWORD, person

Browser = Callable[[Actor], Client]


def page_of(approval: Approval, name: str = "change") -> str:
    return f"/admin/approvals/approval/{approval.pk}/{name}/"


def post(client: Client, approval: Approval, decision: str = "approve", **more: Any) -> HttpResponse:
    given = {"decision": decision, "digest": approval.digest, **more}
    return client.post(page_of(approval, "decide"), given)


def plain(text: str) -> str:
    """What a page says, without its tags."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", text)).split())


def test_the_page_shows_what_would_run_and_why_it_is_asked(
    desk: Desk, member: Actor, manager: Actor, browser: Browser
) -> None:
    approval = request(desk, member, call={"arguments": {"service": "billing", "count": 2}}, quorum_approve=2)
    preview = {
        "sentence": "Restart the service billing.",
        "diff": [{"what": "billing", "before": "running", "after": "restarted"}],
        "recipients": ["ops@example.org"],
        "amount": "€ 3.00",
        "details": {"region": "eu", "items": "seven"},
    }
    Approval.objects.filter(pk=approval.pk).update(preview=preview)
    response = browser(manager).get(page_of(approval))
    text = plain(response.text)
    assert response.status_code == 200
    for told in (
        "Restart the service billing.", "restarted", "ops@example.org", "€ 3.00", "seven", '"count": 2',
        '"service": "billing"', "devops", member.user.email, "Restarts, version 1", "Managers, Admins",
        approval.digest, approval.digest[:12], "0 of 2 votes to approve", "23 h 59 min left to decide",
    ):  # fmt: skip
        assert told in text, told


def test_a_manager_approves(desk: Desk, member: Actor, manager: Actor, browser: Browser) -> None:
    approval = request(desk, member)
    client = browser(manager)
    assert client.get(page_of(approval, "decide")).status_code == 302
    assert fresh(approval).status == "pending"
    done = client.post(page_of(approval, "decide"), {"decision": "approve", "digest": approval.digest}, follow=True)
    assert "service_restart: Approved." in plain(done.text)
    assert f'href="{page_of(approval)}">See what becomes of it' in done.text
    assert (fresh(approval).status, fresh(approval).decided_by) == ("approved", manager.user)
    assert events(approval) == ["requested", "approved"]
    text = plain(client.get(page_of(approval)).text)
    assert "Approved by Manager (manager@home.example)" in text
    assert 'value="approve"' not in client.get(page_of(approval)).text


def test_rejecting_needs_a_reason_which_is_kept(desk: Desk, member: Actor, manager: Actor, browser: Browser) -> None:
    approval, client = request(desk, member), browser(manager)
    refused = post(client, approval, "reject")
    assert (refused.status_code, fresh(approval).status) == (400, "pending")
    assert "say why" in refused.text
    assert post(client, approval, "reject", reason="Not during the day.").status_code == 302
    assert (fresh(approval).status, fresh(approval).reason) == ("rejected", "Not during the day.")
    assert "Not during the day." in client.get(page_of(approval)).text


def test_a_manager_answers_instead_of_letting_it_run(
    desk: Desk, member: Actor, manager: Actor, browser: Browser
) -> None:
    approval = request(desk, member)
    post(browser(manager), approval, "respond", response="It runs already.")
    assert (fresh(approval).decision, fresh(approval).response) == (Decision.RESPOND, "It runs already.")


def test_what_changed_meanwhile_is_shown_anew_and_can_be_decided_then(
    desk: Desk, member: Actor, manager: Actor, colleague: Actor, browser: Browser
) -> None:
    old, client = request(desk, member, quorum_approve=2), browser(manager)
    given = {"arguments": {"service": "login"}, "digest": old.digest}
    now = approvals.decide(old.pk, by=colleague, decision=Decision.APPROVE, **given)
    page = post(client, old, reason="As agreed.")
    assert (page.status_code, plain(page.text).count("the request has changed since this page showed it")) == (409, 1)
    assert "As agreed." in page.text
    assert re.findall(r'name="digest" value="(\w+)"', page.text) == [now.digest]
    assert post(client, now).status_code == 302
    assert fresh(old).status == "approved"


def test_one_of_two_votes_is_told_as_one(
    desk: Desk, member: Actor, manager: Actor, colleague: Actor, browser: Browser
) -> None:
    approval = request(desk, member, quorum_approve=2)
    sent = {"decision": "approve", "digest": approval.digest}
    page = browser(manager).post(page_of(approval, "decide"), sent, follow=True)
    assert "Your vote is counted: 1 of 2 votes." in plain(page.text)
    assert "1 of 2 votes to approve" in plain(browser(colleague).get(page_of(approval)).text)
    again = post(browser(manager), approval)
    assert (again.status_code, fresh(approval).status) == (409, "pending")
    assert "You have voted on this. It waits for the votes of others: Managers, Admins." in plain(again.text)
    post(browser(colleague), approval)
    assert fresh(approval).status == "approved"


def test_who_comes_second_is_told_what_happened(
    desk: Desk, member: Actor, manager: Actor, colleague: Actor, browser: Browser
) -> None:
    said = "Your decision was not counted. Colleague"
    for given, told in (
        ({"decision": Decision.REJECT, "reason": "No."}, r"rejected this \d+ s ago; it does not run\. Reason: No\."),
        ({"decision": Decision.APPROVE}, r"approved this \d+ s ago; it may be running or have run\."),
        ({"decision": Decision.RESPOND, "response": "It runs."}, r"answered this \d+ s ago in place of the tool"),
    ):
        approval = request(desk, member)
        decided = approvals.decide(approval.pk, by=colleague, **given)
        page = post(browser(manager), approval)
        assert page.status_code == 409
        assert re.search(f"{said} {told}", plain(page.text)), told
        assert fresh(approval).status == decided.status


@pytest.mark.parametrize(
    ("status", "told"),
    [("expired", "Nobody decided in time: this ended"), ("cancelled", "This was cancelled"),
     ("superseded", "and was judged anew; if that asks again, the inbox has a new request. Reason: Other rules.")],
)  # fmt: skip
def test_who_comes_when_it_is_over_is_told_how_it_ended(
    status: str, told: str, desk: Desk, member: Actor, manager: Actor, browser: Browser
) -> None:
    approval, client = request(desk, member), browser(manager)
    reason = "Other rules." if status == "superseded" else ""
    Approval.objects.filter(pk=approval.pk).update(status=status, decided_at=approval.created_at, reason=reason)
    page = post(client, approval)
    assert page.status_code == 409
    assert told in plain(page.text)


@pytest.mark.parametrize(
    ("changes", "status"),
    [({"digest": "0" * 64}, 409), ({"digest": "short"}, 400), ({"digest": ""}, 400), ({"decision": "maybe"}, 400),
     ({"reason": "x" * 2_001}, 400), ({"decision": "respond", "response": ""}, 400)],
)  # fmt: skip
def test_what_does_not_fit_decides_nothing(
    changes: dict[str, str], status: int, desk: Desk, member: Actor, manager: Actor, browser: Browser
) -> None:
    approval = request(desk, member)
    page = post(browser(manager), approval, **changes)
    assert (page.status_code, fresh(approval).status) == (status, "pending")
    assert 'role="alert"' in page.text


def test_who_may_not_decide_has_no_buttons_and_is_refused_and_logged(
    desk: Desk, member: Actor, manager: Actor, owner: Actor, auditor: Actor, browser: Browser
) -> None:
    own, other = request(desk, manager), request(desk, member)
    for actor, approval in ((auditor, other), (manager, own)):
        client = browser(actor)
        page = client.get(page_of(approval))
        assert page.status_code == 200
        assert 'name="decision"' not in page.text
        assert re.search("data-refusal><bdi>.* Asked are: Managers, Admins.", page.text)
        before = AuditEvent.objects.count()
        assert post(client, approval).status_code == 403
        assert fresh(approval).status == "pending"
        assert events(approval)[-1] == "denied_attempt"
        assert AuditEvent.objects.count() == before + 1


def test_a_member_and_a_stranger_are_refused_whatever_the_id_and_logged(
    desk: Desk, member: Actor, manager: Actor, other_workspace: Workspace, browser: Browser
) -> None:
    boss, approval = person(other_workspace, "boss", Role.MANAGER), request(desk, manager)
    for actor in (boss, member):
        client = browser(actor)
        assert client.get(page_of(approval)).status_code == 302
        assert client.get(page_of(approval, "standing")).status_code == 404
        assert client.get(page_of(approval, "edit")).status_code == 403
        before = events(approval)
        assert post(client, approval).status_code == 403
        assert events(approval) == [*before, "denied_attempt"]
    for unknown in ("00000000-0000-7000-8000-000000000000", "x"):
        assert browser(boss).post(f"/admin/approvals/approval/{unknown}/decide/", {}).status_code == 403
    assert fresh(approval).status == "pending"


def test_a_decision_without_the_token_against_forgery_is_refused(
    desk: Desk, member: Actor, manager: Actor, browser: Browser
) -> None:
    approval = request(desk, member)
    browser(manager)
    client = Client(enforce_csrf_checks=True)
    client.force_login(manager.user)
    assert post(client, approval).status_code == 403
    assert fresh(approval).status == "pending"


def test_the_page_itself_takes_nothing(desk: Desk, member: Actor, owner: Actor, browser: Browser) -> None:
    approval, client = request(desk, member), browser(owner)
    for name in ("change", "delete"):
        assert client.post(page_of(approval, name), {"status": "approved", "post": "yes"}).status_code == 403
    assert client.get("/admin/approvals/approval/add/").status_code == 403
    assert fresh(approval).status == "pending"


def test_what_cannot_be_taken_back_is_approved_only_when_that_is_said(
    desk: Desk, member: Actor, manager: Actor, browser: Browser
) -> None:
    approval, client = request(desk, member, call={"risk": "destructive"}), browser(manager)
    assert post(client, approval).status_code == 403
    assert fresh(approval).status == "pending"
    assert post(client, approval, certain="on").status_code == 302
    assert fresh(approval).status == "approved"


def test_where_the_policy_wants_the_password_it_is_asked_for_and_checked(
    desk: Desk, member: Actor, workspace: Workspace, browser: Browser
) -> None:
    boss = person(workspace, "boss", Role.MANAGER, PASSWORD)
    approval, client = request(desk, member, fresh_password=True), browser(boss)
    assert re.search(r'<input type="password"[^>]* required', client.get(page_of(approval)).text)
    for given, status, told in (
        ("", 400, "Type your password in the box above."),
        ("wrong", 403, "This is not your password."),
    ):
        for decision in ("approve", "reject"):
            page = post(client, approval, decision, password=given, reason="So.")
            assert (page.status_code, page.text.count(told)) == (status, 1)
            assert "Nothing was decided." in page.text
    assert fresh(approval).status == "pending"
    assert post(client, approval, password=PASSWORD).status_code == 302
    assert fresh(approval).status == "approved"


def test_passwords_are_not_to_be_guessed(
    desk: Desk, member: Actor, workspace: Workspace, browser: Browser, settings: Any
) -> None:
    settings.LIMITS = {**settings.LIMITS, "login": 2}
    boss = person(workspace, "boss", Role.MANAGER, PASSWORD)
    approval, client = request(desk, member, fresh_password=True), browser(boss)
    assert [post(client, approval, password="wrong").status_code for _ in range(3)] == [403, 403, 429]
    assert post(client, approval, password=PASSWORD).status_code == 429
    assert fresh(approval).status == "pending"


def test_without_the_limiter_a_password_is_not_taken(
    desk: Desk, member: Actor, workspace: Workspace, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    boss = person(workspace, "boss", Role.MANAGER, PASSWORD)
    approval, client = request(desk, member, fresh_password=True), browser(boss)
    monkeypatch.setattr(limits.breaker, "lets_through", lambda: False)
    assert post(client, approval, password=PASSWORD).status_code == 503


def test_an_approval_is_remembered_where_the_policy_permits(
    desk: Desk, member: Actor, manager: Actor, browser: Browser
) -> None:
    wanted = {"arguments": {"service": "billing", "count": 2}}
    approval, other = request(desk, member, call=wanted, may_remember=True), request(desk, member, call=wanted)
    client = browser(manager)
    assert 'name="remember"' in client.get(page_of(approval)).text
    assert 'name="remember"' not in client.get(page_of(other)).text
    ticked = {"remember": "on", "remember_arguments": ["service"], "remember_minutes": 30, "remember_count": 2}
    post(client, other, **ticked)
    assert not Grant.objects.exists()
    post(client, approval, **ticked)
    grant = Grant.objects.get()
    assert (grant.arguments, grant.uses_left, grant.author) == ({"service": "billing"}, 2, manager.user)


def test_all_arguments_remembered_are_exactly_those(
    desk: Desk, member: Actor, manager: Actor, browser: Browser
) -> None:
    wanted = {"arguments": {"service": "billing", "count": 2}}
    approval = request(desk, member, call=wanted, may_remember=True)
    post(browser(manager), approval, remember="on", remember_arguments=["count", "service"])
    assert Grant.objects.get().arguments == wanted["arguments"]


def test_the_standing_tells_an_open_page_what_a_colleague_did(
    desk: Desk, member: Actor, manager: Actor, colleague: Actor, browser: Browser
) -> None:
    approval, client = request(desk, member), browser(manager)
    assert "data-open" in client.get(page_of(approval, "standing")).text
    approvals.decide(approval.pk, by=colleague, decision=Decision.APPROVE)
    text = client.get(page_of(approval, "standing")).text
    assert "data-open" not in text
    assert "Approved by Colleague (colleague@home.example)" in plain(text)


def test_earlier_decisions_on_the_same_tool_stand_beside(
    desk: Desk, member: Actor, manager: Actor, colleague: Actor, browser: Browser
) -> None:
    for number in range(7):
        before = request(desk, member, call={"arguments": {"service": f"s{number}"}})
        approvals.decide(before.pk, by=colleague, decision=Decision.REJECT, reason=f"Reason {number}.")
    request(desk, member, call={"tool": "other", "arguments": {"service": "elsewhere"}})
    text = plain(browser(manager).get(page_of(request(desk, member))).text)
    assert "Reason 6." in text
    assert "Reason 1." not in text
    assert "elsewhere" not in text


def test_a_request_whose_time_is_over_is_told_as_that(
    desk: Desk, member: Actor, manager: Actor, browser: Browser
) -> None:
    approval, client = request(desk, member), browser(manager)
    Approval.objects.filter(pk=approval.pk).update(expires_at=approval.created_at)
    assert "The time to decide is over." in client.get(page_of(approval)).text
    page = post(client, approval)
    assert (page.status_code, fresh(approval).status) == (409, "expired")
    assert "Expired" in plain(page.text)


def test_the_page_takes_a_bounded_number_of_queries(
    desk: Desk, member: Actor, manager: Actor, colleague: Actor, browser: Browser
) -> None:
    approval, client = request(desk, member, quorum_approve=3), browser(manager)

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert client.get(page_of(approval)).status_code == 200
        return len(captured)

    few = queries()
    approvals.decide(approval.pk, by=colleague, decision=Decision.APPROVE)
    for number in range(4):
        voter = person(manager.workspace, f"voter{number}", Role.MANAGER)
        Membership.objects.filter(user=voter.user).update(role=Role.MANAGER)
        approval.votes.create(user=voter.user, decision=Decision.APPROVE, digest=approval.digest, void=True)
    assert queries() <= few + 1 <= 20
