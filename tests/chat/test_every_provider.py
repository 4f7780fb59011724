"""A risky call through each provider's wire format: it waits for a person, is approved, and the answer goes on."""

import pytest

from agents import brain
from agents.models import Provider
from chat.models import ActionState, Message, Run, RunState
from chat.services import conversations, execution, runs
from tests.chat.acting import DONE, approve, of, take
from tests.chat.attempting import attempt
from tests.servers import stories
from tests.servers.stories import ANSWER, TELLERS, THOUGHTS, WORDS
from tests.servers.threads import bridged


@pytest.fixture(params=TELLERS, ids=str)
def teller(request):
    return request.param


@pytest.fixture
def server(transactional_db, workspace, teller):
    """A provider of the workspace that speaks in this way."""
    with teller.running() as server, bridged():
        Provider.objects.create(
            workspace=workspace, name="narrator", kind=teller.kind, base_url=server.base_url, api_key=teller.key
        )
        yield server
    brain.forget()


def test_a_risky_call_waits_is_approved_and_the_answer_goes_on(teller, server, workspace, devops, member, manager):
    choice = brain.Choice(brain.spec(workspace.pk, "narrator"), "story")
    run = runs.start(conversations.new(devops, by=member), text="Restart it", by=member, choice=choice)
    assert attempt() is None
    run.refresh_from_db()
    assert run.state == RunState.WAITING_APPROVAL
    risky, harmless = of(run)
    assert (risky.tool, risky.arguments, risky.state) == (
        "service_restart",
        {"service": "web"},
        ActionState.WAITING,
    )
    assert (harmless.tool, harmless.state) == ("service_status", ActionState.ALLOWED)
    assert len(server.chats) == 1

    approve(risky, manager)
    for taken in take():
        execution.settle(taken, DONE)
    outcome = attempt()
    assert outcome is not None
    assert (outcome.state, outcome.error_message) == (RunState.COMPLETED, "")
    assert outcome.text == "".join(WORDS + ANSWER)
    assert teller.given(stories.last(server).body) == ["restarted", "restarted"]

    assert Run.objects.get(pk=run.pk).provider == "narrator"
    parts = Message.objects.get(pk=outcome.message_id).parts
    kinds = ["reasoning", "text", "tool_call", "tool_call", "tool_result", "tool_result", "text"]
    assert [part["type"] for part in parts] == kinds
    assert parts[0]["text"] == "".join(THOUGHTS)
    assert not any("kept" in part for part in parts)
