"""The same story through the wire format of every provider: the same events, whoever tells it."""

from collections.abc import Iterator

import pytest

from agents import loop
from agents.events import ReasoningDelta, TextDelta, Usage
from agents.providers.base import (
    ChatMessage,
    ChatRequest,
    Image,
    Kept,
    ProviderError,
    ProviderSpec,
    ProviderUnavailable,
    StreamCut,
    ToolCall,
)
from tests.agents.listening import TOOLS, text
from tests.servers import stories
from tests.servers.openai_server import OpenAIServer
from tests.servers.stories import ANSWER, CALLS, TELLERS, THOUGHTS, WORDS, Teller

PICTURE = Image("image/png", "iVBORw0KGgo=")
ASKED = ChatMessage("user", "What is wrong here?", images=(PICTURE,))
BEGINS = [ReasoningDelta("".join(THOUGHTS)), TextDelta("".join(WORDS))]
STORY = [*BEGINS, *CALLS, Usage(10, 7, None)]


@pytest.fixture(params=TELLERS, ids=str)
def teller(request: pytest.FixtureRequest) -> Teller:
    return request.param


@pytest.fixture
def server(teller: Teller) -> Iterator[OpenAIServer]:
    with teller.running() as server:
        yield server


@pytest.fixture
def spec(teller: Teller, server: OpenAIServer) -> ProviderSpec:
    return ProviderSpec("narrator", teller.kind, server.base_url, teller.key)


async def told(spec, model, *messages):
    """What a turn says, and the error that it ends with."""
    events = []
    try:
        async for event in loop.turn(spec, ChatRequest(model, messages, "You are kind.", TOOLS)):
            events.append(event)
    except ProviderError as error:
        return events, error
    return events, None


def plainly(events):
    """The events without what differs: where deltas were cut, ids of calls, and what a provider keeps for itself."""
    found = []
    for event in events:
        match event:
            case TextDelta() | ReasoningDelta() if found and type(found[-1]) is type(event):
                found[-1] = type(event)(found[-1].text + event.text)
            case ToolCall():
                found.append((event.name, event.arguments))
            case Kept():
                assert (event.provider, bool(event.kind)) == ("narrator", True)
            case _:
                found.append(event)
    return found


@pytest.mark.parametrize("model", ["story", "story-in-pieces"])
async def test_thoughts_words_two_calls_and_usage_are_the_same_events(spec, model):
    events, error = await told(spec, model, ASKED)
    assert (plainly(events), error) == (STORY, None)
    assert len({event.call_id for event in events if isinstance(event, ToolCall)}) == 2


async def test_an_image_is_shown_before_the_words(teller, spec, server):
    await told(spec, "story", ASKED)
    assert teller.shown(stories.last(server).body) == ["data:image/png;base64,iVBORw0KGgo=", "What is wrong here?"]


async def test_results_are_told_in_order_and_the_answer_goes_on(teller, spec, server):
    events, _ = await told(spec, "story", ASKED)
    calls = tuple(event for event in events if isinstance(event, ToolCall))
    kept = next((event for event in events if isinstance(event, Kept)), None)
    said = ChatMessage("assistant", text(events), calls, kept=kept)
    given = [
        ChatMessage("tool", result, call_id=call.call_id, name=call.name)
        for call, result in zip(calls, ("restarted", "running"), strict=True)
    ]
    events, error = await told(spec, "story", ASKED, said, *given)
    assert (plainly(events), error) == ([TextDelta("".join(ANSWER)), Usage(10, 7, None)], None)
    assert teller.given(stories.last(server).body) == ["restarted", "running"]


@pytest.mark.parametrize(("name", "kind"), [("other", None), ("narrator", "another kind")])
async def test_what_was_kept_for_another_name_or_kind_is_told_to_nobody(teller, spec, server, name, kind):
    kept = Kept(name, [{"thoughts": "sealed"}], kind or teller.kind)
    said = ChatMessage("assistant", "", (ToolCall("call_1", *CALLS[0]),), kept=kept)
    given = ChatMessage("tool", "restarted", call_id="call_1", name="service_restart")
    _, error = await told(spec, "story", ASKED, said, given)
    assert error is None
    assert "sealed" not in str(stories.last(server).body)


@pytest.mark.parametrize(("model", "kind"), [("story-failing", ProviderUnavailable), ("story-cut", StreamCut)])
async def test_an_error_and_a_cut_leave_what_was_said_and_are_not_asked_again(spec, server, model, kind):
    events, error = await told(spec, model, ASKED)
    assert (plainly(events), type(error)) == (BEGINS, kind)
    assert not error.before_first_token
    assert len(server.chats) == 1
