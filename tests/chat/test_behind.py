"""Nobody countersigns what they asked for in words that an agent has: by decision, vote, inbox and resolution."""

from dataclasses import replace
from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.db.models.functions import Now

from accounts.models import Actor, Membership, Role
from accounts.services import keys
from agents.models import Agent, AgentKind, Skill
from agents.providers.base import ToolCall
from agents.services import authors, definitions, skills
from approvals import waiting
from approvals.models import Approval, AuditEvent, Decision, Policy
from approvals.services import approvals, audit, policies, rights
from approvals.services.approvals import Remember
from approvals.services.rights import IsRequester
from chat.models import Action, ActionState, Run, RunRole, RunState
from chat.services import (
    background,
    behind,
    chats,
    conversations,
    execution,
    leases,
    nesting,
    proposing,
    runs,
    verdicts,
)
from companions import services as companions
from companions.models import Companion
from companions.services import Persona
from tests.cast import person
from tests.chat.acting import RESTART, approve, of
from tests.chat.conftest import REHEARSAL, TOOLS

ORDER = "Restart the web service.\nDo so whenever you wake."


@pytest.fixture
def people(workspace, owner):
    """Makes admins of the workspace, by name."""

    def admin(name: str) -> Actor:
        return person(workspace, name, Role.ADMIN)

    return admin


def guard_of(author: Actor, **said) -> Agent:
    told = {"kind": AgentKind.MANAGER, "task": ORDER, "tools": TOOLS, **said}
    return definitions.create(by=author, name="Guard", **told)


def proposed(run: Run, tool: str = RESTART[0], arguments: dict | None = None) -> Action:
    """What the run asks for; its agent has said nothing else."""
    [claim] = [one for one in leases.claim("test", limit=10) if one.run_id == run.pk]
    call = ToolCall("call_1_1", tool, RESTART[1] if arguments is None else arguments)
    parts = [{"type": "tool_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments}]
    step = proposing.Step(run_id=run.pk, attempt=claim.attempt, number=1, seq=10, parts=parts, usage=None, calls=[call])
    proposing.propose(step)
    [action] = of(run)
    return action


def refused(action: Action, by: Actor) -> IsRequester:
    with pytest.raises(IsRequester) as caught:
        approve(action, by)
    return caught.value


def test_who_wrote_an_order_does_not_countersign_it_because_another_touched_the_agent_last(people, manager):
    first, second, third = (people(name) for name in ("first", "second", "third"))
    guard = guard_of(first)
    definitions.change(guard, by=second, task=ORDER.replace("Do so", "Do that"))
    run = background.wake(guard, who=audit.SYSTEM)
    assert set(run.behind_ids) == {first.user.pk, second.user.pk}
    action = proposed(run)
    asked = Approval.objects.get(pk=action.approval_id)
    for one in (first, second):
        refused(action, one)
        assert approvals.may_decide(asked, one) == "requester"
        assert one.user not in rights.asked(asked)
        assert not Approval.objects.filter(waiting.to_decide(one.user, {one.workspace.pk: Role.ADMIN})).exists()
    assert Approval.objects.filter(waiting.to_decide(third.user, {third.workspace.pk: Role.ADMIN})).get() == asked
    told = AuditEvent.objects.select_related("payload").get(type="approval.requested", target_id=asked.pk)
    assert str(first.user.pk) in told.payload.data
    assert approve(action, third).status == "approved"


def test_whose_words_were_all_replaced_may_countersign_it_again(people):
    first, second = people("first"), people("second")
    guard = guard_of(first, tools=["service_status"])
    definitions.change(guard, by=second, task="Look at the web service; restart it if it is down.", tools=TOOLS[1:])
    assert authors.of(Agent.objects.get(pk=guard.pk)) == {second.user.pk}
    action = proposed(background.wake(guard, who=audit.SYSTEM))
    refused(action, second)
    assert approve(action, first).status == "approved"


@pytest.mark.parametrize(
    ("field", "value"),
    [("instructions", "Always restart."), ("personality", "Restless."), ("tone", "Curt"), ("task", "Restart. Now.")],
)
def test_each_text_that_an_agent_is_told_has_its_author(people, field, value):
    first, second, third = (people(name) for name in ("first", "second", "third"))
    guard = guard_of(first)
    definitions.change(guard, by=second, **{field: value})
    definitions.change(guard, by=third, description="Touched.", model="rehearsal")
    assert second.user.pk in authors.of(Agent.objects.get(pk=guard.pk))


def test_what_was_restored_is_both_theirs_who_wrote_it_and_who_restored_it(people):
    first, second, third = (people(name) for name in ("first", "second", "third"))
    guard = guard_of(first, tools=[])
    definitions.change(guard, by=second, task="Sleep.")
    definitions.restore(guard, 1, by=third)
    assert authors.of(Agent.objects.get(pk=guard.pk)) == {first.user.pk, third.user.pk}


def test_who_wrote_a_skill_stands_behind_the_agents_that_were_given_it(people):
    first, second, third = (people(name) for name in ("first", "second", "third"))
    skill = skills.create(
        by=first, name="Restarts", instructions="Restart at once. Ask nobody.", tools=["service_logs"]
    )
    skills.change(skill, by=second, instructions="Restart at once. Ask somebody.")
    guard = guard_of(third, skills=["restarts"])
    assert authors.of(guard) == {one.user.pk for one in (first, second, third)}
    skills.change(skill, by=third, instructions="Look first.", tools=["service_status"])
    assert Skill.objects.get().author_ids == [third.user.pk]
    action = proposed(background.wake(guard, who=audit.SYSTEM))
    refused(action, third)
    assert approve(action, second).status == "approved"


def test_a_second_account_of_an_author_is_the_author(people, workspace):
    first, other = people("first"), people("other")
    other.user.same_person_as = first.user
    other.user.save()
    definitions.change(guard := guard_of(first), by=people("second"), tone="Calm")
    action = proposed(background.wake(guard, who=audit.SYSTEM))
    refused(action, other)
    rows = Approval.objects.filter(waiting.to_decide(other.user, {workspace.pk: Role.ADMIN}))
    assert not rows.exists()


def test_where_all_who_could_decide_wrote_it_the_refusal_says_that_nobody_may(owner):
    action = proposed(background.wake(guard_of(owner), who=audit.SYSTEM))
    said = refused(action, owner)
    assert (said.code, said.status) == ("requester", 403)
    assert "Nobody in this workspace may decide it: an admin adds another manager" in said.detail


def test_where_others_may_decide_the_refusal_says_no_such_thing(owner, manager):
    action = proposed(background.wake(guard_of(owner), who=audit.SYSTEM))
    assert "Nobody in this workspace" not in refused(action, owner).detail
    assert approve(action, manager).status == "approved"


def test_behind_whom_another_agent_asks_stand_both_and_the_authors_of_the_one_that_is_asked(people, manager):
    first, second, third = (people(name) for name in ("first", "second", "third"))
    helper = definitions.create(by=second, name="Helper", instructions="Restart what you are told of.", tools=TOOLS)
    guard = guard_of(first, may_ask=["helper"])
    run = background.wake(guard, who=audit.SYSTEM, behind=manager.user)
    parent = Run.objects.select_related("workspace", "agent", "behind", "conversation__user").get(pk=run.pk)
    child = nesting._start(parent, helper, REHEARSAL, text="The web.", role=RunRole.DELEGATE, place="call:1")
    assert set(Run.objects.get(pk=child.pk).behind_ids) == {first.user.pk, second.user.pk}
    action = proposed(child)
    for one in (first, second, manager):
        refused(action, one)
    assert approve(action, third).status == "approved"


def test_nobody_whose_words_stand_behind_it_says_what_became_of_it(people):
    first, second, third = (people(name) for name in ("first", "second", "third"))
    definitions.change(guard := guard_of(first), by=second, tone="Calm")
    action = proposed(background.wake(guard, who=audit.SYSTEM))
    approve(action, third)
    Action.objects.filter(pk=action.pk).update(state=ActionState.UNKNOWN)
    with pytest.raises(verdicts.MayNotResolve):
        verdicts.resolve(action.pk, by=first, resolution="done")
    assert verdicts.resolve(action.pk, by=third, resolution="done").state == ActionState.SUCCEEDED


@pytest.mark.parametrize("when", ["before the message", "while the run goes on"])
def test_a_manager_does_not_countersign_what_a_persona_of_theirs_led_to(say, devops, member, manager, owner, when):
    persona = Persona(personality="Whatever is said, restart the web service.")
    if when == "before the message":
        companions.configure(devops, persona, by=manager)
    run = say("Hello", into=conversations.new(devops, by=member))
    if when != "before the message":
        companions.configure(devops, persona, by=manager)
    action = proposed(run)
    refused(action, manager)
    assert approve(action, owner).status == "approved"


def test_a_persona_that_was_written_anew_is_nobodys_from_before(devops, member, manager, owner, say):
    companions.configure(devops, Persona(personality="Restart everything.", tone="Curt"), by=manager)
    devops.refresh_from_db()
    assert devops.author_ids == [manager.user.pk]
    companions.configure(devops, Persona(personality="Restart everything. Calmly."), by=owner)
    assert devops.author_ids == [manager.user.pk, owner.user.pk], "their sentence stands"
    companions.configure(devops, Persona(personality="Look first.", tone=""), by=owner)
    assert devops.author_ids == [owner.user.pk]
    action = proposed(say("Restart it", into=conversations.new(devops, by=member)))
    assert approve(action, manager).status == "approved"


def test_whose_words_stand_in_a_persona_from_before_is_read_from_the_log(devops, manager, owner, people):
    first = people("first")
    companions.configure(devops, Persona(personality="Restart nothing."), by=first)
    companions.configure(devops, Persona(personality="Restart everything."), by=owner)
    companions.configure(devops, Persona(tone="Curt", mood="serious"), by=manager)
    companions.configure(devops, Persona(mood="friendly"), by=first)
    Companion.objects.filter(pk=devops.pk).update(author_ids=[manager.user.pk])  # as it was noted
    migration: Any = import_module("companions.migrations.0004_every_author")
    migration.note_authors(apps, None)
    devops.refresh_from_db()
    assert set(devops.author_ids) == {owner.user.pk, manager.user.pk}


def test_in_a_chat_the_person_asked_and_admins_who_set_it_up_may_countersign(owner, member, devops, say):
    definitions.change(devops.agent, by=owner, instructions="Restart what people ask you to.")
    companions.configure(devops, Persona(personality="Helpful."), by=owner)
    action = proposed(say("Restart it", into=conversations.new(devops, by=member)))
    assert approve(action, owner).status == "approved"
    assert Membership.objects.filter(role=Role.ADMIN).count() == 1


def test_rejecting_is_no_more_theirs_than_approving(owner, manager):
    action = proposed(background.wake(guard_of(owner), who=audit.SYSTEM))
    with pytest.raises(IsRequester):
        approvals.decide(action.approval_id, by=owner, decision=Decision.REJECT, reason="Mine.")


@pytest.fixture
def remembering(owner):
    """Managers are asked about restarts, and may have their approval remembered."""
    rule = Policy(workspace=owner.workspace, name="Restarts", tool=RESTART[0], may_remember=True)
    policies.save(rule, by=owner)


def demote(actor: Actor, role: Role = Role.MANAGER) -> None:
    Membership.objects.filter(user=actor.user).update(role=role)


def next_of(run: Run, say) -> Action:
    """The same call once more, in the same conversation, where this run is over."""
    Run.objects.filter(pk=run.pk).update(state=RunState.CANCELLED, active=False, ended_at=Now())
    return proposed(say("Do it again", into=run.conversation))


def test_what_somebody_remembers_covers_nothing_of_what_they_lead_to_themselves(
    say, devops, member, manager, owner, people, remembering
):
    run = say("Restart it", into=conversations.new(devops, by=member))
    approve(proposed(run), manager, remember=Remember())
    covered = next_of(run, say)
    assert (covered.state, covered.approval_id) == (ActionState.READY, None)
    companions.configure(devops, Persona(personality="Restart web at every chance."), by=manager)
    asked = next_of(covered.run, say)
    assert (asked.state, asked.grant_id) == (ActionState.WAITING, None)
    refused(asked, manager)
    assert approve(asked, owner, remember=Remember()).status == "approved"
    companions.configure(devops, Persona(personality="Restart web at every chance. Now."), by=owner)
    covered = next_of(asked.run, say)
    assert covered.state == ActionState.READY, "admins who wrote it may"
    demote(owner)
    assert execution.claim("test", limit=10)[0] == []
    covered.refresh_from_db()
    assert (covered.state, covered.code) == (ActionState.REFUSED, "policy_changed")


def test_what_was_remembered_covers_nothing_once_another_spoke_in_the_conversation(
    say, devops, member, manager, owner, remembering
):
    run = say("Restart it", into=conversations.new(devops, by=member))
    action = proposed(run)
    approve(action, manager, remember=Remember())
    runs.cancel(run, by=None)
    key, _ = keys.create(workspace=member.workspace, user=member.user, name="Theirs", by=owner.user)
    by_key = replace(member, key=key)
    spoken = runs.start(run.conversation, text="From now on restart it daily.", by=by_key, choice=REHEARSAL)
    asked = next_of(spoken, say)
    assert (asked.run.behind, asked.state) == (None, ActionState.WAITING)
    refused(asked, owner)
    assert approve(asked, manager).status == "approved"


def test_who_had_the_assistant_say_something_stands_behind_what_follows(say, devops, member, manager, owner):
    chat = conversations.create(devops, by=member)
    key, _ = keys.create(workspace=member.workspace, user=member.user, name="Theirs", by=manager.user)
    chats.append(chat, "I restart web with each message.", by=replace(member, key=key))
    chat.refresh_from_db()
    action = proposed(say("Hello", into=chat))
    refused(action, manager)
    assert approve(action, owner).status == "approved"


WRITES = {
    "persona": lambda devops, by: companions.configure(devops, Persona(personality="Restart web."), by=by),
    "agent": lambda devops, by: definitions.change(devops.agent, by=by, instructions="Restart web."),
}


@pytest.mark.parametrize("what", WRITES)
def test_what_an_admin_wrote_they_countersign_only_while_they_are_one(say, devops, member, people, what):
    first, second = people("first"), people("second")
    WRITES[what](devops, first)
    run = say("Hello", into=conversations.new(devops, by=member))
    action = proposed(run)
    asked = Approval.objects.filter(pk=action.approval_id)
    assert asked.filter(waiting.to_decide(first.user, {first.workspace.pk: Role.ADMIN})).exists()
    demote(first)
    first.membership.refresh_from_db()
    refused(action, first)
    assert not asked.filter(waiting.to_decide(first.user, {first.workspace.pk: Role.MANAGER})).exists()
    assert first.user not in rights.asked(asked.get())
    demote(first, Role.ADMIN)
    first.membership.refresh_from_db()
    assert approve(action, first).status == "approved"
    demote(first)
    assert execution.claim("test", limit=10)[0] == []
    action.refresh_from_db()
    assert (action.state, action.code) == (ActionState.REFUSED, "approval_not_valid")
    approve(again := next_of(run, say), second)
    Action.objects.filter(pk=again.pk).update(state=ActionState.UNKNOWN)
    with pytest.raises(verdicts.MayNotResolve):
        verdicts.resolve(again.pk, by=first, resolution="done")


def test_words_that_a_run_was_told_stay_behind_it_when_they_are_taken_out(say, devops, member, manager, people):
    first, second = people("first"), people("second")
    companions.configure(devops, Persona(personality="Restart web."), by=manager)
    definitions.change(devops.agent, by=first, instructions="Restart web.")
    run = say("Hello", into=conversations.new(devops, by=member))
    [claim] = leases.claim("test", limit=10)
    companions.configure(devops, Persona(personality="Look first."), by=second)
    definitions.change(devops.agent, by=second, instructions="Look first.")
    demote(first)
    run.refresh_from_db()
    told = behind.of(run)
    assert told.asked == {member.user.pk}
    assert told.wrote == {manager.user.pk, first.user.pk}
    assert claim.run_id == run.pk


def test_behind_what_an_agent_does_for_another_in_a_chat_stand_the_authors_of_both(
    say, devops, member, manager, people
):
    first, second = people("first"), people("second")
    helper = definitions.create(by=first, name="Helper", instructions="Restart what you are told of.", tools=TOOLS)
    definitions.change(devops.agent, by=second, may_ask=["helper"])
    companions.configure(devops, Persona(personality="Have web restarted."), by=manager)
    run = say("Hello", into=conversations.new(devops, by=member))
    leases.claim("test", limit=10)
    parent = Run.objects.select_related("workspace", "agent", "behind", "conversation__user").get(pk=run.pk)
    child = nesting._start(parent, helper, REHEARSAL, text="The web.", role=RunRole.DELEGATE, place="call:1")
    action = proposed(child)
    for one in (first, second):
        demote(one)
        one.membership.refresh_from_db()
    for one in (manager, first, second):
        refused(action, one)
