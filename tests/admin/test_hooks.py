"""Webhooks that wake agents, made in the admin by those who manage the workspace."""

import re
from collections.abc import Callable

from django.test import Client

from accounts.models import Role, Workspace
from agents.models import Agent, AgentHook
from approvals.models import AuditEvent
from tests.admin.conftest import PROVIDER_KEY, Home, url

Staff = Callable[[Role], Client]


def guard(home: Home) -> Agent:
    """An agent that works in the background."""
    return Agent.objects.create(workspace=home[Workspace], slug=f"{home.name}-guard", name="Guard", kind="manager")


def secret(text: str) -> str:
    found = re.search(r'<code class="secret">(whsec_[^<]+)</code>', text)
    assert found is not None
    return found[1]


def test_a_manager_makes_a_hook_and_sees_its_secret_once(here: Home, staff: Staff) -> None:
    client, agent = staff(Role.MANAGER), guard(here)
    page = client.post(url(AgentHook, "add"), {"agent": agent.pk, "name": "Monitoring"})
    made = AgentHook.objects.get(name="Monitoring")
    assert secret(page.text) == made.secret
    assert f"/v1/ai/hooks/{made.pk}" in page.text
    shown = client.get(url(AgentHook, "change", made.pk)).text
    assert made.secret not in shown
    renewed = client.post(url(AgentHook, "rotate", made.pk))
    assert secret(renewed.text) == AgentHook.objects.get(pk=made.pk).secret != made.secret
    for page, enabled in (("switch_off", False), ("switch_on", True)):
        client.post(url(AgentHook, page, made.pk))
        assert AgentHook.objects.get(pk=made.pk).enabled == enabled
    assert AuditEvent.objects.filter(type="webhook.changed", workspace_id=here[Workspace].pk).count() == 4


def test_only_agents_of_the_own_workspace_that_work_in_the_background_are_a_choice(
    here: Home, there: Home, staff: Staff
) -> None:
    client = staff(Role.MANAGER)
    guard(here)
    for agent in (guard(there), here[Agent]):
        page = client.post(url(AgentHook, "add"), {"agent": agent.pk, "name": "Mine"})
        assert "Select a valid choice" in page.text
    assert not AgentHook.objects.filter(name="Mine").exists()


def test_an_auditor_makes_and_switches_nothing(here: Home, staff: Staff) -> None:
    client, agent, hook = staff(Role.AUDITOR), guard(here), here[AgentHook]
    assert client.post(url(AgentHook, "add"), {"agent": agent.pk, "name": "Mine"}).status_code == 403
    for page in ("rotate", "switch_off"):
        assert client.post(url(AgentHook, page, hook.pk)).status_code == 403
    row = AgentHook.objects.get(pk=hook.pk)
    assert (row.enabled, row.secret) == (True, PROVIDER_KEY)
