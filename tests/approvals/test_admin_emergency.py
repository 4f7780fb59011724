"""An admin who decides alone: a form of its own, which asks for all that it needs and keeps what was typed."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client

from accounts.models import Actor, Role, Workspace
from approvals.models import Approval
from tests.approvals.desk import Desk, events, fresh, request
from tests.approvals.test_admin_approval import page_of
from tests.cast import PASSWORD, person

Browser = Callable[[Actor], Client]
OPEN = re.compile(r'<details class="more-ways emergency" open>')


@pytest.fixture
def boss(workspace: Workspace) -> Actor:
    """An admin of a workspace that lets them decide alone."""
    Workspace.objects.update(break_glass=True)
    return person(workspace, "boss", Role.ADMIN, PASSWORD)


def alone(client: Client, approval: Approval, **more: Any) -> HttpResponse:
    given = {"decision": "approve", "digest": approval.digest, "reason": "It burns.", "password": PASSWORD, **more}
    return client.post(page_of(approval, "decide"), {f"alone-{name}": value for name, value in given.items()})


def test_an_admin_decides_alone_where_the_workspace_lets_them(
    desk: Desk, manager: Actor, boss: Actor, browser: Browser
) -> None:
    approval, client = request(desk, manager, roles=(), quorum_approve=2), browser(boss)
    Workspace.objects.update(break_glass=False)
    assert "Emergency" not in client.get(page_of(approval)).text
    refused = alone(client, approval)
    assert refused.status_code == 403
    assert "nobody decide alone. An admin permits it on the workspace&#x27;s page." in refused.text
    Workspace.objects.update(break_glass=True)
    page = client.get(page_of(approval)).text
    assert "No more votes are needed; kill switches and other waiting calls still hold it." in page
    assert not OPEN.search(page)
    assert "Emergency" not in browser(manager).get(page_of(approval)).text
    assert alone(client, approval).status_code == 302
    assert (fresh(approval).status, fresh(approval).break_glass) == ("approved", True)
    assert "alone in an emergency" in client.get(page_of(approval)).text


@pytest.mark.parametrize(
    ("changes", "status", "told"),
    [({"password": ""}, 400, "Type your password in the box above."),
     ({"password": "wrong"}, 403, "This is not your password."), ({"reason": ""}, 400, "This field is required."),
     ({"digest": "0" * 64}, 409, "the request has changed since this page showed it")],
)  # fmt: skip
def test_what_is_missing_is_said_in_the_form_which_keeps_the_reason(
    changes: dict[str, str], status: int, told: str, desk: Desk, member: Actor, boss: Actor, browser: Browser
) -> None:
    approval = request(desk, member)
    page = alone(browser(boss), approval, **changes)
    assert (page.status_code, fresh(approval).status) == (status, "pending")
    assert OPEN.search(page.text)
    usual, emergency = page.text.split("Emergency: decide alone")
    assert told in emergency
    assert told not in usual
    assert "It burns." not in usual
    assert ("It burns." in emergency) == ("reason" not in changes)
    assert f'name="alone-digest" value="{approval.digest}"' in emergency
    assert PASSWORD not in page.text


def test_an_error_of_the_usual_form_stays_there(desk: Desk, member: Actor, boss: Actor, browser: Browser) -> None:
    approval = request(desk, member)
    sent = {"decision": "reject", "digest": approval.digest, "reason": ""}
    page = browser(boss).post(page_of(approval, "decide"), sent)
    assert page.status_code == 400
    usual, emergency = page.text.split("Emergency: decide alone")
    assert 'role="alert"' in usual
    assert 'role="alert"' not in emergency
    assert not OPEN.search(page.text)


def test_the_usual_form_declares_no_emergency(desk: Desk, boss: Actor, browser: Browser) -> None:
    approval = request(desk, boss)
    sent = {"decision": "approve", "digest": approval.digest, "break_glass": "on", "reason": "x", "password": PASSWORD}
    assert browser(boss).post(page_of(approval, "decide"), sent).status_code == 403
    assert fresh(approval).status == "pending"


def test_in_an_emergency_an_admin_decides_their_own_request_too_and_is_told_so(
    desk: Desk, boss: Actor, browser: Browser
) -> None:
    approval, client = request(desk, boss), browser(boss)
    page = client.get(page_of(approval)).text
    assert "decided by somebody else" in page
    assert "Also for your own request; the log says so." in page
    assert alone(client, approval).status_code == 302
    assert fresh(approval).status == "approved"
    assert "break_glass" in events(approval)


def test_what_cannot_be_taken_back_is_ticked_in_an_emergency_too(
    desk: Desk, member: Actor, boss: Actor, browser: Browser
) -> None:
    approval, client = request(desk, member, call={"risk": "destructive"}), browser(boss)
    refused = alone(client, approval)
    assert (refused.status_code, fresh(approval).status) == (403, "pending")
    assert "Tick the box" in refused.text.split("Emergency: decide alone")[1]
    assert alone(client, approval, certain="on").status_code == 302
    assert fresh(approval).status == "approved"
