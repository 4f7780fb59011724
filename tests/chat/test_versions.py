"""A run keeps to the version of its agent that it began with, and loses a tool that is taken away at once."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agents.models import Agent
from agents.providers.base import ToolCall
from agents.services import definitions, skills
from approvals.services import audit
from chat.models import ActionState, Run, RunState
from chat.services import background, conversations, leases, proposing
from tests.chat.acting import RESTART, STATUS, approve, of, states


@pytest.fixture
def agent(devops) -> Agent:
    return devops.agent


def claimed():
    [claim] = leases.claim("test", limit=10)
    return claim


def test_what_a_run_is_told_is_what_its_agent_was_told_when_it_began(say, smart_home, owner):
    run = say()
    assert Run.objects.get(pk=run.pk).agent_version == 1
    definitions.change(smart_home.agent, by=owner, instructions="Burn it down.", personality="Wild")
    told = claimed().system
    assert "You help people run their home." in told
    assert "Burn" not in told
    assert "Wild" not in told


def test_the_next_run_is_told_what_the_agent_is_told_now(say, smart_home, owner):
    definitions.change(smart_home.agent, by=owner, instructions="Burn it down.", personality="Wild", tone="loud")
    assert claimed_after(say).system == "You are Hestia.\n\nWild\n\nTone: loud\n\nBurn it down."


def claimed_after(say):
    say()
    return claimed()


def test_a_companions_own_personality_and_tone_come_before_its_agents(say, smart_home, owner):
    definitions.change(smart_home.agent, by=owner, personality="Wild", tone="loud")
    smart_home.personality = "Calm"
    smart_home.save()
    told = claimed_after(say).system
    assert "Calm" in told
    assert "Wild" not in told
    assert "Tone: loud" in told


def test_skills_are_told_and_offered(say, devops, member, owner):
    skills.create(by=owner, name="Homes", instructions="Ask before you heat.", tools=["device_list"])
    definitions.change(devops.agent, by=owner, skills=["homes"])
    devops.refresh_from_db()
    say(into=conversations.new(devops, by=member))
    claim = claimed()
    assert "# Homes\nAsk before you heat." in claim.system
    assert claim.tools[-1] == "device_list"


def test_a_tool_that_was_taken_away_is_not_offered_and_one_that_was_given_neither(say, devops, member, owner):
    say(into=conversations.new(devops, by=member))
    definitions.change(devops.agent, by=owner, tools=["service_status", "device_list"])
    assert claimed().tools == ("service_status",)


def test_a_call_of_a_tool_that_came_or_went_since_the_run_began_is_refused(say, devops, member, owner):
    run = say(into=conversations.new(devops, by=member))
    claim = claimed()
    definitions.change(devops.agent, by=owner, tools=["service_status", "device_list"])
    named = [ToolCall("a", *STATUS), ToolCall("b", "device_list", {}), ToolCall("c", *RESTART)]
    proposing.propose(
        proposing.Step(run_id=claim.run_id, attempt=claim.attempt, number=1, seq=10, parts=[], usage=None, calls=named)
    )
    assert [(one.tool, one.code) for one in of(run) if one.state == ActionState.REFUSED] == [
        ("device_list", "unknown_tool"), ("service_restart", "unknown_tool"),
    ]  # fmt: skip


def test_a_run_that_waits_for_an_approval_goes_on_as_it_began(step, agent, owner, manager):
    definitions.change(agent, by=owner, instructions="Keep it up.")
    run = step(RESTART)
    assert (run.state, run.agent_version) == (RunState.WAITING_APPROVAL, 2)
    definitions.change(agent, by=owner, instructions="Break it.", tools=["service_restart"])
    [action] = of(run)
    approve(action, by=manager)
    assert states(run) == [ActionState.READY]
    Run.objects.filter(pk=run.pk).update(state=RunState.QUEUED, active=True)
    again = claimed()
    assert "Keep it up." in again.system
    assert "Break it." not in again.system
    assert again.tools == ("service_restart",)
    run.refresh_from_db()
    assert run.agent_version == 2


def test_an_agent_in_the_background_keeps_its_version_too(workspace, owner):
    agent = Agent.objects.create(
        workspace=workspace, slug="guard", name="Guard", kind="manager", task="Look.", instructions="Look well."
    )
    background.wake(agent, who=audit.SYSTEM)
    definitions.change(agent, by=owner, instructions="Look away.", name="Thief")
    assert claimed().system == "You are Guard.\n\nLook well."


def test_the_common_case_asks_the_database_once(say, smart_home):
    say()
    with CaptureQueriesContext(
        connection,
    ) as asked:
        claimed()
    assert len(asked) == 1
