"""What an agent writes to people by itself: whom it reaches, who is asked first, and that nothing comes twice."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from uuid import UUID

import pytest
from django.db import connections
from django.db.models.functions import Now

from accounts.models import Group
from agents.models import Agent
from agents.providers.base import ToolCall
from agents.services import reporting
from agents.tools import registry
from agents.tools.registry import Context, ToolFailed
from approvals.models import Approval, AuditEvent, Grant, NotificationPreference, OutboxItem
from approvals.services import audit
from chat.models import Action, ActionState, Conversation, Message
from chat.services import background, execution, leases, proactive, proposing
from chat.tools import message_person
from core import ids
from core.errors import Invalid
from tests.chat.acting import approve
from tests.chat.test_inbox import answer_all, unread

CHAT = "/v1/ai/chat"


@pytest.fixture
def ops(workspace, member, manager) -> Group:
    group = Group.objects.create(workspace=workspace, name="Ops")
    group.members.set([member.user, manager.user])
    return group


@pytest.fixture
def guard(workspace, member) -> Agent:
    return Agent.objects.create(
        workspace=workspace, slug="guard", name="Guard", kind="manager", task="Look.", autonomy="advisor",
        tools=["message_person"], reports_to=member.user.email,
    )  # fmt: skip


def called(agent: Agent, **arguments) -> Action:
    """The call of a run that woke by itself, after the gate."""
    background.wake(agent, who=audit.SYSTEM)
    [claim] = leases.claim("test", limit=1)
    call = ToolCall("call_1", "message_person", arguments)
    part = {"type": "tool_call", "call_id": "call_1", "name": call.name, "arguments": arguments}
    proposing.propose(
        proposing.Step(
            run_id=claim.run_id, attempt=claim.attempt, number=1, seq=10, parts=[part], usage=None, calls=[call]
        )
    )
    return Action.objects.get()


def execute() -> None:
    [taken], refused = execution.claim("test", limit=10)
    assert not refused
    message_person(taken.context, **{"to": "", **taken.arguments})


def context(agent: Agent) -> Context:
    return Context(workspace_id=agent.workspace_id, agent_id=agent.pk, key=str(ids.new()))


def test_whom_an_agent_reports_to_it_writes_to_unasked_and_they_find_it_unread(guard, member, api):
    action = called(guard, message="The disk is **full**.")
    assert (action.state, action.risk) == (ActionState.READY, "read")
    execute()
    [message] = unread(api)["messages"]
    assert (message["agent"], message["companion"], message["content"]) == ("guard", None, "The disk is **full**.")
    session = api.get(f"/v1/ai/sessions/{message['session_id']}").json()
    assert [(one["role"], one["metadata"]) for one in session["messages"]] == [("assistant", {"proactive": True})]
    [event] = AuditEvent.objects.filter(type="agent.wrote")
    assert (event.agent_id, str(event.target_id), json.loads(event.payload.data)["to"]) == (
        guard.pk, message["id"], str(member.user.pk),
    )  # fmt: skip


def test_who_is_written_to_can_answer_and_the_agent_knows_what_it_wrote(guard, member, api):
    proactive.write(guard, [member.user], text="The disk is full.", key=ids.new())
    session = unread(api)["messages"][0]["session_id"]
    said = {"message": "Which one?", "session_id": session, "model": "rehearsal", "stream": True}
    assert api.post(CHAT, said).status_code == 200
    assert unread(api)["unread"] == 0
    [claim] = leases.claim("test", limit=1)
    assert [(one.role, one.content) for one in claim.messages] == [
        ("assistant", "The disk is full."), ("user", "Which one?"),
    ]  # fmt: skip
    assert (claim.agent_id, claim.user_id) == (guard.pk, member.user.pk)


def test_anybody_else_is_written_to_once_somebody_approves(guard, owner, client_of):
    action = called(guard, message="Hello", to="OWNER@home.example")
    assert (action.state, action.risk) == (ActionState.WAITING, "write")
    approval = Approval.objects.get()
    assert approval.preview["recipients"] == ["owner@home.example"]
    assert approval.preview["details"] == {"message": "Hello"}
    assert not Message.objects.filter(role="assistant").exists()


def test_what_was_approved_for_some_goes_to_nobody_who_came_later(guard, ops, owner, member, manager, client_of):
    action = called(guard, message="Restart tonight.", to="Ops")
    assert action.state == ActionState.WAITING
    ops.members.set([member.user, owner.user])
    approve(action, owner)
    [taken], _ = execution.claim("test", limit=10)
    told = message_person(taken.context, **taken.arguments).content
    assert told == (
        "It is in the inbox of 1 person. 1 who came to the group after the approver was asked did not get it."
    )
    assert set(Conversation.objects.filter(user__isnull=False).values_list("user", flat=True)) == {member.user.pk}


def test_what_was_approved_for_some_who_are_all_gone_is_written_to_nobody(guard, ops, owner):
    action = called(guard, message="Restart tonight.", to="Ops")
    approve(action, owner)
    ops.members.set([owner.user])
    [taken], _ = execution.claim("test", limit=10)
    with pytest.raises(ToolFailed, match="Propose the call again"):
        message_person(taken.context, **taken.arguments)
    assert not Message.objects.filter(role="assistant").exists()


@pytest.mark.parametrize(("remembered", "people"), [(("to",), 1), (("message",), 2)])
def test_what_is_remembered_reaches_whom_its_approver_was_shown_or_whomever_was_left_open(
    guard, ops, owner, manager, member, remembered, people
):
    first = called(guard, message="Restart tonight.", to="Ops")
    approval = Approval.objects.get(pk=first.approval_id)
    arguments = {name: first.arguments[name] for name in remembered}
    grant = Grant.objects.create(
        workspace=approval.workspace, approval=approval, session_id=ids.new(), tool=approval.tool,
        tool_version=approval.tool_version, arguments=arguments, uses_left=1, expires_at=Now(), author=owner.user,
    )  # fmt: skip
    Group.objects.create(workspace=guard.workspace, name="Others").members.set([owner.user, manager.user])
    to = "Ops" if "to" in remembered else "Others"
    Action.objects.filter(pk=first.pk).update(approval_id=None, grant_id=grant.pk, arguments={"to": to})
    ops.members.set([owner.user, manager.user])
    message_person(replace(context(guard), key=str(first.pk)), "Restart tonight.", to)
    assert Conversation.objects.filter(user__isnull=False).count() == people


def test_a_group_is_each_of_its_members_who_are_still_of_the_workspace(guard, ops, stranger, manager, api, client_of):
    ops.members.add(stranger.user)
    Agent.objects.filter(pk=guard.pk).update(reports_to="Ops")
    assert called(guard, message="All hands.").risk == "read"
    execute()
    assert [one["content"] for one in unread(api)["messages"]] == ["All hands."]
    assert [one["content"] for one in unread(client_of(manager), agent="guard")["messages"]] == ["All hands."]
    assert unread(client_of(stranger))["unread"] == 0
    assert Conversation.objects.filter(user__isnull=False).count() == 2


@pytest.mark.parametrize(("to", "risk"), [("member@home.example", "read"), ("owner@home.example", "write")])
def test_one_of_the_group_that_it_reports_to_is_somebody_it_reports_to(guard, ops, owner, to, risk):
    Agent.objects.filter(pk=guard.pk).update(reports_to="Ops")
    spec = registry.get("message_person")
    assert registry.risk(spec, {"message": "Hi", "to": to}, context(guard)) == risk


@pytest.mark.parametrize("to", ["stranger@elsewhere.example", "nobody@home.example", "Ops of elsewhere", "Empty"])
def test_nobody_outside_of_the_workspace_is_reached(guard, stranger, workspace, to):
    Group.objects.create(workspace=stranger.workspace, name="Ops of elsewhere").members.add(stranger.user)
    Group.objects.create(workspace=workspace, name="Empty").members.add(stranger.user)
    action = called(guard, message="Hi", to=to)
    assert (action.state, action.code) == (ActionState.REFUSED, "invalid_arguments")
    assert "no member of this workspace has this address" in action.result
    with pytest.raises(Invalid):
        message_person(context(guard), "Hi", to)
    assert not Conversation.objects.filter(user__isnull=False).exists()


@pytest.mark.parametrize("what", [{"kind": "companion"}, {"reports_to": ""}])
def test_an_agent_that_answers_people_or_reports_to_nobody_is_told_so(guard, what):
    Agent.objects.filter(pk=guard.pk).update(**what)
    with pytest.raises(Invalid):
        registry.validate(registry.get("message_person"), {"message": "Hi"}, context(guard))
    with pytest.raises(Invalid):
        message_person(context(guard), "Hi")


def test_a_blank_message_is_refused(guard):
    with pytest.raises(Invalid, match="blank"):
        registry.validate(registry.get("message_person"), {"message": " \n"}, context(guard))


def test_what_was_judged_by_another_superior_is_looked_at_again(guard, owner):
    called(guard, message="Hi")
    Agent.objects.filter(pk=guard.pk).update(reports_to="gone@home.example")
    taken, refused = execution.claim("test", limit=10)
    assert (taken, len(refused)) == ([], 1)
    assert Action.objects.get().code == "policy_changed"


def test_a_message_that_comes_again_stays_one_and_what_was_read_stays_read(guard, member, api):
    key = ids.new()
    assert proactive.write(guard, [member.user], text="Once.", key=key) == 1
    assert api.post("/v1/ai/inbox/read", {"all": True}).json() == {"marked": 1}
    assert proactive.write(guard, [member.user], text="Once.", key=key) == 0
    assert (unread(api)["unread"], Message.objects.count()) == (0, 1)
    assert AuditEvent.objects.filter(type="agent.wrote").count() == 1
    proactive.write(guard, [member.user], text="Twice.", key=ids.new())
    assert [one["content"] for one in unread(api)["messages"]] == ["Twice."]
    assert Conversation.objects.count() == 1


def test_a_session_that_was_put_away_or_deleted_comes_back_with_the_next_message(guard, member, api):
    proactive.write(guard, [member.user], text="One.", key=ids.new())
    session = f"/v1/ai/sessions/{Conversation.objects.get().pk}"
    assert api.patch(session, {"archived": True}).status_code == 200
    proactive.write(guard, [member.user], text="Two.", key=ids.new())
    assert [one["archived"] for one in api.get("/v1/ai/sessions").json()["sessions"]] == [False]
    assert api.delete(session).status_code == 204
    proactive.write(guard, [member.user], text="Three.", key=ids.new())
    assert [one["content"] for one in unread(api)["messages"]] == ["Three."]


@pytest.mark.django_db(transaction=True)
def test_many_that_write_at_once_write_each_message_once(guard, ops, member, manager):
    keys = [ids.new() for _ in range(4)]

    def write(key: UUID) -> int:
        try:
            return proactive.write(guard, reporting.people(guard.workspace_id, "Ops"), text="Now.", key=key)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(write, keys * 4)) == 8
    assert Message.objects.count() == 8
    assert Conversation.objects.count() == 2


def test_what_an_agent_reports_goes_to_those_it_reports_to_and_not_to_all_managers(guard, member, manager, client_of):
    background.wake(guard, who=audit.SYSTEM)
    answer_all("All is well.")
    members, managers = client_of(member), client_of(manager)
    [message] = unread(members)["messages"]
    assert (message["agent"], message["content"]) == ("guard", "All is well.")
    assert unread(managers)["unread"] == 0
    assert managers.post("/v1/ai/inbox/read", {"session_id": message["session_id"]}).status_code == 404
    assert members.post("/v1/ai/inbox/read", {"session_id": message["session_id"]}).json() == {"marked": 1}
    assert unread(members)["unread"] == 0


@pytest.mark.parametrize("gone", ["group", "member"])
def test_the_report_of_who_reports_to_nobody_any_more_is_for_managers(guard, ops, member, manager, gone, client_of):
    if gone == "group":
        Agent.objects.filter(pk=guard.pk).update(reports_to="Ops")
        ops.delete()
    else:
        member.membership.delete()
    background.wake(guard, who=audit.SYSTEM)
    answer_all("Is anybody there?")
    assert [one["content"] for one in unread(client_of(manager))["messages"]] == ["Is anybody there?"]


def test_a_report_to_a_group_is_for_each_of_its_people_alone(guard, ops, owner, member, manager, client_of):
    Agent.objects.filter(pk=guard.pk).update(reports_to="Ops")
    background.wake(guard, who=audit.SYSTEM)
    answer_all("All is well.")
    assert [unread(client_of(one))["unread"] for one in (member, manager, owner)] == [1, 1, 0]


def test_who_wants_to_is_told_that_an_agent_wrote_without_what_it_wrote(guard, member):
    called(guard, message="The disk is full.")
    execute()
    assert not OutboxItem.objects.exists(), "unless they say so"
    wish = {"agent.message": {"by": "email", "when": "at_once"}}
    NotificationPreference.objects.create(membership=member.membership, events=wish)
    proactive.write(guard, [member.user], text="The disk is full.", key=ids.new())
    told = OutboxItem.objects.get()
    assert (told.target, told.type, told.payload["name"]) == (member.user.email, "agent.wrote", "Guard")
    assert "disk" not in str(told.payload)
