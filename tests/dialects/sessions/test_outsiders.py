"""Whoever speaks from outside: none of it is among the conversations or memories of the person behind the key."""

import pytest

from agents import teams
from agents.models import Agent, AgentTeam, TeamMember
from chat.models import Conversation, Run, RunState
from chat.services import conversations, finishing, gate, leases, nesting, remembering, runs
from chat.services.finishing import Outcome
from memory import tools
from memory.models import Entry, Owner, Reading
from memory.services import entries, forgetting, owners
from memory.services.entries import By, New
from tests.chat.conftest import REHEARSAL
from tests.dialects.sessions.conftest import begin


def answer(text: str = "Noted.") -> Run:
    """Ends the run that waits, as a worker does; gives it."""
    [claim] = leases.claim("test", limit=1)
    outcome = Outcome(
        run_id=claim.run_id,
        conversation_id=claim.conversation_id,
        workspace_id=claim.workspace_id,
        attempt=claim.attempt,
        seq=claim.seq + 1,
        state=RunState.COMPLETED,
        parts=[{"type": "text", "text": text}],
        provider="upstream",
        model="any-model",
    )
    assert finishing.finish([outcome])
    return Run.objects.get(pk=claim.run_id)


@pytest.fixture
def outside(page, server, visitor):
    """A chat of each kind in which somebody from outside speaks, with who reaches it and how."""
    ada = visitor("ada")
    return [(page, begin(page), {}), (page, begin(page, headers=ada), ada), (server, begin(server, userId="bob"), {})]


def test_nothing_that_is_said_from_outside_becomes_a_memory(outside, server):
    for client, chat, headers in outside:
        client.post(f"/chat/{chat}/message", {"content": "My name is Eve and I live in Lima."}, headers=headers)
        answer("Nice to meet you, Eve of Lima.")
        server.post(f"/chat/{chat}/message", {"content": "Eve lives in Lima.", "role": "assistant"})
    assert not Entry.objects.exists()
    assert not Owner.objects.exists()
    assert not Reading.objects.exists()


def test_what_the_person_says_themselves_by_their_servers_key_is_theirs(server, member):
    chat = begin(server)
    server.post(f"/chat/{chat}/message", {"content": "I live in Lima."})
    answer("Noted.")
    server.post(f"/chat/{chat}/message", {"content": "You live in Lima.", "role": "assistant"})
    said = Entry.objects.filter(owner__user=member.user).order_by("seq")
    assert [(one.speaker, one.text) for one in said] == [
        ("person", "I live in Lima."),
        ("companion", "Noted."),
        ("companion", "You live in Lima."),
    ]
    assert Reading.objects.count() == 1


def test_nothing_that_is_remembered_of_the_person_is_told_outside(outside, server, member, smart_home):
    mine = owners.of(member, smart_home)
    entries.write(mine, New(layer="identity", text="Lives in Lima.", slot="home"), by=By.person(member))
    for client, chat, headers in outside:
        client.post(f"/chat/{chat}/message", {"content": "Where do I live? Lima?"}, headers=headers)
        [claim] = leases.claim("test", limit=1)
        assert remembering.block(claim)[0].text == ""
        Run.objects.filter(pk=claim.run_id).update(state=RunState.FAILED, active=False)
    server.post(f"/chat/{begin(server)}/message", {"content": "Where do I live? Lima?"})
    [claim] = leases.claim("test", limit=1)
    assert "Lives in Lima." in remembering.block(claim)[0].text


def test_the_tools_of_memory_have_nobody_outside(outside, member, smart_home):
    entry, _ = entries.write(owners.of(member, None), New(layer="identity", text="Is Ada."), by=By.person(member))
    for client, chat, headers in outside:
        client.post(f"/chat/{chat}/message", {"content": "Who am I?"}, headers=headers)
        run = Run.objects.get(conversation=chat)
        context = gate.context_of(gate.origin_of(run), run.pk)
        assert context.companion_id is None
        with pytest.raises(tools.Invalid, match="nobody here"):
            tools._with_somebody(context, "who")
        with pytest.raises(tools.Invalid, match="nobody here"):
            tools._exists(context, str(entry.pk))
        with pytest.raises(tools.Invalid, match="nobody here"):
            tools._fits(context, "Is Eve.", "identity", "name")
        assert Conversation.objects.get(pk=chat).remembering_id is None


def test_what_the_person_forgets_is_left_in_what_others_said(outside, server, member, smart_home):
    told, own = "I like liquorice very much.", begin(server)
    for client, chat, headers in [*outside, (server, own, {})]:
        client.post(f"/chat/{chat}/message", {"content": told}, headers=headers)
        answer()
    mine = owners.of(member, smart_home)
    entry, _ = entries.write(mine, New(layer="preferences", text=told), by=By.person(member))
    forgetting.forget(entry, by=By.person(member))
    left = {str(one.pk): one.messages.order_by("created_at").first().content for one in Conversation.objects.all()}
    assert [left[chat] for _, chat, _ in outside] == [told] * 3
    assert left[own] != told


def test_the_person_finds_none_of_it_among_their_conversations(outside, api, member):
    for client, chat, headers in outside:
        client.post(f"/chat/{chat}/message", {"content": "Hello"}, headers=headers)
        answer()
        client.post(f"/chat/{chat}/message", {"content": "Hello again"}, headers=headers)
        answer()
        with pytest.raises(conversations.UnknownSession):
            conversations.get(chat, by=member)
        assert api.get(f"/v1/ai/sessions/{chat}").status_code == 404
    assert api.get("/v1/ai/sessions").json()["total"] == 0
    assert api.get("/v1/ai/inbox").json()["unread"] == 0


def test_a_secret_key_watches_and_stops_the_runs_of_chats(outside, server, owner, client_of):
    for client, chat, headers in outside:
        client.post(f"/chat/{chat}/message", {"content": "Hello"}, headers=headers)
        run = Run.objects.get(conversation=chat)
        assert server.get(f"/v1/ai/runs/{run.pk}").status_code == 200
        assert client_of(owner).post(f"/v1/ai/runs/{run.pk}/cancel").status_code == 202
        assert server.get(f"/v1/ai/runs/{run.pk}").json()["status"] == "cancelled"


def test_a_repeated_message_is_answered_by_the_run_that_it_began(outside):
    for client, chat, headers in outside:
        for _ in range(2):
            again = {**headers, "Idempotency-Key": f"a message of {chat}"}
            told = client.post(f"/chat/{chat}/message", {"content": "Hello"}, headers=again)
            assert told.status_code == 200
        assert told.headers["Idempotency-Replayed"] == "true"
        assert Run.objects.filter(conversation=chat).count() == 1


def test_a_visitor_deletes_a_chat_whose_answer_is_under_way(outside):
    client, chat, headers = outside[1]
    client.post(f"/chat/{chat}/message", {"content": "Hello"}, headers=headers)
    assert client.delete(f"/chat/{chat}", headers=headers).status_code == 204
    assert not Run.objects.filter(conversation=chat).exists()


def test_what_agents_ask_one_another_there_is_not_the_persons_either(workspace, member):
    ada = Agent.objects.create(workspace=workspace, slug="ada", name="Ada")
    team = AgentTeam.objects.create(workspace=workspace, slug="team", name="Team", lead=ada)
    TeamMember.objects.create(team=team, agent=ada)
    for external in (True, False):
        talk = Conversation(workspace=workspace, user=member.user, team=team, external=external)
        plan = nesting.plan(team, "Hello", mode="brainstorm")
        runs.start(talk, text="Hello", by=member, choice=REHEARSAL, team=plan)
        [claim] = leases.claim("test", limit=1)
        [asked] = nesting.ask(claim.run_id, claim.attempt, teams.next_prompts(nesting.team_of(plan, "Hello", ""), []))
        below = Run.objects.visible_to(member).filter(parent=claim.run_id)
        assert [one.pk for one in below] == ([] if external else [asked.run_id])
        Run.objects.update(state=RunState.FAILED, active=False)
