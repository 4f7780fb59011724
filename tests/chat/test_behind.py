"""Nobody countersigns what they asked for in words that an agent has: by decision, vote, inbox and resolution."""

import pytest

from accounts.models import Actor, Membership, Role
from agents.models import Agent, AgentKind, Skill
from agents.providers.base import ToolCall
from agents.services import authors, definitions, skills
from approvals import waiting
from approvals.models import Approval, AuditEvent, Decision
from approvals.services import approvals, audit, rights
from approvals.services.rights import IsRequester
from chat.models import Action, ActionState, Run, RunRole
from chat.services import background, conversations, leases, nesting, proposing, verdicts
from companions import services as companions
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
    assert devops.author_ids == [manager.user.pk], "their sentence stands"
    companions.configure(devops, Persona(personality="Look first.", tone=""), by=owner)
    assert devops.author_ids == []
    action = proposed(say("Restart it", into=conversations.new(devops, by=member)))
    assert approve(action, manager).status == "approved"


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
