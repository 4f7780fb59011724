"""Runs within runs as rows: found again by their place, limited, fenced, and settled with the call that asked."""

import pytest
from django.db import transaction
from django.db.models.functions import Now

from agents import teams
from agents.models import Agent, AgentTeam, TeamMember
from agents.providers.base import ToolCall
from chat.models import Action, ActionState, Conversation, Run, RunState
from chat.services import actions, conversations, execution, families, finishing, gate, leases, nesting, proposing, runs
from companions.models import Companion
from core import ids
from tests.chat.conftest import REHEARSAL


@pytest.fixture
def team(workspace) -> AgentTeam:
    agents = [Agent.objects.create(workspace=workspace, slug=name, name=name.title()) for name in ("ada", "bob")]
    made = AgentTeam.objects.create(workspace=workspace, slug="pair", name="Pair", lead=agents[0])
    for place, agent in enumerate(agents):
        TeamMember.objects.create(team=made, agent=agent, place=place)
    return made


@pytest.fixture
def asked(team, member):
    """A team's run in a worker's hands, and the prompts of its first round."""
    conversation = Conversation(id=ids.new(), workspace=member.workspace, user=member.user, team=team)
    plan = nesting.plan(team, "Hello", mode="brainstorm")
    runs.start(conversation, text="Hello", by=member, choice=REHEARSAL, team=plan)
    [claim] = leases.claim("test", limit=1)
    return claim, teams.next_prompts(nesting.team_of(claim.team, "Hello", ""), [])


def test_an_attempt_that_comes_again_finds_what_was_begun(asked):
    claim, prompts = asked
    first = nesting.ask(claim.run_id, claim.attempt, prompts)
    again = nesting.ask(claim.run_id, claim.attempt, prompts)
    assert [one.error for one in first] == ["", ""]
    assert [one.run_id for one in first] == [one.run_id for one in again]
    assert Run.objects.filter(root_id=claim.run_id).count() == 2


@pytest.fixture
def calling(workspace, member, team):
    """An action of `ask_agent` in a worker's hands."""
    asking = Agent.objects.create(workspace=workspace, slug="asker", name="Asker", tools=["ask_agent"], may_ask=["ada"])
    companion = Companion.objects.create(workspace=workspace, type="asker", name="Asker", agent=asking)
    runs.start(conversations.new(companion, by=member), text="Go", by=member, choice=REHEARSAL)
    [claim] = leases.claim("test", limit=1)
    call = ToolCall("call_1", "ask_agent", {"agent": "ada", "message": "What is algebra?"})
    part = {"type": "tool_call", "call_id": "call_1", "name": call.name, "arguments": call.arguments}
    step = proposing.Step(
        run_id=claim.run_id, attempt=claim.attempt, number=1, seq=10, parts=[part], usage=None, calls=[call]
    )
    assert proposing.propose(step) == []
    [taken], _ = execution.claim("test", limit=10)
    return taken


def test_a_call_that_is_handed_on_is_settled_with_the_run_that_answers_it(calling):
    for _ in range(2):  # a second attempt finds what the first began
        Action.objects.update(state=ActionState.EXECUTING)
        nesting.call(calling.action_id, calling.attempt, slug="ada", message="What is algebra?")
    child = Run.objects.get(role="delegate")
    assert Action.objects.get().state == ActionState.DELEGATED
    [claim] = leases.claim("test", limit=10)
    assert (claim.run_id, claim.root_id) == (child.pk, calling.run_id)
    outcome = finishing.Outcome(
        run_id=child.pk,
        conversation_id=child.conversation_id,
        workspace_id=child.workspace_id,
        attempt=claim.attempt,
        seq=20,
        state=RunState.COMPLETED,
        parts=[{"type": "text", "text": "Letters for numbers."}],
        provider="rehearsal",
        model="rehearsal",
    )
    finishing.finish([outcome])
    action = Action.objects.get()
    assert (action.state, action.result) == (ActionState.SUCCEEDED, "Letters for numbers.")


def within(run_id) -> gate.Origin:
    """Where the calls of a run within another come from, as things stand now."""
    return gate.origin_of(Run.objects.select_related("workspace", "agent", "conversation__companion").get(pk=run_id))


def test_an_agent_that_is_switched_off_stops_what_it_had_others_do(calling):
    nesting.call(calling.action_id, calling.attempt, slug="ada", message="What is algebra?")
    [child] = Run.objects.filter(role="delegate")
    assert gate.switched_off(within(child.pk), "service_status") == ""
    Agent.objects.filter(slug="asker").update(enabled=False)
    assert gate.switched_off(within(child.pk), "service_status") == "agent_disabled"
    below = runs.start(
        Conversation(
            id=ids.new(), workspace=child.workspace, user_id=child.person_id, agent=child.agent,
            parent_id=child.conversation.parent_id,
        ),
        text="Go", by=None, choice=REHEARSAL,
    )  # fmt: skip
    Run.objects.filter(pk=below.pk).update(
        parent=child, root_id=child.root_id, role="delegate", place="call.x", depth=2
    )
    assert gate.switched_off(within(below.pk), "service_status") == "agent_disabled"
    Agent.objects.filter(slug="asker").update(enabled=True, autonomy="observer")
    assert (gate.switched_off(within(below.pk), "service_status"), within(below.pk).autonomy) == ("", "observer")


def test_a_team_that_is_switched_off_stops_its_members_and_its_lead_alone_does_not(asked, team):
    claim, prompts = asked
    bob = next(
        one.run_id for one in nesting.ask(claim.run_id, claim.attempt, prompts) if one.prompt.agent.name == "Bob"
    )
    Agent.objects.filter(slug="ada").update(enabled=False, autonomy="observer")
    assert (gate.switched_off(within(bob), "service_status"), within(bob).autonomy) == ("", "advisor")
    AgentTeam.objects.filter(pk=team.pk).update(enabled=False)
    assert gate.switched_off(within(bob), "service_status") == "team_disabled"


def test_an_attempt_that_slept_past_its_lease_begins_nothing(asked):
    claim, prompts = asked
    assert nesting.ask(claim.run_id, claim.attempt + 1, prompts) is None
    assert not Run.objects.filter(root_id=claim.run_id).exists()


def test_an_agent_that_cannot_be_asked_is_an_error_and_the_others_are_asked(asked, team):
    claim, prompts = asked
    Agent.objects.filter(slug="ada").update(enabled=False)
    Agent.objects.filter(slug="bob").update(model="no-such-model")
    assert [one.error for one in nesting.ask(claim.run_id, claim.attempt, prompts)] == [
        "agent_disabled",
        "unknown_model",
    ]


def test_an_agent_of_another_workspace_is_never_asked(asked, other_workspace):
    claim, prompts = asked
    Agent.objects.update(workspace=other_workspace)
    found = nesting.ask(claim.run_id, claim.attempt, prompts)
    assert [one.error for one in found] == ["agent_disabled"] * 2


def test_runs_within_a_run_are_limited(asked, settings):
    claim, prompts = asked
    settings.RUN_MAX_NESTED = 1
    assert [one.error for one in nesting.ask(claim.run_id, claim.attempt, prompts)] == ["", "invalid"]


def test_who_stands_behind_the_team_stands_behind_its_members(asked, member, manager):
    claim, prompts = asked
    Run.objects.filter(pk=claim.run_id).update(behind=manager.user)
    nesting.ask(claim.run_id, claim.attempt, prompts)
    for run in Run.objects.filter(root_id=claim.run_id).select_related("conversation"):
        assert (run.person_id, run.behind_id) == (member.user.pk, manager.user.pk)


def test_a_forged_run_settles_no_call_of_another(calling, asked):
    nesting.call(calling.action_id, calling.attempt, slug="ada", message="What is algebra?")
    claim, prompts = asked
    forged = nesting.ask(claim.run_id, claim.attempt, prompts[:1])[0].run_id
    Run.objects.filter(pk=forged).update(role="delegate", place=f"call.{calling.action_id}")
    families.settle_calls([(forged, True, "Yes, it was approved.", "")])
    assert Action.objects.get().state == ActionState.DELEGATED


def test_a_run_waits_only_where_all_within_it_wait(asked):
    claim, prompts = asked
    first, second = (one.run_id for one in nesting.ask(claim.run_id, claim.attempt, prompts))
    held = {"seq": 5, "parts": [], "tell": False}
    Run.objects.filter(pk=first).update(state="waiting_approval")
    assert families.hold(claim.run_id, claim.attempt, **held) is None
    Run.objects.filter(pk=second).update(state="waiting_approval")
    assert families.hold(claim.run_id, claim.attempt + 1, **held) is None
    assert families.hold(claim.run_id, claim.attempt, **held) == []
    above = Run.objects.get(pk=claim.run_id)
    assert (above.state, above.lease_until, above.seq) == ("waiting_approval", None, 6)
    with transaction.atomic():
        actions.advance(Run.objects.select_for_update().get(pk=first))
    assert set(Run.objects.filter(pk__in=[first, claim.run_id]).values_list("state", flat=True)) == {"queued"}


def test_what_works_within_a_run_that_is_over_is_stopped_by_the_sweep(asked):
    claim, prompts = asked
    nesting.ask(claim.run_id, claim.attempt, prompts)
    Run.objects.filter(pk=claim.run_id).update(state="failed", active=False, ended_at=Now())
    assert all(one.cancelled for one in leases.claim("test", limit=1))
    runs.stop_below()
    left = Run.objects.filter(root_id=claim.run_id, ended_at=None)
    assert all(run.cancel_requested_at for run in left)
    assert left.count() == 1


def test_a_call_that_was_handed_on_does_not_outlive_its_session_undecided(calling, member):
    nesting.call(calling.action_id, calling.attempt, slug="ada", message="What is algebra?")
    conversation = Conversation.objects.get(parent=None, companion__type="asker")
    conversations.delete(conversation, by=member)
    action = Action.objects.get()
    assert (action.state, action.code) == (ActionState.FAILED, "deleted")
    assert not Run.objects.filter(role="delegate").exists()
