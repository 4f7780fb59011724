"""The kill switches of agents and workspaces, and how far an agent is trusted, in the admin."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from accounts.models import Role, Workspace
from agents.models import Agent
from approvals.models import AuditEvent
from tests.admin.conftest import Home, url

Staff = Callable[[Role], Client]


def told(home: Home, beginning: str) -> list[str]:
    rows = AuditEvent.objects.filter(workspace_id=home[Workspace].pk, type__startswith=beginning).order_by("pk")
    return list(rows.values_list("type", flat=True))


def test_a_manager_freezes_a_workspace_and_an_admin_lets_it_run_again(here: Home, staff: Staff) -> None:
    home = here[Workspace]
    boss, admin = staff(Role.MANAGER), staff(Role.ADMIN)
    freeze, unfreeze = url(Workspace, "freeze", home.pk), url(Workspace, "unfreeze", home.pk)
    assert freeze in boss.get(url(Workspace, "change", home.pk)).text
    boss.get(freeze)
    assert not Workspace.objects.get(pk=home.pk).frozen
    boss.post(freeze, {"reason": "It burns."})
    assert Workspace.objects.get(pk=home.pk).frozen
    assert "frozen" in boss.get(url(Workspace, "changelist")).text
    page = boss.get(url(Workspace, "change", home.pk)).text
    assert freeze not in page
    assert unfreeze not in page
    assert "an admin lets it go on" in boss.post(unfreeze, follow=True).text
    assert Workspace.objects.get(pk=home.pk).frozen
    assert unfreeze in admin.get(url(Workspace, "change", home.pk)).text
    admin.post(unfreeze)
    assert not Workspace.objects.get(pk=home.pk).frozen
    assert told(here, "workspace.") == ["workspace.frozen", "workspace.unfrozen"]


def test_an_agent_is_switched_off_and_on_by_a_manager(here: Home, staff: Staff) -> None:
    client, agent = staff(Role.MANAGER), here[Agent]
    off, on = url(Agent, "switch_off", agent.pk), url(Agent, "switch_on", agent.pk)
    page = client.get(url(Agent, "change", agent.pk)).text
    assert off in page
    assert on not in page
    client.get(off)
    assert Agent.objects.get(pk=agent.pk).enabled
    client.post(off)
    assert not Agent.objects.get(pk=agent.pk).enabled
    assert on in client.get(url(Agent, "change", agent.pk)).text
    client.post(on)
    assert Agent.objects.get(pk=agent.pk).enabled
    assert told(here, "agent.") == ["agent.changed", "agent.changed"]


def test_a_manager_narrows_an_agent_and_an_admin_alone_lets_it_act(here: Home, staff: Staff) -> None:
    agent, trust = here[Agent], url(Agent, "trust", here[Agent].pk)
    staff(Role.MANAGER).post(trust, {"autonomy": "observer"})
    assert Agent.objects.get(pk=agent.pk).autonomy == "observer"
    staff(Role.ADMIN).post(trust, {"autonomy": "autonomous"})
    assert Agent.objects.get(pk=agent.pk).autonomy == "autonomous"
    assert told(here, "agent.promoted") == ["agent.promoted", "agent.promoted"]


def test_a_manager_does_not_make_an_agent_autonomous(here: Home, staff: Staff) -> None:
    page = staff(Role.MANAGER).post(url(Agent, "trust", here[Agent].pk), {"autonomy": "autonomous"}, follow=True)
    assert "Only an admin of the workspace makes an agent autonomous." in page.text
    assert Agent.objects.get(pk=here[Agent].pk).autonomy == "advisor"


@pytest.mark.parametrize(("model", "page"), [(Agent, "switch_off"), (Agent, "trust"), (Workspace, "freeze")])
def test_an_auditor_switches_nothing(model: Any, page: str, here: Home, staff: Staff) -> None:
    client, address = staff(Role.AUDITOR), url(model, page, here[model].pk)
    assert address not in client.get(url(model, "change", here[model].pk)).text
    assert client.post(address, {"autonomy": "observer"}).status_code == 403
    assert Agent.objects.get(pk=here[Agent].pk).enabled


def test_what_an_admin_changes_in_the_forms_is_logged(here: Home, staff: Staff) -> None:
    client, agent, home = staff(Role.ADMIN), here[Agent], here[Workspace]
    form = {"slug": agent.slug, "name": "New", "kind": "companion"}
    for _ in range(2):
        assert client.post(url(Agent, "change", agent.pk), form).status_code == 302
    assert Agent.objects.get(pk=agent.pk).name == "New"
    assert told(here, "agent.") == ["agent.changed"], "and the second time nothing became other"
    form = {"name": home.name, "break_glass": "on", "conversation_days": "0"}
    assert client.post(url(Workspace, "change", home.pk), form).status_code == 302
    assert Workspace.objects.get(pk=home.pk).break_glass
    assert told(here, "workspace.") == ["workspace.changed"]
    client.post(url(Workspace, "change", home.pk), form)
    assert told(here, "workspace.") == ["workspace.changed"], "nothing became other"


def test_a_form_that_was_opened_before_an_agent_was_switched_off_leaves_it_off(here: Home, staff: Staff) -> None:
    client, agent = staff(Role.ADMIN), here[Agent]
    page = client.get(url(Agent, "change", agent.pk)).text
    assert 'name="enabled"' not in page
    assert 'name="autonomy"' not in page
    client.post(url(Agent, "switch_off", agent.pk))
    client.post(url(Agent, "trust", agent.pk), {"autonomy": "observer"})
    old = {"slug": agent.slug, "name": "New", "kind": "companion", "autonomy": "autonomous", "enabled": "on"}
    assert client.post(url(Agent, "change", agent.pk), old).status_code == 302
    row = Agent.objects.get(pk=agent.pk)
    assert (row.name, row.enabled, row.autonomy) == ("New", False, "observer")


def test_what_is_saved_with_a_form_is_what_was_changed_in_it_alone(
    here: Home, staff: Staff, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, agent, save = staff(Role.ADMIN), here[Agent], Agent.save

    def switched_meanwhile(row: Agent, *given: Any, **more: Any) -> None:
        Agent.objects.filter(pk=row.pk).update(enabled=False, autonomy="observer")
        save(row, *given, **more)

    monkeypatch.setattr(Agent, "save", switched_meanwhile)
    assert client.post(url(Agent, "change", agent.pk), {"name": "New", "kind": "companion"})
    row = Agent.objects.get(pk=agent.pk)
    assert (row.name, row.enabled, row.autonomy) == ("New", False, "observer")


def test_a_new_agent_is_given_both_and_who_gives_it_orders_is_kept(here: Home, staff: Staff) -> None:
    client, home = staff(Role.ADMIN), here[Workspace]
    form = {"workspace": home.pk, "slug": "new", "name": "New", "kind": "companion", "autonomy": "observer"}
    assert client.post(url(Agent, "add"), form).status_code == 302
    row = Agent.objects.get(slug="new")
    assert (row.enabled, row.autonomy, row.author.email) == (False, "observer", "staff-admin@home.example")
    Agent.objects.update(author=None)
    for changes, author in (({"description": "Renamed"}, None), ({"instructions": "Do."}, "staff-admin@home.example")):
        form |= changes
        assert client.post(url(Agent, "change", row.pk), form).status_code == 302
        row.refresh_from_db()
        assert (row.author and row.author.email) == author
