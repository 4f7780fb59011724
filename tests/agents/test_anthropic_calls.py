"""Calls and thoughts by Anthropic's Messages API, against a real server that holds its rules."""

import json
from contextlib import suppress

import pytest

from agents.events import ReasoningDelta, TextDelta, Usage
from agents.providers.anthropic import Answer
from agents.providers.base import (
    AnswerTooLong,
    ChatMessage,
    Image,
    Kept,
    ProviderError,
    ProviderSpec,
    ToolCall,
    UnknownModel,
)
from tests.agents.conftest import ask
from tests.agents.listening import TOOLS, called, hear, hear_out, text
from tests.servers import anthropic_wire as says
from tests.servers.anthropic_server import KEY, THOUGHTS

USER = ChatMessage("user", "Restart it.")


async def sent(claude, anthropic, *messages, **more):
    """The conversation as it was sent, accepted by a anthropic that holds the rules."""
    await hear(claude, "plain", *messages, **more)
    return anthropic.chats[-1].body["messages"]


async def test_thoughts_and_their_signatures_come_back_unchanged_with_the_call(claude, anthropic):
    first = await hear(claude, "think", USER, tools=TOOLS)
    assert [type(event) for event in first] == [ReasoningDelta, TextDelta, Kept, ToolCall, Usage]
    assert text(first, ReasoningDelta) == "Which one? 🙂 The web."
    assert text(first) == "Grüße, 世界! 🙂"
    assert called(first) == [ToolCall("toolu_1", "service_restart", {"service": "web"})]
    kept = first[2]
    assert json.loads(json.dumps(kept.data)) == kept.data

    asked = ChatMessage("assistant", text(first), (ToolCall("call_1_1", "service_restart", {"service": "web"}),))
    told = ChatMessage(asked.role, asked.content, asked.calls, kept=kept)
    given = ChatMessage("tool", "restarted", call_id="call_1_1", name="service_restart")
    second = await hear(claude, "think", USER, told, given, tools=TOOLS)
    assert text(second) == "It runs."
    assert anthropic.chats[-1].body["messages"][1:] == [
        {
            "role": "assistant",
            "content": [
                *THOUGHTS,
                {"type": "text", "text": "Grüße, 世界! 🙂"},
                {"type": "tool_use", "id": "call_1_1", "name": "service_restart", "input": {"service": "web"}},
            ],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1_1", "content": "restarted"}]},
    ]
    with pytest.raises(ProviderError, match="cannot be modified"):
        await hear(claude, "think", USER, asked, given, tools=TOOLS)


async def test_thoughts_between_words_stay_where_they_were(claude, anthropic):
    words = says.text(0, "One. ") + says.thinking(1, "s", "Hm.") + says.text(2, "Two.")
    answer = Answer(claude, "m", limit=1000, asked=ask("m", tools=TOOLS))
    events = answer.feed(says.start() + words + says.tool_use(3, "t", "x") + says.end("tool_use"))
    kept = next(event for event in events if isinstance(event, Kept))
    told = ChatMessage("assistant", text(events), (ToolCall("t", "x", {}),), kept=kept)
    messages = await sent(claude, anthropic, USER, told, ChatMessage("tool", "ok", call_id="t"), tools=TOOLS)
    assert [one.get("text", one["type"]) for one in messages[1]["content"]] == ["One. ", "thinking", "Two.", "tool_use"]


async def test_what_another_provider_kept_is_not_told(claude, anthropic):
    told = ChatMessage("assistant", "", (ToolCall("t", "x", {}),), kept=Kept("other", [{"secret": 1}], "anthropic"))
    messages = await sent(claude, anthropic, USER, told, ChatMessage("tool", "ok", call_id="t"), tools=TOOLS)
    assert [one["type"] for one in messages[1]["content"]] == ["tool_use"]


async def test_what_another_kind_of_provider_of_the_name_kept_is_not_told(claude, anthropic):
    told = ChatMessage("assistant", "", (ToolCall("t", "x", {}),), kept=Kept("claude", {"parts": []}, "google"))
    messages = await sent(claude, anthropic, USER, told, ChatMessage("tool", "ok", call_id="t"), tools=TOOLS)
    assert [one["type"] for one in messages[1]["content"]] == ["tool_use"]


async def test_a_model_that_is_known_to_think_may_where_it_is_set(claude, anthropic, settings):
    async def thinks(model, *messages):
        with suppress(UnknownModel):  # by its rules the server had nothing against it
            await hear(claude, model, *messages, tools=TOOLS)
        return anthropic.chats[-1].body.get("thinking")

    model, call = "claude-sonnet-4-5", (ToolCall("t", "x", {}),)
    assert await thinks(model, USER) is None
    settings.ANTHROPIC_THINKING_TOKENS = 10
    assert await thinks(model, USER) == {"type": "enabled", "budget_tokens": 1024}
    assert await thinks("plain", USER) is None
    given = ChatMessage("tool", "ok", call_id="t")
    anothers = ChatMessage("assistant", "", call)
    assert await thinks(model, USER, anothers, given) is None
    assert await thinks(model, USER, anothers, given, USER, USER) is None
    assert await thinks(model, USER, anothers, given, ChatMessage("assistant", "Done."), USER) is not None
    kept = Kept("claude", [{"at": 0, "block": THOUGHTS[0]}], "anthropic")
    own = ChatMessage("assistant", "", call, kept=kept)
    more = ChatMessage("assistant", "", (ToolCall("u", "x", {}),)), ChatMessage("tool", "ok", call_id="u")
    assert await thinks(model, USER, own, given, *more) is not None


async def test_images_come_before_the_text(claude, anthropic):
    pictures = Image("image/png", "iVBORw0KGgo="), Image("image/jpeg", "/9j/")
    messages = await sent(claude, anthropic, ChatMessage("user", "What are these?", images=pictures))
    sources = [{"type": "base64", "media_type": one.media_type, "data": one.data} for one in pictures]
    shown = [{"type": "image", "source": source} for source in sources]
    assert messages == [{"role": "user", "content": [*shown, {"type": "text", "text": "What are these?"}]}]


async def test_nothing_is_kept_of_an_answer_without_a_call(claude):
    answer = Answer(claude, "m", limit=1000, asked=ask("m", tools=TOOLS))
    events = answer.feed(says.start() + says.thinking(0, "s", "Hm.") + says.text(1, "Yes.") + says.end())
    assert [type(event) for event in events] == [ReasoningDelta, TextDelta, Usage]


async def test_tools_are_offered_in_their_format(claude, anthropic):
    await hear(claude, "plain", tools=TOOLS)
    body = anthropic.chats[0].body
    assert body["tool_choice"] == {"type": "auto"}
    assert body["tools"] == [
        {
            "name": "service_restart",
            "description": "Restart a service.",
            "input_schema": {"type": "object", "properties": {}},
        },
        {
            "name": "service_status",
            "description": "How a service is.",
            "input_schema": {"type": "object"},
            "cache_control": {"type": "ephemeral"},
        },
    ]


async def test_several_calls_are_put_together_from_their_pieces(claude):
    assert called(await hear(claude, "several", tools=TOOLS)) == [
        ToolCall("toolu_a", "service_restart", {"service": "Grüße 🙂", "lines": [1, 2.5, None]}),
        ToolCall("toolu_b", "service_status", {}),
        ToolCall("toolu_c", "service_logs", {"lines": 5}),
    ]


async def test_a_call_that_nothing_was_offered_for_is_an_error(claude):
    _, error = await hear_out(claude, "several")
    assert error.detail == "claude called a tool that it was not offered."


async def test_neighbours_of_one_role_become_one_message_and_nothing_blank_is_said(claude, anthropic):
    said = (
        ChatMessage("system", "Be brief."),
        ChatMessage("assistant", "Welcome."),
        ChatMessage("user", "One."),
        ChatMessage("user", " \n"),
        ChatMessage("user", "Two."),
        ChatMessage("assistant", "", (ToolCall("a", "odd name!", None, "{broken"), ToolCall("b", "y", {"n": "é"}))),
        ChatMessage("tool", "", call_id="a", name="x"),
        ChatMessage("tool", "refused", call_id="b", name="y"),
        ChatMessage("user", "And now?"),
        ChatMessage("assistant", ""),
        ChatMessage("user", "Well?"),
    )
    messages = await sent(claude, anthropic, *said, system="")
    assert [(message["role"], [one["type"] for one in message["content"]]) for message in messages] == [
        ("user", ["text"]),
        ("assistant", ["text"]),
        ("user", ["text", "text"]),
        ("assistant", ["tool_use", "tool_use"]),
        ("user", ["tool_result", "tool_result", "text", "text"]),
    ]
    assert messages[0]["content"][0]["text"] == "…"
    assert messages[3]["content"][0] == {"type": "tool_use", "id": "a", "name": "odd_name_", "input": {}}
    assert messages[4]["content"][0] == {"type": "tool_result", "tool_use_id": "a"}
    body = anthropic.chats[-1].body
    assert [one["text"] for one in body["system"]] == ["Be brief."]
    assert (body["tool_choice"], [tool["name"] for tool in body["tools"]]) == ({"type": "none"}, ["odd_name_", "y"])


async def test_arguments_that_take_their_time_are_no_silence(anthropic):
    waits = {"first_token_seconds": 0.4, "between_tokens_seconds": 0.4}
    claude = ProviderSpec("claude", "anthropic", anthropic.base_url, KEY, **waits)
    (call,) = called(await hear(claude, "slow-call", tools=TOOLS))
    assert call.arguments == {"x": "abcdefghij"}


def test_what_is_sealed_has_its_bounds(claude):
    answer = Answer(claude, "m", limit=1000, asked=ask("m", tools=TOOLS))
    for index in range(4):
        answer.feed(says.redacted(index, "x" * 400_000))
    assert type(answer.failure) is AnswerTooLong
