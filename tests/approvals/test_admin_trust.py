"""The trust table and what is remembered, in the admin."""

from collections.abc import Callable
from uuid import UUID

import pytest
from django.test import Client

from accounts.models import Actor, Role, Workspace
from approvals.models import AuditEvent, Decision, Grant, Policy
from approvals.services import approvals, trust
from core import ids
from tests.approvals.desk import Desk, request
from tests.cast import person

TABLE, ACCEPT = "/admin/approvals/trust/", "/admin/approvals/trust/accept/"
Browser = Callable[[Actor], Client]


@pytest.fixture
def agent_id(desk: Desk, member: Actor, manager: Actor, monkeypatch: pytest.MonkeyPatch) -> UUID:
    """An agent that has earned an offer."""
    monkeypatch.setattr(trust, "ENOUGH", 3)
    agent_id = ids.new()
    for number in range(4):
        asked = request(desk, member, call={"agent_id": agent_id, "agent": "argus", "run_id": ids.new()})
        approvals.decide(asked.pk, by=manager, decision=Decision.APPROVE, reason=str(number))
    return agent_id


def offer(workspace: Workspace, agent_id: UUID, **more: object) -> dict[str, object]:
    return {"workspace": workspace.pk, "agent": agent_id, "tool": "service_restart", **more}


def test_the_table_tells_what_was_accepted_and_what_is_offered(
    agent_id: UUID, manager: Actor, owner: Actor, browser: Browser
) -> None:
    for actor, told in ((manager, "An admin may let it run unasked"), (owner, "Let it run unasked…")):
        page = browser(actor).get(TABLE).text
        for expected in ("argus", "service_restart", "100 %", told):
            assert expected in page
    assert ACCEPT not in browser(manager).get(TABLE).text


def test_an_admin_takes_an_offer_after_being_asked(
    agent_id: UUID, owner: Actor, workspace: Workspace, browser: Browser
) -> None:
    client = browser(owner)
    assert client.get(ACCEPT).status_code == 302
    asked = client.post(ACCEPT, offer(workspace, agent_id))
    assert "Of 4 proposals 4 were accepted" in asked.text
    assert not Policy.objects.exists()
    done = client.post(ACCEPT, offer(workspace, agent_id, confirmed=1), follow=True)
    assert "holds until" in done.text
    policy = Policy.objects.get()
    assert (policy.effect, policy.agent, policy.tool) == ("allow", "argus", "service_restart")
    assert AuditEvent.objects.filter(type="agent.promoted").exists()
    assert ACCEPT not in client.get(TABLE).text, "what holds is offered no more"


def test_others_take_none(
    agent_id: UUID, manager: Actor, member: Actor, workspace: Workspace, other_workspace: Workspace, browser: Browser
) -> None:
    page = browser(manager).post(ACCEPT, offer(workspace, agent_id, confirmed=1), follow=True)
    assert "Only an admin" in page.text
    boss = person(other_workspace, "boss", Role.ADMIN)
    for actor in (member, boss):
        assert browser(actor).post(ACCEPT, offer(workspace, agent_id, confirmed=1)).status_code == 403
    assert "argus" not in browser(boss).get(TABLE).text
    assert browser(member).get(TABLE).status_code == 403
    assert not Policy.objects.exists()


@pytest.mark.parametrize("changes", [{"tool": "other"}, {"agent": ids.new()}])
def test_what_is_not_offered_cannot_be_taken(
    changes: dict[str, object], agent_id: UUID, owner: Actor, workspace: Workspace, browser: Browser
) -> None:
    given = {**offer(workspace, agent_id), **changes}
    assert "do not bear this offer" in browser(owner).post(ACCEPT, given).text
    browser(owner).post(ACCEPT, {**given, "confirmed": 1})
    assert browser(owner).post(ACCEPT, {**given, "agent": "x"}).status_code == 403
    assert not Policy.objects.exists()


def test_a_manager_ends_what_is_remembered_after_being_asked(
    desk: Desk, member: Actor, manager: Actor, auditor: Actor, browser: Browser
) -> None:
    asked = request(desk, member, may_remember=True)
    approvals.decide(asked.pk, by=manager, decision=Decision.APPROVE, remember=approvals.Remember())
    grant = Grant.objects.get()
    page, revoke = f"/admin/approvals/grant/{grant.pk}/change/", f"/admin/approvals/grant/{grant.pk}/revoke/"
    assert browser(auditor).post(revoke).status_code == 403
    client = browser(manager)
    assert revoke in client.get(page).text
    client.get(revoke)
    assert Grant.objects.get().revoked_at is None
    client.post(revoke)
    assert Grant.objects.get().revoked_at is not None
    assert revoke not in client.get(page).text
    assert AuditEvent.objects.filter(type="grant.revoked").count() == 1
