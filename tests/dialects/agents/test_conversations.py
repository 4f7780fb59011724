"""What a person and an agent said: history, conversations, inbox, memories."""

import pytest

from agents.models import Agent
from chat.models import Conversation, Message
from chat.services import conversations, partners, proactive, runs
from companions.models import Companion
from core import ids
from memory.services import entries
from memory.services.entries import New
from tests.cast import person
from tests.chat.answering import answer_all
from tests.chat.conftest import REHEARSAL


def of(agent, rest):
    return f"/api/agents/{agent.pk}/{rest}"


def contents(answer):
    assert answer.status_code == 200, answer.content
    return [one["content"] for one in answer.json()["messages"]]


@pytest.mark.proves("GET /api/agents/{agent_id}/history", client="Django's test client")
def test_history_is_the_last_messages_oldest_first(api, member, agent, talk):
    first = talk(member, agent, "One", "First")
    talk(member, agent, "Two", "Second")
    talk(member, agent, "Three", "Third", into=first.pk)
    answer = api.get(of(agent, "history"))
    assert contents(answer) == ["One", "First", "Two", "Second", "Three", "Third"]
    message = answer.json()["messages"][-1]
    assert message.keys() == {"role", "content", "created_at"}
    assert (message["role"], message["created_at"][-1]) == ("assistant", "Z")
    assert contents(api.get(of(agent, "history/"), {"limit": 3})) == ["Second", "Three", "Third"]
    assert contents(api.get(of(agent, "history"), {"conversation_id": str(first.pk), "limit": 3})) == [
        "First",
        "Three",
        "Third",
    ]


def test_history_is_20_messages_unless_more_are_asked_for(api, member, agent):
    conversation = partners.create(agent, by=member)
    for number in range(30):
        Message.objects.create(
            workspace=member.workspace, conversation=conversation, role="user", content=str(number), parts=[]
        )
    assert contents(api.get(of(agent, "history"))) == [str(number) for number in range(10, 30)]
    assert len(contents(api.get(of(agent, "history"), {"limit": 100, "page": 2}))) == 30
    for limit in (0, 101, "x"):
        answer = api.get(of(agent, "history"), {"limit": limit})
        assert (answer.status_code, answer.json().keys()) == (400, {"detail"})


def test_nobody_reads_what_another_person_or_another_agent_said(
    api, member, manager, agent, other_agent, talk, smart_home
):
    talk(manager, agent, "A secret")
    elsewhere = talk(member, other_agent, "To Bob")
    companion = conversations.create(smart_home, by=member)
    runs.start(companion, text="To a companion", by=member, choice=REHEARSAL)
    assert contents(api.get(of(agent, "history"))) == []
    theirs = talk(manager, agent).pk
    told = set()
    for foreign in (theirs, elsewhere.pk, companion.pk, ids.new()):
        for method, path, body in (
            ("get", f"history?conversation_id={foreign}", {}),
            ("put", f"conversations/{foreign}", {"title": "Mine"}),
            ("delete", f"conversations/{foreign}", {}),
            ("post", "chat", {"message": "Hello", "conversation_id": str(foreign)}),
            ("post", "chat/stream", {"message": "Hello", "conversation_id": str(foreign)}),
        ):
            answer = getattr(api, method)(of(agent, path), body)
            assert answer.status_code == 404, (path, answer.content)
            told.add(answer.json()["detail"].replace(str(foreign), ""))
    assert told == {"No conversation  with Ada is yours."}
    assert api.get(of(agent, "conversations")).json() == []
    assert Conversation.objects.filter(pk=theirs).exists()


@pytest.mark.proves(
    "GET /api/agents/{agent_id}/conversations",
    "POST /api/agents/{agent_id}/conversations",
    "PUT /api/agents/{agent_id}/conversations/{conversation_id}",
    "DELETE /api/agents/{agent_id}/conversations/{conversation_id}",
    client="Django's test client",
)
def test_conversations_are_begun_listed_renamed_and_deleted(api, member, agent, talk):
    talked = talk(member, agent, "About the heating")
    begun = api.post(of(agent, "conversations"), {"title": "Empty", "color": "red"})
    assert begun.status_code == 201
    made = begun.json()
    assert made == {**made, "title": "Empty", "message_count": 0}
    assert made.keys() == {"id", "title", "created_at", "updated_at", "message_count"}
    listed = api.get(of(agent, "conversations")).json()
    assert [(one["id"], one["title"], one["message_count"]) for one in listed] == [
        (made["id"], "Empty", 0),
        (str(talked.pk), "About the heating", 2),
    ]
    assert [one["id"] for one in api.get(of(agent, "conversations"), {"limit": 1, "offset": 1}).json()] == [
        str(talked.pk)
    ]
    one = of(agent, f"conversations/{talked.pk}")
    assert api.put(one, {"title": "Heating"}).json() == {**listed[1], "title": "Heating"}
    assert api.put(one, {}).status_code == 400
    assert api.delete(one).json() == {"ok": True}
    assert not Message.objects.filter(conversation=talked.pk).exists()
    assert api.delete(one).status_code == 404


@pytest.mark.parametrize("body", [b"", {}, {"title": None}])
def test_a_conversation_needs_no_title(api, agent, body):
    answer = api.post(of(agent, "conversations"), body)
    assert (answer.status_code, answer.json()["title"]) == (201, "")


@pytest.mark.proves("GET /api/agents/{agent_id}/inbox", client="Django's test client")
def test_the_inbox_has_what_was_answered_and_what_the_agent_wrote_by_itself(
    api, member, manager, agent, other_agent, talk
):
    talked = talk(member, agent)
    talk(member, other_agent)
    talk(manager, agent)
    proactive.write(agent, [member.user], text="The disk is full.", key=ids.new())
    answer = api.get(of(agent, "inbox"))
    assert contents(answer) == ["The disk is full.", "An answer."]
    assert answer.json()["unread"] == 2
    message = answer.json()["messages"][1]
    stored = Message.objects.get(conversation=talked, role="assistant")
    assert message == {
        "id": str(stored.pk),
        "conversation_id": str(talked.pk),
        "role": "assistant",
        "content": "An answer.",
        "created_at": message["created_at"],
    }
    assert api.get(of(agent, "inbox"), {"limit": 1}).json()["unread"] == 2


@pytest.mark.proves("POST /api/agents/{agent_id}/mark-read", client="Django's test client")
def test_what_was_read_is_marked_by_message_by_conversation_or_all(api, member, agent, other_agent, talk):
    read = of(agent, "mark-read")
    first, second = talk(member, agent), talk(member, agent)
    talk(member, agent)
    foreign = talk(member, other_agent)
    message = Message.objects.get(conversation=first, role="assistant")
    assert api.post(read, {"message_ids": [str(message.pk), str(ids.new())]}).json() == {"ok": True, "marked": 1}
    assert api.post(read, {"conversation_id": str(second.pk)}).json() == {"ok": True, "marked": 1}
    assert api.post(read, {"conversation_id": str(foreign.pk)}).json() == {"ok": True, "marked": 0}
    assert api.post(read).json() == {"ok": True, "marked": 1}
    assert api.get(of(agent, "inbox")).json() == {"messages": [], "unread": 0}
    assert api.get(of(other_agent, "inbox")).json()["unread"] == 1


def test_what_the_agent_says_as_a_companion_is_another_inboxs(api, member, smart_home):
    conversation = conversations.create(smart_home, by=member)
    runs.start(conversation, text="Hello", by=member, choice=REHEARSAL)
    answer_all("As a companion")
    assert api.get(of(smart_home.agent, "inbox")).json() == {"messages": [], "unread": 0}
    assert api.post(of(smart_home.agent, "mark-read"), {}).json()["marked"] == 0
    assert api.get("/v1/ai/inbox").json()["unread"] == 1


@pytest.mark.proves("GET /api/agents/{agent_id}/memories", client="Django's test client")
def test_memories_are_the_callers_with_this_agent(api, member, manager, smart_home, workspace):
    agent = Agent.objects.create(workspace=workspace, slug="devops", name="Argus")
    other = Companion.objects.create(workspace=workspace, type="devops", name="Argus", agent=agent)
    kept, _ = entries.write_for(member, smart_home, New(layer="identity", text="Lives in Rotterdam.", slot="home"))
    entries.write_for(manager, smart_home, New(layer="identity", text="Lives in Utrecht.", slot="home"))
    entries.write_for(member, other, New(layer="identity", text="Works at night."))
    answer = api.get(of(smart_home.agent, "memories"))
    [memory] = answer.json()["memories"]
    assert memory == {
        "id": str(kept.pk),
        "content": "Lives in Rotterdam.",
        "layer": "identity",
        "type": "home",
        "confidence": 1.0,
        "created_at": memory["created_at"],
        "updated_at": memory["updated_at"],
    }


def test_an_agent_that_works_by_itself_talks_with_managers_and_with_whom_it_wrote_to(
    api, member, manager, client_of, agent
):
    Agent.objects.filter(pk=agent.pk).update(kind="manager")
    for path in ("chat", "chat/stream", "conversations"):
        refused = api.post(of(agent, path), {"message": "Hello"})
        assert (refused.status_code, refused.json().keys()) == (403, {"detail"})
    assert client_of(manager).post(of(agent, "conversations")).status_code == 201
    proactive.write(agent, [member.user], text="The disk is full.", key=ids.new())
    [unread] = api.get(of(agent, "inbox")).json()["messages"]
    body = {"message": "Thank you", "conversation_id": unread["conversation_id"]}
    assert api.post(of(agent, "chat"), body).status_code == 200


def test_two_messages_into_one_conversation_at_once_is_a_conflict(api, member, agent, talk):
    conversation = talk(member, agent)
    runs.start(partners.find(conversation.pk, agent, by=member), text="More", by=member, choice=REHEARSAL)
    body = {"message": "Hello", "conversation_id": str(conversation.pk)}
    refused = api.post(of(agent, "chat"), body)
    assert (refused.status_code, refused.json().keys()) == (409, {"detail"})
    assert api.post(of(agent, "chat"), {**body, "on_conflict": "queue"}).status_code == 200


def test_what_is_no_message_is_refused(api, agent):
    for body in ({}, {"message": " "}, {"message": 5}, {"message": "a", "conversation_id": "b"}):
        for path in ("chat", "chat/stream"):
            answer = api.post(of(agent, path), body)
            assert (answer.status_code, answer.json().keys()) == (400, {"detail"})
    assert api.post(of(agent, "chat"), {"message": "a" * 1_100_000}).status_code == 413


def test_nobody_of_another_workspace_is_let_in(stranger, client_of, member, agent, talk):
    conversation = talk(member, agent)
    client = client_of(stranger)
    for path in ("history", "conversations", "inbox", "memories", f"history?conversation_id={conversation.pk}"):
        assert client.get(of(agent, path)).status_code == 404
    second = client_of(person(member.workspace, "second"))
    assert contents(second.get(of(agent, "history"))) == []
