"""Other arguments in place of those proposed: compared on a page first, then approved by a second button."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client

from accounts.models import Actor, Role, Workspace
from approvals.models import Approval
from core import digest
from tests.approvals.desk import Desk, Matter, events, fresh, request
from tests.approvals.test_admin_approval import page_of, plain
from tests.cast import PASSWORD, person

Browser = Callable[[Actor], Client]


def edit(client: Client, approval: Approval, arguments: Any, **more: Any) -> HttpResponse:
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return client.post(page_of(approval, "edit"), {"digest": approval.digest, "arguments": text, **more})


def test_edited_arguments_are_checked_and_compared_before_they_are_approved(
    desk: Desk, member: Actor, manager: Actor, browser: Browser
) -> None:
    approval, client = request(desk, member), browser(manager)
    assert "billing" in client.get(page_of(approval, "edit")).text
    looked = edit(client, approval, {"service": "login"})
    assert looked.status_code == 200
    assert '- "service": "billing"' in plain(looked.text)
    assert '+ "service": "login"' in plain(looked.text)
    assert "Restart login." in plain(looked.text)
    assert fresh(approval).arguments == {"service": "billing"}, "to look changes nothing"
    desk.matters[approval.subject_id] = Matter(approval.arguments)  # the desk is no database: it rolls nothing back
    checked = digest.hexdigest({"service": "login"})
    assert edit(client, approval, {"service": "login"}, decision="approve", checked=checked).status_code == 302
    row = fresh(approval)
    assert (row.status, row.arguments, row.proposed_arguments) == (
        "approved",
        {"service": "login"},
        {"service": "billing"},
    )
    assert events(approval)[-2:] == ["edited", "approved"]
    assert "what the agent proposed, and what runs" in client.get(page_of(approval)).text


def test_what_was_changed_after_the_comparison_is_compared_again(
    desk: Desk, member: Actor, manager: Actor, browser: Browser
) -> None:
    approval, client = request(desk, member), browser(manager)
    checked = digest.hexdigest({"service": "login"})
    page = edit(client, approval, {"service": "other"}, decision="approve", checked=checked)
    assert page.status_code == 200
    assert '+ "service": "other"' in plain(page.text)
    assert fresh(approval).status == "pending"


@pytest.mark.parametrize(
    ("given", "status", "told"),
    [("{", 400, "line 1"), ("[]", 400, "JSON object"), ('{"a":1,"a":2}', 400, ""), ("", 400, "required"),
     ({"count": 1}, 400, "service: a text"), ({"service": "vault"}, 403, "")],
)  # fmt: skip
def test_arguments_that_do_not_fit_are_refused_with_what_does_not(
    given: Any, status: int, told: str, desk: Desk, member: Actor, manager: Actor, browser: Browser
) -> None:
    approval, client = request(desk, member), browser(manager)
    for more in ({}, {"decision": "approve", "checked": digest.hexdigest(given) if isinstance(given, dict) else ""}):
        page = edit(client, approval, given, **more)
        assert page.status_code == status
        assert told in plain(page.text)
    assert (fresh(approval).status, fresh(approval).version) == ("pending", 1)


def test_edited_arguments_that_need_the_password_ask_for_it(
    desk: Desk, member: Actor, workspace: Workspace, browser: Browser
) -> None:
    boss = person(workspace, "boss", Role.MANAGER, PASSWORD)
    approval, client = request(desk, member, fresh_password=True), browser(boss)
    checked = {"decision": "approve", "checked": digest.hexdigest({"service": "login"})}
    for given, status, told in (("", 403, "Type your password in the box above."), ("x", 403, "not your password")):
        page = edit(client, approval, {"service": "login"}, password=given, **checked)
        desk.matters[approval.subject_id] = Matter(approval.arguments)  # the desk is no database: it rolls nothing back
        assert (page.status_code, page.text.count(told)) == (status, 1)
        assert re.search(r'<input type="password"[^>]* required', page.text)
        assert 'name="checked"' in page.text
    assert (fresh(approval).status, fresh(approval).version) == ("pending", 1)
    assert edit(client, approval, {"service": "login"}, password=PASSWORD, **checked).status_code == 302
    assert fresh(approval).status == "approved"


def test_who_may_not_edit_does_not(desk: Desk, member: Actor, manager: Actor, auditor: Actor, browser: Browser) -> None:
    fixed, approval = request(desk, member, editable=False), request(desk, member)
    assert page_of(fixed, "edit") not in browser(manager).get(page_of(fixed)).text
    assert edit(browser(manager), fixed, {"service": "login"}).status_code == 403
    checked = digest.hexdigest({"service": "login"})
    for more in ({}, {"decision": "approve", "checked": checked}):
        assert edit(browser(auditor), approval, {"service": "login"}, **more).status_code == 403
    assert events(approval)[-1] == "denied_attempt"
    assert {fresh(fixed).version, fresh(approval).version} == {1}
