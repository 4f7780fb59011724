"""What is told of a run to whoever comes back to it, and which of two first messages begins a client's chat."""

import pytest

from agents.events import (
    ApprovalRequested,
    MemberEnded,
    ReasoningDelta,
    Speaker,
    TeamBegan,
    TextDelta,
    ToolFinished,
    ToolProposed,
)
from chat.models import Action, ActionState, Conversation, Run
from chat.services import continuing, conversations, replacing
from chat.services.runs import ConversationBusy
from core import ids
from tests.chat.acting import RESTART, STATUS

WHO = {"agent_id": "1", "agent_name": "Hera", "role": "member", "place": "0"}


def test_what_stands_in_the_draft_is_told_in_its_order(say):
    run = say()
    run.draft = [
        {"type": "team", "mode": "panel", "members": [{"agent_id": "1", "agent_name": "Hera"}]},
        {"type": "reasoning", "text": "Hm"},
        {"type": "text", "text": "I look."},
        {"type": "tool_call", "call_id": "c", "name": "look", "arguments": {"at": 1}, "kept": {"provider": "p"}},
        {"type": "tool_result", "call_id": "c", "name": "look", "ok": True, "summary": "seen", "content": "much"},
        {"type": "text", "text": "I say.", **WHO},
        {"type": "member", **WHO, "run_id": None, "error": ""},
    ]
    assert continuing.past(run) == [
        TeamBegan("panel", [{"agent_id": "1", "agent_name": "Hera"}]),
        ReasoningDelta("Hm"),
        TextDelta("I look."),
        ToolProposed("c", "look", {"at": 1}),
        ToolFinished("c", "look", True, "seen"),
        TextDelta("I say.", Speaker(**WHO)),
        MemberEnded(**WHO, run_id=None, error=""),
    ]


def test_what_it_waits_for_is_told_after_it(step):
    run = step(RESTART, STATUS)
    *calls, asked = continuing.past(run)
    assert [type(one) for one in calls] == [ToolProposed, ToolProposed]
    assert isinstance(asked, ApprovalRequested)
    assert list(continuing.waits_for(run)) == [asked.approval_id]


def test_what_a_client_brought_is_told_as_it_brought_it_where_it_was_kept_whole(step):
    run = step(RESTART, STATUS, STATUS)
    whole, cut, failed = Action.objects.filter(run=run).order_by("place")
    results = [(whole, '{"note":"n","output":{"a":1}}', ActionState.SUCCEEDED)]
    results += [(cut, '{"note":"n","outp', ActionState.SUCCEEDED), (failed, '{"output":1}', ActionState.FAILED)]
    for action, result, state in results:
        Action.objects.filter(pk=action.pk).update(client=True, result=result, state=state)
    assert continuing.outputs(run) == {whole.call_id: {"a": 1}}


def test_a_run_is_found_by_its_id_in_its_own_conversation_or_as_the_one_under_way(say):
    first = say()
    second = say()
    mine = Conversation.objects.get(pk=first.conversation_id)
    assert continuing.find(mine, second.pk) == continuing.find(mine, None) == first
    Run.objects.filter(pk=first.pk).update(active=False)
    assert continuing.find(mine, first.pk) == first
    assert continuing.find(mine, second.pk) is continuing.active(mine) is None


def test_of_two_first_messages_of_a_clients_chat_one_begins_it(say, smart_home, member):
    def fresh() -> Conversation:
        conversation = conversations.new(smart_home, by=member)
        conversation.client_id = "chat-1"
        return conversation

    first, second = fresh(), fresh()
    say(into=first)
    with pytest.raises(ConversationBusy):
        say(into=second)
    assert conversations.of_client("chat-1", by=member) == first


def test_a_clients_id_is_no_key_to_anothers_conversation(say, stranger, owner, member):
    run = say()
    assert conversations.of_client(str(run.conversation_id), by=member).pk == run.conversation_id
    for actor in (stranger, owner):
        assert conversations.of_client(str(run.conversation_id), by=actor) is None
    for name in ("", "unknown", str(ids.new()), "x" * 10_000):
        assert conversations.of_client(name, by=member) is None


def test_what_was_said_last_is_known_by_its_words_and_its_run(say):
    run = say("One")
    mine = Conversation.objects.get(pk=run.conversation_id)
    assert replacing.last_turn(mine, text="One") == replacing.last_turn(mine, text="One", run_id=run.pk) == run.message
    assert replacing.last_turn(mine, text="Two") is None
    assert replacing.last_turn(mine, text="One", run_id=ids.new()) == run.message
    with pytest.raises(replacing.NotLast):
        replacing.last_turn(mine, text="Two", run_id=run.pk)
