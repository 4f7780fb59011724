"""Deciding at the inbox outside the admin: each way to decide, what is refused, and that looking changes nothing."""

import re
from typing import Any

import pytest
from django.test import Client

from accounts import limits
from accounts.models import Actor, Role, User, Workspace
from approvals.models import Approval, AuditEvent, Decision, Grant, Vote
from approvals.services import approvals
from tests.approvals.browsing import HTML, INBOX, TOGETHER, Site, ask, page_of, plain, post
from tests.approvals.desk import Desk, Matter, fresh, untouched
from tests.cast import PASSWORD, person


def test_looking_changes_nothing(desk: Desk, member: Actor, manager: Actor, site: Site) -> None:
    rows = [ask(desk, member, f"s{number}") for number in range(2)]
    approval = ask(desk, member, "gone", "destructive")
    before, client = AuditEvent.objects.count(), site(manager)
    query = {"decision": "approve", "digest": approval.digest, "certain": "on", "tool": "service_restart"}
    for name in ("", "standing", "approve", "edit"):
        client.get(page_of(approval, name), query)
        client.head(page_of(approval, name), query)
    client.get(TOGETHER, {**query, "ids": [str(row.pk) for row in rows]})
    client.get(INBOX, query)
    assert client.put(page_of(approval)).status_code == 405
    assert client.post(INBOX, query).status_code == 405
    assert client.post(page_of(approval, "standing"), query).status_code == 405
    assert all(untouched(row) for row in (*rows, approval))
    assert AuditEvent.objects.count() == before


def test_a_decision_without_the_token_against_forgery_is_refused(desk: Desk, member: Actor, manager: Actor) -> None:
    approval = ask(desk, member, "billing")
    client = Client(enforce_csrf_checks=True, headers=HTML)
    client.force_login(manager.user)
    for name in ("", "approve", "edit"):
        assert post(client, approval, to=name).status_code == 403
    assert client.post(TOGETHER, {"decision": "approve", "ids": [str(approval.pk)]}).status_code == 403
    assert untouched(approval)


def test_a_manager_approves_and_rejects_with_a_reason(desk: Desk, member: Actor, manager: Actor, site: Site) -> None:
    first, second, client = ask(desk, member, "first"), ask(desk, member, "second"), site(manager)
    done = client.post(page_of(first), {"decision": "approve", "digest": first.digest}, follow=True)
    assert "Approved. Restart first. See what becomes of it" in plain(done.text)
    assert (fresh(first).status, fresh(first).decided_by) == ("approved", manager.user)
    refused = post(client, second, "reject")
    assert (refused.status_code, fresh(second).status) == (400, "pending")
    assert "say why" in refused.text
    assert post(client, second, "reject", reason="Not during the day.").status_code == 302
    assert (fresh(second).status, fresh(second).reason) == ("rejected", "Not during the day.")


def test_a_manager_answers_instead_of_letting_it_run(desk: Desk, member: Actor, manager: Actor, site: Site) -> None:
    approval = ask(desk, member, "billing")
    assert post(site(manager), approval, "respond").status_code == 400
    assert post(site(manager), approval, "respond", response="It runs already.").status_code == 302
    assert (fresh(approval).decision, fresh(approval).response) == (Decision.RESPOND, "It runs already.")


def test_a_button_pressed_twice_decides_once_and_says_so(desk: Desk, member: Actor, manager: Actor, site: Site) -> None:
    once, two, client = ask(desk, member, "once"), ask(desk, member, "two", quorum_approve=2), site(manager)
    for approval in (once, two):
        assert post(client, approval).status_code == 302
        sent = {"decision": "approve", "digest": approval.digest}
        again = client.post(page_of(approval), sent, follow=True)
        assert "This was counted the first time; pressing twice decides once." in plain(again.text)
        assert Vote.objects.filter(approval=approval).count() == 1
    changed = post(client, once, "reject", reason="I have thought again.")
    assert changed.status_code == 409
    assert "Your decision was not counted. Manager approved this" in plain(changed.text)


def test_who_comes_second_is_told_the_decision_that_stands(
    desk: Desk, member: Actor, manager: Actor, colleague: Actor, site: Site
) -> None:
    approval = ask(desk, member, "billing")
    approvals.decide(approval.pk, by=colleague, decision=Decision.REJECT, reason="No.")
    page = post(site(manager), approval)
    assert page.status_code == 409
    assert re.search(r"not counted. Colleague rejected this \d+ s ago; it does not run. Reason: No.", plain(page.text))


def test_two_must_agree_and_one_of_them_may_not_be_two(
    desk: Desk, member: Actor, manager: Actor, colleague: Actor, workspace: Workspace, site: Site
) -> None:
    approval = ask(desk, member, "billing", quorum_approve=2)
    twin = person(workspace, "twin", Role.MANAGER)
    User.objects.filter(pk=twin.user.pk).update(same_person_as=manager.user)
    assert post(site(manager), approval).status_code == 302
    assert post(site(twin), approval).status_code == 409
    assert fresh(approval).status == "pending"
    assert post(site(colleague), approval).status_code == 302
    assert fresh(approval).status == "approved"


@pytest.mark.parametrize(
    ("changes", "status"),
    [({"digest": "0" * 64}, 409), ({"digest": "short"}, 400), ({"digest": ""}, 400), ({"decision": "maybe"}, 400),
     ({"reason": "x" * 2_001}, 400), ({"decision": "respond", "response": ""}, 400), ({"decision": ""}, 400)],
)  # fmt: skip
def test_what_does_not_fit_decides_nothing(
    changes: dict[str, str], status: int, desk: Desk, member: Actor, manager: Actor, site: Site
) -> None:
    approval = ask(desk, member, "billing")
    page = post(site(manager), approval, **changes)
    assert (page.status_code, fresh(approval).status) == (status, "pending")
    assert 'role="alert"' in page.text


def test_what_is_over_is_told_as_that(desk: Desk, member: Actor, manager: Actor, site: Site) -> None:
    late, other, client = ask(desk, member, "late"), ask(desk, member, "other"), site(manager)
    Approval.objects.filter(pk=late.pk).update(expires_at=late.created_at)
    assert "The time to decide is over." in plain(client.get(page_of(late)).text)
    page = post(client, late)
    assert (page.status_code, fresh(late).status) == (409, "expired")
    desk.changes[other.subject_id] = "The tool was changed."
    page = post(client, other)
    assert (page.status_code, fresh(other).status) == (409, "superseded")
    assert "and was judged anew" in plain(page.text)


def test_what_cannot_be_taken_back_takes_a_second_step(desk: Desk, member: Actor, manager: Actor, site: Site) -> None:
    approval, mild, client = ask(desk, member, "billing", "destructive"), ask(desk, member, "mild"), site(manager)
    page = client.get(page_of(approval)).text
    assert 'value="approve"' not in page
    assert page_of(approval, "approve") in page
    step = client.get(page_of(approval, "approve"))
    assert "does this at once, and nobody can undo it: Restart billing." in plain(step.text)
    assert client.get(page_of(mild, "approve"))["Location"] == page_of(mild)
    for name in ("", "approve"):
        refused = post(client, approval, to=name)
        assert (refused.status_code, fresh(approval).status) == (403, "pending")
        assert "Tick the box" in plain(refused.text)
    assert post(client, approval, to="approve", certain="on").status_code == 302
    assert fresh(approval).status == "approved"


def test_a_rejection_of_what_cannot_be_taken_back_takes_one(
    desk: Desk, member: Actor, manager: Actor, site: Site
) -> None:
    approval = ask(desk, member, "billing", "destructive")
    assert post(site(manager), approval, "reject", reason="No.").status_code == 302
    assert fresh(approval).status == "rejected"


def test_where_the_policy_wants_the_password_it_is_asked_for_and_checked(
    desk: Desk, member: Actor, workspace: Workspace, site: Site
) -> None:
    boss = person(workspace, "boss", Role.MANAGER, PASSWORD)
    approval, client = ask(desk, member, "billing", fresh_password=True), site(boss)
    page = client.get(page_of(approval)).text
    assert re.search(r'<input type="password"[^>]* required', page)
    assert "you have none" not in page
    for given, status, told in (("", 400, "Type your password"), ("wrong", 403, "This is not your password.")):
        for decision in ("approve", "reject"):
            answer = post(client, approval, decision, password=given, reason="So.")
            assert (answer.status_code, answer.text.count(told)) == (status, 1)
            assert 'value="wrong"' not in answer.text
    assert untouched(approval)
    assert post(client, approval, password=PASSWORD).status_code == 302
    assert fresh(approval).status == "approved"


def test_passwords_are_not_to_be_guessed(
    desk: Desk, member: Actor, workspace: Workspace, site: Site, settings: Any
) -> None:
    settings.LIMITS = {**settings.LIMITS, "login": 2}
    boss = person(workspace, "boss", Role.MANAGER, PASSWORD)
    approval, client = ask(desk, member, "billing", fresh_password=True), site(boss)
    assert [post(client, approval, password="wrong").status_code for _ in range(3)] == [403, 403, 429]
    assert post(client, approval, password=PASSWORD).status_code == 429
    assert untouched(approval)


def test_an_approval_is_remembered_where_the_policy_permits(
    desk: Desk, member: Actor, manager: Actor, site: Site
) -> None:
    approval = ask(desk, member, "billing", may_remember=True)
    post(site(manager), approval, remember="on", remember_arguments=["service"], remember_minutes=30, remember_count=2)
    assert (Grant.objects.get().uses_left, Grant.objects.get().author) == (2, manager.user)


def revised(approval: Approval, by: Actor, service: str = "login") -> Approval:
    """The request after a colleague has put other arguments in place, which needs one more vote."""
    given = {"arguments": {"service": service}, "digest": approval.digest}
    return approvals.decide(approval.pk, by=by, decision=Decision.APPROVE, **given)


CHANGED = "Nothing was decided: the request has changed since this page showed it. Read it again, then decide."


@pytest.mark.parametrize("name", ["", "approve"])
def test_what_changed_meanwhile_is_shown_anew_and_can_be_decided_then(
    name: str, desk: Desk, member: Actor, manager: Actor, colleague: Actor, site: Site
) -> None:
    old, client = ask(desk, member, "billing", "destructive", quorum_approve=2), site(manager)
    now = revised(old, colleague)
    page = post(client, old, to=name, certain="on", reason="As agreed.")
    assert (page.status_code, plain(page.text).count(CHANGED)) == (409, 1)
    assert '"service": "login"' in plain(page.text)
    assert "As agreed." in page.text, "what was typed stays"
    assert " checked" not in page.text, "what was ticked was of something else"
    [digest] = re.findall(r'name="digest" value="(\w+)"', page.text)
    assert digest == now.digest
    assert post(client, now, to="approve", certain="on").status_code == 302
    assert fresh(old).status == "approved"


def test_it_is_said_too_where_something_else_was_wrong(
    desk: Desk, member: Actor, manager: Actor, colleague: Actor, site: Site
) -> None:
    old = ask(desk, member, "billing", quorum_approve=2)
    now = revised(old, colleague)
    page = post(site(manager), old, "reject")
    assert (page.status_code, CHANGED in plain(page.text), now.digest in page.text) == (400, True, True)


# Editing


def sent(approval: Approval, service: str, **more: Any) -> dict[str, Any]:
    return {"digest": approval.digest, "arguments": f'{{"service": "{service}"}}', **more}


def checked(client: Client, approval: Approval, service: str) -> str:
    page = client.post(page_of(approval, "edit"), sent(approval, service))
    assert page.status_code == 200
    return str(re.search(r'name="checked" value="(\w+)"', page.text)[1])


def test_other_arguments_are_shown_beside_the_proposal_before_they_are_approved(
    desk: Desk, member: Actor, manager: Actor, site: Site
) -> None:
    approval, client = ask(desk, member, "billing"), site(manager)
    unseen = client.post(page_of(approval, "edit"), sent(approval, "login", decision="approve"))
    assert "What would run instead" in unseen.text
    assert untouched(approval)
    seen = checked(client, approval, "login")
    assert untouched(approval)
    desk.matters[approval.subject_id] = Matter(approval.arguments)  # the desk is no database: it rolls nothing back
    given = sent(approval, "login", decision="approve", checked=seen)
    assert client.post(page_of(approval, "edit"), given)["Location"] == INBOX
    now = fresh(approval)
    assert (now.status, now.arguments, now.proposed_arguments) == (
        "approved", {"service": "login"}, {"service": "billing"},
    )  # fmt: skip
    again = client.post(page_of(approval, "edit"), given, follow=True)
    assert "pressing twice decides once" in plain(again.text)
    assert Vote.objects.count() == 1


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [("{", 400, "JSON"), ("[]", 400, "The arguments are a JSON object."), ('{"service": 1}', 400, "service: a text"),
     ('{"service": "vault"}', 403, ""), ("", 400, "required")],
)  # fmt: skip
def test_arguments_that_do_not_fit_are_refused_with_the_reason(
    arguments: str, status: int, told: str, desk: Desk, member: Actor, manager: Actor, site: Site
) -> None:
    approval = ask(desk, member, "billing")
    page = site(manager).post(page_of(approval, "edit"), {"digest": approval.digest, "arguments": arguments})
    assert (page.status_code, told in plain(page.text)) == (status, True)
    assert untouched(approval)


def test_nothing_is_edited_where_the_policy_forbids_it_or_by_whom_it_does_not_ask(
    desk: Desk, member: Actor, manager: Actor, auditor: Actor, stranger: Actor, site: Site
) -> None:
    fixed, free = ask(desk, member, "fixed", editable=False), ask(desk, member, "free")
    assert site(manager).get(page_of(fixed, "edit"))["Location"] == page_of(fixed)
    assert "Change the arguments" not in site(manager).get(page_of(fixed)).text
    for actor, approval, status in (
        (manager, fixed, 403), (auditor, free, 403), (member, free, 403), (stranger, free, 404),
    ):  # fmt: skip
        answer = site(actor).post(page_of(approval, "edit"), sent(approval, "login"))
        assert answer.status_code == status
    assert untouched(fixed)
    assert untouched(free)


def test_arguments_that_were_typed_stay_where_the_proposal_has_changed_and_are_shown_beside_the_new_one(
    desk: Desk, member: Actor, manager: Actor, colleague: Actor, site: Site
) -> None:
    old, client = ask(desk, member, "billing", quorum_approve=2), site(manager)
    seen = checked(client, old, "cache")
    desk.matters[old.subject_id] = Matter(old.arguments)
    now = revised(old, colleague)
    page = client.post(page_of(old, "edit"), sent(old, "cache", decision="approve", checked=seen, reason="So."))
    assert (page.status_code, CHANGED in plain(page.text)) == (409, True)
    assert "What would run instead" not in page.text, "first it is shown beside what there is now"
    assert "cache" in page.text
    assert re.findall(r'name="digest" value="(\w+)"', page.text) == [now.digest]
    seen = checked(client, now, "cache")
    desk.matters[old.subject_id] = Matter(now.arguments, 2)
    assert client.post(page_of(now, "edit"), sent(now, "cache", decision="approve", checked=seen)).status_code == 302
    assert fresh(old).arguments == {"service": "cache"}


# How often


def test_decisions_are_counted_as_at_the_api_and_looking_for_itself(
    desk: Desk, member: Actor, manager: Actor, stranger: Actor, site: Site, settings: Any
) -> None:
    settings.LIMITS = {**settings.LIMITS, "decide": 2}
    own, foreign, client = ask(desk, member, "billing"), ask(desk, stranger, "yonder"), site(manager)
    assert post(client, own, digest="0" * 64).status_code == 409
    assert post(client, foreign).status_code == 404
    before = AuditEvent.objects.count()
    for approval, name in ((own, ""), (own, "approve"), (own, "edit"), (foreign, "")):
        assert post(client, approval, to=name, digest="0" * 64).status_code == 429
    assert client.post(TOGETHER, {"tool": own.tool}).status_code == 429
    assert AuditEvent.objects.count() == before, "neither log is written to"
    assert client.get(page_of(own)).status_code == 200
    settings.LIMITS = {**settings.LIMITS, "read": 1}
    assert client.get(INBOX).status_code == 429


def test_without_the_limiter_nothing_is_decided_and_all_can_be_read(
    desk: Desk, member: Actor, manager: Actor, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    approval, client = ask(desk, member, "billing"), site(manager)
    monkeypatch.setattr(limits.breaker, "lets_through", lambda: False)
    assert post(client, approval).status_code == 503
    assert client.get(page_of(approval)).status_code == 200
    assert untouched(approval)
