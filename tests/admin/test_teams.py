"""Teams in the admin: an admin makes one with its members, of agents of the workspace only, and the log has it."""

import pytest
from django.urls import reverse

from accounts.models import Role
from agents.models import Agent, AgentTeam
from agents.services import teams
from approvals.models import AuditEvent


@pytest.fixture
def form(here, workspace):
    agents = [Agent.objects.create(workspace=workspace, slug=slug, name=slug.title()) for slug in ("ada", "bob")]
    body = {
        "workspace": workspace.pk, "name": "Pair", "slug": "pair", "description": "", "chat_mode": "debate",
        "lead": agents[0].pk, "enabled": "on", "members-TOTAL_FORMS": 2, "members-INITIAL_FORMS": 0,
    }  # fmt: skip
    for place, agent in enumerate(agents):
        body |= {f"members-{place}-agent": agent.pk, f"members-{place}-place": place}
    return body


def test_an_admin_makes_a_team_with_its_members(form, staff):
    answer = staff(Role.ADMIN).post(reverse("admin:agents_agentteam_add"), form)
    assert answer.status_code == 302, answer.content[-3000:]
    team = AgentTeam.objects.get(slug="pair")
    assert [row.agent.slug for row in team.members.all()] == ["ada", "bob"]
    assert AuditEvent.objects.filter(type="team.changed", target_id=team.pk).count() == 1


def test_an_agent_of_another_workspace_is_no_choice(form, staff, other_workspace):
    theirs = Agent.objects.create(workspace=other_workspace, slug="theirs", name="Theirs")
    client = staff(Role.ADMIN)
    for field in ("lead", "members-1-agent"):
        answer = client.post(reverse("admin:agents_agentteam_add"), {**form, field: theirs.pk})
        assert answer.status_code == 200
    assert not AgentTeam.objects.filter(slug="pair").exists()


def test_a_team_has_no_more_members_than_it_may_and_a_workspace_no_more_teams(form, staff, workspace, monkeypatch):
    client, address = staff(Role.ADMIN), reverse("admin:agents_agentteam_add")
    monkeypatch.setattr(teams, "MOST_MEMBERS", 1)
    assert "1 members at most" in client.post(address, form).content.decode()
    monkeypatch.setattr(teams, "MOST_MEMBERS", 2)
    monkeypatch.setattr(teams, "MOST", AgentTeam.objects.filter(workspace=workspace).count())
    assert "teams at most" in client.post(address, form).content.decode()
    assert not AgentTeam.objects.filter(slug="pair").exists()


def test_a_manager_makes_none(form, staff):
    assert staff(Role.MANAGER).post(reverse("admin:agents_agentteam_add"), form).status_code == 403
