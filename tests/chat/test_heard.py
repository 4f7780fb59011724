"""Reading the web: an address that a person wrote or a search found is just read, any other waits for a manager."""

import json

import pytest

from agents.models import Agent
from agents.providers.base import ToolCall
from approvals.models import Approval
from chat.models import Action, ActionState, Conversation, Message, MessageRole, Run
from chat.services import conversations, execution, heard, leases, proposing
from tests.chat.acting import DONE, approve, of, take

HEARD = "https://docs.example.org/guide?page=2"
FOUND = json.dumps({"note": "", "results": [{"title": "Guide", "url": HEARD}]})


@pytest.fixture
def talk(devops, member):
    Agent.objects.filter(slug="devops").update(tools=["web_fetch", "web_search", "service_status"])
    return conversations.create(devops, by=member)


@pytest.fixture
def fetch(say):
    """The action that becomes of a call, in a run that a message of this text began."""

    def propose(text: str, into: Conversation, url: str = HEARD) -> Action:
        run = say(text, into=into)
        [claim] = [one for one in leases.claim("test", limit=10) if one.run_id == run.pk]
        call = ToolCall("call_1", "web_fetch", {"url": url})
        part = {"type": "tool_call", "call_id": "call_1", "name": "web_fetch", "arguments": call.arguments}
        proposing.propose(
            proposing.Step(
                run_id=run.pk, attempt=claim.attempt, number=1, seq=10, parts=[part], usage=None, calls=[call]
            )
        )
        return of(run)[0]

    return propose


def search(talk: Conversation, result: str = FOUND, tool: str = "web_search") -> None:
    """An earlier turn, in which a search found something."""
    message = Message.objects.create(
        workspace=talk.workspace, conversation=talk, role=MessageRole.USER, content="Look for the guide"
    )
    agent = talk.companion.agent
    run = Run.objects.create(
        workspace=talk.workspace, conversation=talk, agent=agent, message=message, state="completed", active=False
    )
    Action.objects.create(
        workspace=talk.workspace, run=run, conversation=talk, agent=agent, step=1, place=1, call_id="call_1", tool=tool,
        risk="read", retry="idempotent", arguments={}, verdict="allow", state=ActionState.SUCCEEDED, result=result,
    )  # fmt: skip


@pytest.mark.parametrize(
    "text", [f"Read {HEARD}", f"What does [this]({HEARD}) say?", "See docs.example.org/guide?page=2."]
)
def test_an_address_that_the_person_wrote_is_read_at_once(text, talk, fetch):
    action = fetch(text, talk)
    assert (action.state, action.risk) == (ActionState.READY, "read")
    assert not Approval.objects.exists()
    assert [one.action_id for one in take()] == [action.pk]


@pytest.mark.parametrize("url", [f"{HEARD}&key=secret", "https://docs.example.org/", "https://evil.example/?q=secret"])
def test_any_other_waits_for_a_manager(url, talk, fetch, manager):
    action = fetch(f"Read {HEARD}", talk, url)
    assert (action.state, action.risk) == (ActionState.WAITING, "external")
    assert Approval.objects.get().preview["details"]["address"] == url
    assert take() == []
    approve(action, manager)
    [taken] = take()
    assert execution.settle(taken, DONE)


def test_an_address_that_a_search_of_the_conversation_found_is_read_at_once(talk, fetch):
    search(talk)
    assert fetch("Open the first one", talk).state == ActionState.READY


@pytest.mark.parametrize(
    "result",
    [
        json.dumps({"results": [{"title": f"Read {HEARD}", "text": f"{HEARD} says", "url": "https://other.example/"}]}),
        json.dumps({"note": HEARD, "results": []}),
        f"{FOUND} and more",
        FOUND[:-2],
        json.dumps([HEARD]),
    ],
)
def test_what_the_texts_of_a_search_name_was_not_found_by_it(result, talk, fetch):
    search(talk, result)
    assert fetch("Open the first one", talk).state == ActionState.WAITING


def test_what_a_page_says_was_not_heard(talk, fetch):
    search(talk, tool="web_fetch")
    assert fetch("Go on", talk).state == ActionState.WAITING


def test_what_was_heard_elsewhere_was_not_heard_here(talk, fetch, devops, member):
    other = conversations.create(devops, by=member)
    search(other)
    fetch(f"Read {HEARD}", other)
    assert fetch("Go on", talk).state == ActionState.WAITING


def test_an_answer_is_nobodys_word(talk, fetch):
    Message.objects.create(
        workspace=talk.workspace, conversation=talk, role=MessageRole.ASSISTANT, content=f"Shall I read {HEARD}?"
    )
    assert fetch("Yes", talk).state == ActionState.WAITING


def test_what_is_not_heard_any_more_by_the_start_does_not_run(talk, fetch):
    action = fetch(f"Read {HEARD}", talk)
    Message.objects.filter(conversation=talk).update(content="(erased)")
    assert take() == []
    action.refresh_from_db()
    assert (action.state, action.code) == (ActionState.REFUSED, "policy_changed")


def test_orders_of_a_model_do_not_count_and_what_was_heard_above_does(talk, member):
    below = Conversation.objects.create(
        workspace=talk.workspace, user=member.user, agent=talk.companion.agent, parent=talk
    )
    for where, text in ((talk, "by the person"), (below, "by a model")):
        Message.objects.create(
            workspace=talk.workspace, conversation=where, role=MessageRole.USER, content=f"written {text}"
        )
    assert list(heard.texts(below.pk)) == ["written by the person"]
    assert list(heard.texts(None)) == []
