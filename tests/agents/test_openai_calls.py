"""Tool calls of the OpenAI-compatible provider, in every way in which servers stream them."""

import asyncio

import pytest

from agents import loop
from agents.events import TextDelta, Usage
from agents.providers import provider_for
from agents.providers.base import (
    AnswerTooLong,
    ChatMessage,
    ChatRequest,
    ProviderError,
    Stalled,
    StreamCut,
    ToolCall,
    ToolDefinition,
)
from agents.providers.calls import parse
from tests.agents.conftest import ask

TOOLS = (ToolDefinition("service_restart", "Restart a service.", {"type": "object", "properties": {}}),)
SERVICE = "Grüße 🙂"
WHOLE = {"service": SERVICE, "lines": [1, 2.5, None]}


async def hear(spec, model, tools=TOOLS, **more):
    """All that the provider says."""
    return [event async for event in provider_for(spec).stream(ask(model, tools=tools, **more))]


async def hear_out(stream, kind):
    """What is said before it fails, and the failure."""
    said = []

    async def listen():
        async for event in stream:
            said.append(event)

    with pytest.raises(kind) as caught:
        await listen()
    return said, caught.value


def called(events):
    return [event for event in events if isinstance(event, ToolCall)]


def given(events):
    return [(call.name, call.arguments) for call in called(events)]


async def test_tools_are_offered_in_their_format(spec, server):
    await hear(spec, "t1-i0")
    assert server.chats[0].body["tools"] == [
        {
            "type": "function",
            "function": {
                "name": "service_restart",
                "description": "Restart a service.",
                "parameters": {"type": "object", "properties": {}},
            },
        }
    ]


async def test_calls_and_results_are_told_in_their_format(spec, server):
    messages = (
        ChatMessage("user", "Restart both."),
        ChatMessage("assistant", "", (ToolCall("a", "x", {"n": "é"}), ToolCall("b", "y", None, "{broken"))),
        ChatMessage("tool", "done", call_id="a", name="x"),
        ChatMessage("tool", "refused", call_id="b", name="y"),
        ChatMessage("assistant", "One of them."),
        ChatMessage("user", "Thanks."),
    )
    async for _ in provider_for(spec).stream(ChatRequest("t1-i0", messages, tools=TOOLS)):
        pass
    assert server.chats[0].body["messages"] == [
        {"role": "user", "content": "Restart both."},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "x", "arguments": '{"n":"é"}'}},
                {"id": "b", "type": "function", "function": {"name": "y", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "a", "content": "done"},
        {"role": "tool", "tool_call_id": "b", "content": "refused"},
        {"role": "assistant", "content": "One of them."},
        {"role": "user", "content": "Thanks."},
    ]


@pytest.mark.parametrize("way", ["plain", "split-bytes"])
async def test_a_call_is_put_together_from_its_pieces(spec, way):
    assert called(await hear(spec, f"calls:{way}")) == [ToolCall("call_abc", "service_restart", WHOLE)]


async def test_calls_come_after_the_text_and_before_the_usage(spec):
    events = await hear(spec, "calls:with-text")
    assert [type(event) for event in events] == [TextDelta, ToolCall, Usage]
    assert events[-1] == Usage(10, 7, None)


@pytest.mark.parametrize("way", ["no-index", "same-index", "no-ids", "no-ids-no-index", "same-ids"])
async def test_calls_are_told_apart_however_they_are_numbered(spec, way):
    events = await hear(spec, f"calls:{way}")
    assert given(events) == [("service_restart", {"service": "web"}), ("service_restart", {"service": "api"})]
    ids = [call.call_id for call in called(events)]
    assert len(set(ids)) == 2
    assert all(0 < len(one) <= 64 for one in ids)


async def test_several_calls_keep_their_order(spec):
    events = await hear(spec, "calls:several")
    assert called(events) == [
        ToolCall("call_a", "service_restart", {"service": "web"}),
        ToolCall("call_b", "service_status", {}),
        ToolCall("call_c", "service_logs", {"lines": 5}),
    ]


@pytest.mark.parametrize("way", ["repeating", "stops", "as-object"])
async def test_an_odd_but_whole_call_is_heard(spec, way):
    assert called(await hear(spec, f"calls:{way}")) == [ToolCall("call_a", "service_restart", {"service": "web"})]


async def test_an_answer_that_is_not_streamed_calls_too(spec):
    events = await hear(spec, "calls:whole")
    assert [call.call_id for call in called(events)] == ["call_a", "call_b"]
    assert given(events)[0] == ("service_restart", {"service": "web"})


async def test_no_arguments_are_an_empty_object(spec):
    assert given(await hear(spec, "calls:empty")) == [("service_status", {}), ("service_status", {})]


@pytest.mark.parametrize("raw", ['{"service"~ "web', "[1, 2]", '"text"', "null", "5", "{'service'~ 'web'}"])
async def test_arguments_that_are_no_object_are_kept_as_they_came(spec, raw):
    (call,) = called(await hear(spec, f"calls:broken:{raw}"))
    assert (call.arguments, call.raw) == (None, raw.replace("~", ":"))


async def test_what_the_database_does_not_keep_is_taken_out(spec):
    (call,) = called(await hear(spec, "calls:nul"))
    assert (call.name, call.arguments) == ("service\ufffd", {"ser\ufffdvice": ["w\ufffdb"]})
    assert "\x00" not in call.call_id


async def test_arguments_that_are_nested_without_end_are_no_object(spec):
    (call,) = called(await hear(spec, "calls:deep"))
    assert call.arguments is None


@pytest.mark.parametrize("raw", ["9" * 5_000, str(2**63), "[" * 100_000, '{"a": "\\ud83d"}', "1e999"])
def test_values_that_cannot_be_stored_are_no_arguments(raw):
    assert parse(raw) is None
    assert parse(f'{{"n": {raw}}}') is None


async def test_an_id_that_an_earlier_call_had_is_made_anew(spec):
    earlier = ChatMessage("assistant", "", (ToolCall("call_abc", "service_restart", {}),))
    request = ChatRequest("calls:plain", (ChatMessage("user", "Again"), earlier), tools=TOOLS)
    (call,) = called([event async for event in provider_for(spec).stream(request)])
    assert call.call_id != "call_abc"


@pytest.mark.parametrize(("way", "kind"), [("many", AnswerTooLong), ("long", AnswerTooLong), ("cut", StreamCut)])
async def test_calls_that_are_not_whole_are_not_heard(spec, way, kind):
    heard, _ = await hear_out(provider_for(spec).stream(ask(f"calls:{way}", tools=TOOLS)), kind)
    assert called(heard) == []


async def test_a_call_that_nothing_was_offered_for_is_an_error(spec):
    with pytest.raises(ProviderError, match="called a tool that it was not offered"):
        await hear(spec, "calls:plain", tools=())
    assert [type(event) for event in await hear(spec, "calls:with-text", tools=())] == [TextDelta, Usage]


async def test_arguments_that_take_their_time_are_no_silence(patient):
    events = await hear(patient(first_token=0.3, between_tokens=0.3), "calls:slow:12:0.05")
    assert given(events) == [("service_restart", {"service": "x" * 12})]


async def test_a_call_that_stops_in_its_middle_is_a_silence(patient):
    with pytest.raises(Stalled):
        async with asyncio.timeout(5):
            await hear(patient(between_tokens=0.2), "calls:stall")


async def test_a_turn_with_a_call_is_not_sent_again(spec, server):
    events = [event async for event in loop.turn(spec, ask("calls:plain", tools=TOOLS))]
    assert called(events) == [ToolCall("call_abc", "service_restart", WHOLE)]
    assert len(server.chats) == 1


async def test_a_call_that_was_yielded_counts_as_spoken(monkeypatch, spec):
    class Failing:
        async def stream(self, request):
            yield ToolCall("a", "service_restart", {})
            raise StreamCut("cut")

    monkeypatch.setattr(loop, "provider_for", lambda spec: Failing())
    heard, error = await hear_out(loop.turn(spec, ask("m", tools=TOOLS)), StreamCut)
    assert not error.before_first_token
    assert heard == [ToolCall("a", "service_restart", {})]
