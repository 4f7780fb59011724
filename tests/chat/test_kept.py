"""What a provider must be told again with its calls: kept while the run is under way, and shown to nobody."""

import pytest

from agents import brain
from agents.models import Provider
from agents.providers.base import ChatMessage, Kept, ToolCall
from chat import transcript
from chat.models import Message, Run, RunState
from chat.services import conversations, execution, runs
from tests.chat.acting import DONE, approve, of, take
from tests.chat.attempting import attempt
from tests.servers import anthropic_server
from tests.servers.threads import bridged

CALL = {"type": "tool_call", "call_id": "c1", "name": "x", "arguments": {}}
KEPT = {"provider": "claude", "kind": "anthropic", "data": [{"at": 0}]}
RESULT = {"type": "tool_result", "call_id": "c1", "name": "x", "ok": True, "summary": "ok"}


@pytest.fixture
def claude(transactional_db, workspace):
    """A provider of the workspace that signs its thoughts and wants them back."""
    with anthropic_server.running() as server, bridged():
        Provider.objects.create(
            workspace=workspace, name="claude", kind="anthropic", base_url=server.base_url, api_key=anthropic_server.KEY
        )
        yield server
    brain.forget()


@pytest.fixture
def waiting(claude, workspace, devops, member) -> Run:
    """A run whose model thought, called, and now waits for a person."""
    choice = brain.Choice(brain.spec(workspace.pk, "claude"), "think")
    run = runs.start(conversations.new(devops, by=member), text="Restart it", by=member, choice=choice)
    assert attempt() is None
    run.refresh_from_db()
    assert run.state == RunState.WAITING_APPROVAL
    return run


def test_thoughts_outlive_the_wait_for_a_person_and_are_no_part_of_the_answer(waiting, manager, claude):
    assert [part["type"] for part in waiting.draft] == ["reasoning", "text", "tool_call"]
    assert waiting.draft[2]["kept"]["provider"] == "claude"

    approve(of(waiting)[0], manager)
    [taken] = take()
    execution.settle(taken, DONE)
    outcome = attempt()
    assert outcome is not None
    assert (outcome.state, outcome.error_message) == (RunState.COMPLETED, "")
    assert outcome.text == "Grüße, 世界! 🙂It runs."
    sent = claude.chats[-1].body["messages"][1]["content"]
    assert [one["type"] for one in sent] == ["thinking", "redacted_thinking", "text", "tool_use"]

    answer = Message.objects.get(pk=outcome.message_id)
    assert [part["type"] for part in answer.parts] == ["reasoning", "text", "tool_call", "tool_result", "text"]
    assert not any("kept" in part for part in answer.parts)


def test_a_run_that_is_stopped_while_it_waits_leaves_nothing_of_it_behind(waiting, member):
    runs.cancel(waiting, by=member)
    waiting.refresh_from_db()
    parts = Message.objects.get(pk=waiting.answer_id).parts
    assert [part["type"] for part in parts][:3] == ["reasoning", "text", "tool_call"]
    assert not any("kept" in part for part in parts)


def test_what_was_kept_is_told_with_the_step_that_it_belongs_to():
    later = {**CALL, "call_id": "c2"}
    parts = [{**CALL, "kept": KEPT}, RESULT, later, {**RESULT, "call_id": "c2"}]
    calls = ToolCall("c1", "x", {}), ToolCall("c2", "x", {})
    assert [told for told in transcript.to_messages(parts) if told.role == "assistant"] == [
        ChatMessage("assistant", "", (calls[0],), kept=Kept("claude", [{"at": 0}], "anthropic")),
        ChatMessage("assistant", "", (calls[1],)),
    ]
    assert transcript.shown(parts) == [CALL, RESULT, *parts[2:]]
    assert transcript.durable(parts)[0]["kept"] == KEPT
