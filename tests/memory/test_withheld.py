"""A provider that is not to know what is remembered: told nothing, offered no tool that tells, asked for no facts."""

import asyncio
import json

import pytest
from django.db import OperationalError

from agents import brain
from agents.events import Status
from agents.models import Provider
from chat import learning
from chat.models import Message, Run, RunState
from chat.services import conversations, remembering, runs
from core import ids
from memory.models import Entry, Reading
from memory.services import keeping
from memory.services.keeping import Told, Whose
from tests.chat.attempting import attempt, told
from tests.servers import openai_scripts, openai_server
from tests.servers.openai_wire import Wire
from tests.servers.threads import bridged

SECRET = "Zanzibar"
CALL = {"call_id": "call_1", "name": "recall"}
PARTS = [
    {"type": "tool_call", **CALL, "arguments": {"query": "home"}},
    {"type": "tool_result", **CALL, "ok": True, "summary": "1 found", "content": f"Lives in {SECRET}."},
    {"type": "text", "text": "I know it."},
]


async def _finds_nothing(wire: Wire) -> None:
    """A model that draws no facts."""
    await wire.head()
    await wire.say({"content": json.dumps({"facts": []})})
    await wire.finish()


@pytest.fixture
def server(transactional_db, workspace, smart_home):
    """The provider `one`; the companion's agent may recall."""
    smart_home.agent.tools = ["recall", "remember"]
    smart_home.agent.save()
    with openai_server.running(["t2-i0"]) as server, bridged():
        Provider.objects.create(workspace=workspace, name="one", kind="openai", base_url=server.base_url, api_key="k")
        yield server
    brain.forget()


@pytest.fixture
def ask(server, workspace, smart_home, member):
    """Asks in a conversation in which something was recalled before; gives the run and what the provider was sent."""

    def asked(text: str = "Where do I live?", **options) -> tuple[Run, dict]:
        talk = conversations.new(smart_home, by=member)
        choice = brain.Choice(brain.spec(workspace.pk, "one"), "t2-i0")
        for n in range(2):
            run = runs.start(talk, text=text, by=member, choice=choice, **options)
            outcome = attempt()
            assert outcome is not None
            assert outcome.state == RunState.COMPLETED
            if not n:
                Message.objects.filter(pk=outcome.message_id).update(parts=PARTS)
        return run, server.chats[-1].body

    return asked


def test_one_that_may_know_is_offered_recall_and_told_what_it_gave(ask, note):
    note(f"Lives in {SECRET}.", slot="home")
    run, sent = ask()
    assert {one["function"]["name"] for one in sent["tools"]} == {"recall", "remember"}
    assert json.dumps(sent).count(SECRET) == 2  # what is recalled with the message, and what the tool gave
    run.refresh_from_db()
    assert len(run.memories) == 1


@pytest.mark.parametrize("how", ["setting", "provider"])
def test_one_that_may_not_is_told_nothing_and_offered_no_tool_that_tells(ask, note, settings, how):
    note(f"Lives in {SECRET}.", slot="home")
    if how == "setting":
        settings.MEMORIES_WITHHELD = ["one"]
    else:
        Provider.objects.update(send_memories=False)
        brain.forget()
    run, sent = ask()
    assert {one["function"]["name"] for one in sent["tools"]} == {"remember"}
    assert SECRET not in json.dumps(sent)
    assert [one["content"] for one in sent["messages"] if one["role"] == "tool"] == [
        "What was recalled here is not told to this provider."
    ]
    run.refresh_from_db()
    assert run.memories is None


def test_a_tool_of_the_clients_that_is_called_so_is_another(ask, smart_home, settings):
    settings.MEMORIES_WITHHELD = ["one"]
    smart_home.agent.tools = []
    smart_home.agent.save()
    mine = {"name": "recall", "description": "Recalls a car.", "parameters": {"type": "object", "properties": {}}}
    _, sent = ask(client_tools=[mine])
    assert [one["function"]["name"] for one in sent["tools"]] == ["recall"]
    assert f"Lives in {SECRET}." in [one["content"] for one in sent["messages"] if one["role"] == "tool"]


@pytest.mark.parametrize("error", [OverflowError("date value out of range"), ValueError("x")])
def test_an_answer_is_given_without_memories_where_these_cannot_be_recalled(ask, note, monkeypatch, error):
    note(f"Lives in {SECRET}.", slot="home")

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(remembering, "block", fail)
    run, _ = ask()
    run.refresh_from_db()
    assert run.state == RunState.COMPLETED
    assert any("goes on without it" in one.label for one in told(run.pk) if isinstance(one, Status))


def test_a_run_is_let_go_where_the_database_does_not_answer(ask, monkeypatch):
    def fail(*_: object) -> None:
        raise OperationalError("the connection is closed")

    monkeypatch.setattr(remembering, "block", fail)
    with pytest.raises(AssertionError):
        ask()
    assert Run.objects.get().state == RunState.RUNNING


@pytest.mark.parametrize("withheld", [True, False])
def test_one_that_may_not_know_is_asked_for_no_facts(ask, server, settings, withheld):
    settings.MEMORIES_WITHHELD = ["one"] if withheld else []
    ask("I live in Rome.")
    Entry.objects.exclude(kind="message").delete()
    asked = len(server.chats)
    Reading.objects.update(due_at="2020-01-01T00:00:00Z")
    assert asyncio.run(learning.learn_due()) == 1
    assert len(server.chats) - asked == (0 if withheld else 1)
    facts = Entry.objects.exclude(kind="message").values_list("text", "model")
    assert list(facts) == ([("Lives in Rome.", "rules")] if withheld else [])


def test_where_only_some_messages_were_shown_the_rest_is_read_next_whatever_is_missing_between(
    ask, server, member, smart_home, mine, monkeypatch
):
    run, _ = ask("Hello")
    whose = Whose(member.workspace.pk, member.user.pk, smart_home.pk)
    said = [Told(run.conversation_id, ids.new(), "person", f"Message {n}.") for n in range(60)]
    keeping.keep([(whose, one) for one in said])
    mine.entries.filter(message_id__in=[one.message_id for one in said[45:55]]).delete()
    monkeypatch.setitem(openai_scripts.SCRIPTS, "no-facts", _finds_nothing)
    Run.objects.update(model="no-facts")
    for _ in range(2):
        Reading.objects.update(due_at="2020-01-01T00:00:00Z")
        asyncio.run(learning.learn_due())
    shown = "".join(json.dumps(one.body) for one in server.chats)
    assert [n for n in range(60) if f" Message {n}." not in shown] == list(range(45, 55))
