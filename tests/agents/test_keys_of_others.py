"""A key that somebody else made for its person: it says nothing of agents in their name, and stops whatever it can."""

import dataclasses

import pytest

from accounts.models import Actor
from accounts.permissions import KeyOfAnother
from accounts.services import keys
from agents.models import Agent, AgentTeam, Skill, ToolSetting
from agents.services import bundles, definitions, skills, switches, teams
from tests.cast import Api

BODY = {"name": "Iris", "instructions": "Help."}


@pytest.fixture
def agent(smart_home) -> Agent:
    return smart_home.agent


@pytest.fixture
def skill(owner) -> Skill:
    return skills.create(by=owner, name="Homes", tools=["device_list"])


@pytest.fixture
def team(owner, agent) -> AgentTeam:
    return teams.create(by=owner, name="Pair", agents=[agent.slug])


def holding(actor: Actor, by: Actor | None) -> tuple[Actor, Api]:
    """The caller with a key that `by` was shown, and its client."""
    _, text = keys.create(workspace=actor.workspace, user=actor.user, name="k", by=by and by.user)
    return keys.verify(text), Api(text)


def test_an_agent_has_no_author_by_a_key_of_another(owner, manager, agent):
    _, foreign = holding(owner, manager)
    told = foreign.post("/v1/ai/agents", BODY)
    assert (told.status_code, told.json()["code"]) == (403, "key_of_another")
    told = foreign.patch(f"/v1/ai/agents/{agent.pk}", {"instructions": "Burn it down."})
    assert (told.status_code, told.json()["code"]) == (403, "key_of_another")
    agent.refresh_from_db()
    assert (agent.version, agent.author) == (1, None)
    _, own = holding(owner, owner)
    assert own.post("/v1/ai/agents", BODY).status_code == 201
    assert Agent.objects.get(slug="iris").author == owner.user
    _, before = holding(owner, None)
    assert before.patch(f"/v1/ai/agents/{agent.pk}", {"instructions": "Help."}).status_code == 200


@pytest.mark.parametrize(
    "act",
    [
        lambda by, agent, skill, team: definitions.create(by=by, name="New"),
        lambda by, agent, skill, team: definitions.restore(agent, 1, by=by),
        lambda by, agent, skill, team: bundles.imported(bundles.exported(agent), by=by, rename="other"),
        lambda by, agent, skill, team: skills.create(by=by, name="New"),
        lambda by, agent, skill, team: skills.change(skill, by=by, instructions="Burn it down."),
        lambda by, agent, skill, team: teams.create(by=by, name="New", agents=[agent.slug]),
        lambda by, agent, skill, team: teams.change(team, by=by, chat_mode="debate"),
        lambda by, agent, skill, team: teams.change(team, by=by, enabled=False, lead=agent.slug),
        lambda by, agent, skill, team: switches.change_agent(agent, by=by, autonomy="autonomous"),
        lambda by, agent, skill, team: switches.change_agent(agent, by=by, autonomy="observer"),
    ],
)
def test_what_it_says_of_agents_skills_and_teams_is_refused(act, owner, manager, agent, skill, team):
    foreign, _ = holding(owner, manager)
    with pytest.raises(KeyOfAnother):
        act(foreign, agent, skill, team)
    own, _ = holding(owner, owner)
    act(own, agent, skill, team)
    act(dataclasses.replace(own, key=None), *_anew(agent, skill, team))


def _anew(*rows):
    """The rows as others would be, so that what makes something does not find it made."""
    Agent.objects.filter(slug__in=("new", "other")).delete()
    Skill.objects.filter(slug="new").delete()
    AgentTeam.objects.filter(slug="new").delete()
    return rows


def test_it_switches_off_and_not_on(owner, manager, agent, team):
    foreign, _ = holding(owner, manager)
    switches.change_agent(agent, by=foreign, enabled=False)
    switches.change_tool(owner.workspace, "door_unlock", by=foreign, enabled=False)
    teams.change(team, by=foreign, enabled=False)
    for on in (
        lambda: switches.change_agent(agent, by=foreign, enabled=True),
        lambda: switches.change_tool(owner.workspace, "door_unlock", by=foreign, enabled=True),
        lambda: teams.change(team, by=foreign, enabled=True),
    ):
        with pytest.raises(KeyOfAnother):
            on()
    for row in (agent, team):
        row.refresh_from_db()
    assert (agent.enabled, team.enabled, ToolSetting.objects.get().enabled) == (False, False, False)
