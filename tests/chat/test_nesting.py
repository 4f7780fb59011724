"""Runs within runs as rows: found again by their place, limited, fenced, and settled with the call that asked."""

import pytest
from django.db import transaction
from django.db.models.functions import Now

from accounts.models import Budget
from accounts.services import usage
from agents import brain, teams
from agents.models import Agent, AgentTeam, Provider, TeamMember
from agents.providers import abilities
from agents.providers.base import ToolCall
from agents.tools.registry import ToolFailed
from chat.models import Action, ActionState, Conversation, Run, RunState
from chat.services import (
    actions,
    conversations,
    execution,
    families,
    finishing,
    gate,
    leases,
    ledger,
    nesting,
    proposing,
    remembering,
    runs,
)
from chat.services.ledger import Spent
from companions.models import Companion
from core import ids
from memory.services.telling import Block
from tests.chat.attempting import attempt
from tests.chat.conftest import REHEARSAL
from tests.pictures import sent
from tests.servers import openai_server
from tests.servers.threads import bridged


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


def test_nothing_is_looked_up_of_the_person_for_an_agent_that_is_asked(transactional_db, calling, monkeypatch):
    nesting.call(calling.action_id, calling.attempt, slug="ada", message="What is algebra?")
    looked_up: list[tuple] = []
    monkeypatch.setattr(remembering, "block", lambda *of: looked_up.append(of) or (Block(), False))
    with bridged():
        assert attempt().state == RunState.COMPLETED
    assert looked_up == []
    assert Action.objects.get().state == ActionState.SUCCEEDED


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


@pytest.mark.django_db(transaction=True)
def test_a_team_is_held_to_its_money_though_some_of_its_models_have_no_price(team, member, say, settings):
    settings.RUN_MAX_COST_USD = 1.0
    conversation = Conversation(id=ids.new(), workspace=member.workspace, user=member.user, team=team)
    plan = nesting.plan(team, "Hello", mode="brainstorm")
    run = runs.start(conversation, text="Hello", by=member, choice=REHEARSAL, team=plan)
    dear, unpriced = Spent("one", "dear", False, 5, 5, 1.5), Spent("one", "mine", False, 5, 5, None)
    Run.objects.filter(pk=say().pk).update(
        parent=run, root_id=run.pk, role="member", place="earlier", depth=1, state="completed", active=False,
        ended_at=Now(), spent=ledger.written([dear, unpriced]),
    )  # fmt: skip
    with bridged():
        outcome = attempt()
    assert (outcome.state, outcome.error_code) == (RunState.FAILED, "cost_limit")
    assert Run.objects.filter(root_id=run.pk).count() == 1


@pytest.fixture
def limited(workspace):
    """A model that surely has no tools."""
    with openai_server.running(["limited"]) as server:
        Provider.objects.create(workspace=workspace, name="one", kind="openai", base_url=server.base_url, api_key="k")
        abilities.learn(brain.spec(workspace.pk, "one"), "limited", abilities.complete([]))
        yield
    brain.forget()
    abilities.forget()


def test_a_model_without_tools_answers_for_no_member_that_has_some(asked, limited):
    claim, prompts = asked
    Agent.objects.filter(slug="ada").update(model="limited")
    Agent.objects.filter(slug="bob").update(model="limited", tools=["service_status"])
    assert [one.error for one in nesting.ask(claim.run_id, claim.attempt, prompts)] == ["", "model_lacks"]


def test_a_model_without_tools_answers_for_no_agent_that_is_asked_and_has_some(calling, limited):
    Agent.objects.filter(slug="ada").update(model="limited", tools=["service_status"])
    with pytest.raises(ToolFailed, match="lacks what this request needs: tools"):
        nesting.call(calling.action_id, calling.attempt, slug="ada", message="What is algebra?")


@pytest.fixture
def say_to(team, api):
    def said(**more):
        body = {"message": "Hello", "mode": "brainstorm", "stream": True, **more}
        return api.post(f"/v1/ai/teams/{team.pk}/chat", body)

    return said


def test_a_team_answers_where_its_leads_model_is_away(say_to, team):
    Agent.objects.filter(slug="ada").update(model="no-such-model")
    assert say_to().status_code == 200
    assert Run.objects.get().provider == "rehearsal"
    Agent.objects.filter(slug="bob").update(model="no-such-model-either")
    refused = say_to()
    assert (refused.status_code, refused.json()["code"]) == (404, "unknown_model")
    assert "no-such-model'" in refused.json()["detail"]


def test_a_team_is_shown_an_image_that_its_leads_model_does_not_see(say_to, limited):
    Agent.objects.filter(slug="ada").update(model="limited")
    assert say_to(attachments=[sent()]).status_code == 200
    assert Run.objects.get().model == "limited"


def test_a_team_answers_where_its_leads_budget_is_used_up(say_to, asked, workspace, team, api, member):
    ada = team.lead
    Budget.objects.create(workspace=workspace, scope="agent", agent_id=ada.pk, tokens=10)
    entry = usage.Used(
        workspace_id=workspace.pk, user_id=member.user.pk, agent_id=ada.pk, session_id=ids.new(), run_id=ids.new(),
        message_id=None, provider="rehearsal", model="rehearsal", input_tokens=10, output_tokens=10, cost_usd=None,
    )  # fmt: skip
    usage.record([entry])
    Companion.objects.create(workspace=workspace, type="ada", name="Ada", agent=ada)
    assert api.post("/v1/ai/chat", {"message": "Hello", "companion": "ada"}).json()["code"] == "budget_exceeded"
    assert say_to().status_code == 200


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


def test_a_run_that_is_to_stop_does_not_wait_with_those_within_it(asked, member):
    claim, prompts = asked
    nesting.ask(claim.run_id, claim.attempt, prompts)
    Run.objects.filter(parent=claim.run_id).update(state="waiting_approval")
    runs.cancel(Run.objects.get(pk=claim.run_id), by=member)
    with pytest.raises(actions.Stopping):
        families.hold(claim.run_id, claim.attempt, seq=5, parts=[], tell=False)
    assert Run.objects.get(pk=claim.run_id).state == RunState.RUNNING


def test_what_waits_within_a_run_and_was_to_stop_is_ended_with_it(asked):
    claim, prompts = asked
    waiting, running = (one.run_id for one in nesting.ask(claim.run_id, claim.attempt, prompts))
    Run.objects.filter(pk=waiting).update(state="waiting_approval", cancel_requested_at=Now())
    Run.objects.filter(pk=running).update(state="running", cancel_requested_at=Now())
    runs.stop_below(claim.run_id)
    assert Run.objects.get(pk=waiting).state == RunState.CANCELLED
    assert Run.objects.get(pk=running).state == RunState.RUNNING, "its worker ends it"


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
