"""Ollama's own API against a real server that holds its rules, and can misbehave."""

import asyncio
import dataclasses
from contextlib import suppress

import pytest

from agents import brain, environment, loop
from agents.events import ReasoningDelta, TextDelta, Usage
from agents.providers import abilities, provider_for
from agents.providers.base import (
    AnswerTooLong,
    ChatMessage,
    ContextTooLong,
    FirstTokenTimeout,
    Image,
    Kept,
    ProviderError,
    ProviderRateLimited,
    ProviderSpec,
    ProviderUnauthorized,
    ProviderUnavailable,
    Stalled,
    StreamCut,
    StreamMalformed,
    ToolCall,
    UnknownModel,
)
from agents.providers.ollama import Answer
from agents.providers.speech import AT_LENGTH
from tests.agents.conftest import ask
from tests.agents.listening import TOOLS, called, hear, hear_out, text
from tests.servers import ollama_wire as says
from tests.servers.ollama_server import STREAM, TEXT, THOUGHTS
from tests.servers.openai_server import wait_until

USER = ChatMessage("user", "Restart it.")


async def test_an_answer_streams_with_its_usage_last(llama, ollama):
    events = await hear(llama, "plain", system="You are kind.")
    assert text(events) == TEXT
    assert events[-1] == Usage(input_tokens=10, output_tokens=7, cost_usd=None)
    assert ollama.chats[0].body == {
        "model": "plain",
        "messages": [{"role": "system", "content": "You are kind."}, {"role": "user", "content": "Hello"}],
        "stream": True,
        "think": True,
        "truncate": False,
        "options": {"num_ctx": 16384},
    }
    assert "authorization" not in ollama.chats[0].headers


@pytest.mark.parametrize("model", ["bytewise", "crlf", "unstreamed"])
async def test_an_odd_but_whole_answer_is_heard(llama, model):
    assert text(await hear(llama, model)) == TEXT


async def test_what_cannot_be_stored_is_replaced(llama):
    assert text(await hear(llama, "odd-text")) == "a\ufffdb\ufffdc\u2028d"


async def test_an_answer_that_the_model_broke_off_says_so(llama):
    assert AT_LENGTH in await hear(llama, "plain~length")


async def test_a_model_that_was_only_loaded_has_not_answered(llama):
    _, error = await hear_out(llama, "plain~load")
    assert (type(error), error.detail) == (
        ProviderUnavailable,
        "ollama only loaded the model and did not answer.",
    )


async def test_thoughts_come_back_with_the_call(llama, ollama):
    first = await hear(llama, "think", USER, tools=TOOLS)
    assert [type(event) for event in first] == [ReasoningDelta, TextDelta, Kept, ToolCall, Usage]
    assert (text(first, ReasoningDelta), text(first)) == (THOUGHTS, "Grüße, 世界! 🙂")
    (call,) = called(first)
    assert (call.name, call.arguments) == ("service_restart", {"service": "web"})
    told = ChatMessage("assistant", text(first), (call,), kept=first[2])
    given = ChatMessage("tool", "restarted", call_id=call.call_id, name="service_restart")
    assert text(await hear(llama, "think", USER, told, given, tools=TOOLS)) == "It runs."
    assert ollama.chats[-1].body["messages"][1:] == [
        {
            "role": "assistant",
            "content": "Grüße, 世界! 🙂",
            "thinking": THOUGHTS,
            "tool_calls": [
                {"id": call.call_id, "function": {"name": "service_restart", "arguments": {"service": "web"}}}
            ],
        },
        {"role": "tool", "content": "restarted", "tool_name": "service_restart", "tool_call_id": call.call_id},
    ]
    with pytest.raises(ProviderError, match="thoughts"):
        await hear(llama, "think", USER, ChatMessage("assistant", "", (call,)), given, tools=TOOLS)


async def test_what_another_provider_kept_is_not_told(llama, ollama):
    told = ChatMessage("assistant", "", (ToolCall("t", "x", None, "{broken"),), kept=Kept("other", [{"secret": 1}]))
    await hear(llama, "plain", USER, told, ChatMessage("tool", "ok", call_id="t", name="x"), tools=TOOLS)
    assert ollama.chats[0].body["messages"][1] == {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"id": "t", "function": {"name": "x", "arguments": {}}}],
    }


async def test_tools_are_offered_in_their_format(llama, ollama):
    await hear(llama, "plain", tools=TOOLS[1:])
    assert ollama.chats[0].body["tools"] == [
        {
            "type": "function",
            "function": {
                "name": "service_status",
                "description": "How a service is.",
                "parameters": {"type": "object"},
            },
        }
    ]


async def test_calls_without_ids_are_told_apart(llama):
    calls = called(await hear(llama, "several", tools=TOOLS))
    assert [(call.name, call.arguments) for call in calls] == [
        ("service_restart", {"service": "Grüße 🙂", "lines": [1, 2.5, None]}),
        ("service_status", {}),
        ("service_status", {}),
    ]
    assert len({call.call_id for call in calls}) == 3


async def test_ids_and_arguments_as_a_text_are_taken_where_they_come(llama):
    assert called(await hear(llama, "with-ids", tools=TOOLS)) == [
        ToolCall("call_a", "service_restart", {}),
        ToolCall("call_b", "service_status", {"lines": 5}),
    ]


async def test_a_call_that_nothing_was_offered_for_is_an_error(llama):
    _, error = await hear_out(llama, "several")
    assert error.detail == "ollama called a tool that it was not offered."


async def test_images_go_as_base64_with_their_message(llama, ollama):
    pictures = (Image("image/png", "iVBORw0KGgo="), Image("image/jpeg", "/9j/4AAQ"))
    await hear(llama, "plain", ChatMessage("user", "What is it?", images=pictures))
    assert ollama.chats[0].body["messages"] == [
        {"role": "user", "content": "What is it?", "images": ["iVBORw0KGgo=", "/9j/4AAQ"]}
    ]


async def test_thoughts_in_tags_are_thoughts(llama):
    events = await hear(llama, "tags")
    assert (text(events, ReasoningDelta), text(events)) == ("Let me think.", "It is 42.")


@pytest.mark.parametrize(
    ("model", "kind", "retryable"),
    [
        ("nobody-has-it", UnknownModel, False),
        ("missing", UnknownModel, False),
        ("status~400", ProviderError, False),
        ("status~429", ProviderRateLimited, True),
        ("status~500", ProviderUnavailable, True),
        ("status~503", ProviderUnavailable, True),
        ("error-body", ProviderUnavailable, True),
        ("error-in-stream~", ProviderUnavailable, True),
        ("web-page", ProviderError, False),
    ],
)
async def test_a_refusal_is_told_in_our_terms(llama, model, kind, retryable):
    said, error = await hear_out(llama, model)
    assert (said, type(error), error.retryable) == ([], kind, retryable), error.detail


async def test_a_model_that_is_not_there_says_how_it_is_fetched(llama):
    _, error = await hear_out(llama, "nobody-has-it")
    assert error.detail == 'ollama answered 404: model "nobody-has-it" not found, try pulling it first'


@pytest.mark.parametrize(
    ("model", "said", "kind"),
    [
        ("cut", "half", StreamCut),
        ("ends-early", "half", StreamCut),
        ("malformed", "good ", StreamMalformed),
        ("wrong-types", "good ", StreamMalformed),
        ("endless-line", "so far ", StreamMalformed),
        ("giant~2000000", "", StreamMalformed),
        ("error-in-stream", "so far ", ProviderUnavailable),
    ],
)
async def test_what_was_said_before_a_failure_is_kept(llama, model, said, kind):
    events, error = await hear_out(llama, model)
    assert (text(events), type(error)) == (said, kind)
    assert "abcdefgh1234" not in error.detail


async def test_a_giant_token_is_heard(llama):
    assert len(text(await hear(llama, "giant~900000"))) == 900_000


async def test_an_answer_over_the_limit_ends_at_the_limit(llama, settings):
    settings.ANSWER_LIMIT = 25_500
    said, error = await hear_out(llama, "endless")
    assert (len(text(said)), type(error)) == (25_500, AnswerTooLong)


async def test_a_server_that_is_busy_is_asked_again(llama, ollama):
    events = [event async for event in loop.turn(llama, ask("flaky"))]
    assert text(events) == TEXT
    assert len(ollama.chats) == 2


@pytest.mark.parametrize(
    ("model", "waits", "said", "kind"),
    [
        ("slow-first~3600", {"first_token_seconds": 0.2}, "", FirstTokenTimeout),
        ("hang", {"between_tokens_seconds": 0.2}, "half", Stalled),
    ],
)
async def test_silence_ends_in_time(llama, model, waits, said, kind):
    events, error = await hear_out(dataclasses.replace(llama, **waits), model)
    assert (text(events), type(error)) == (said, kind)


async def test_a_model_may_take_its_time_to_load(llama):
    assert text(await hear(llama, "slow-first~0.2")) == "late"


async def test_a_cancelled_reader_closes_the_connection(llama, ollama):
    task = asyncio.create_task(hear(llama, "hang"))
    await asyncio.to_thread(wait_until, lambda: ollama.chats)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(wait_until, lambda: ollama.chats[0].left_at)


async def test_the_connection_is_used_again(llama, ollama):
    for model in ("plain", "status~400", "plain", "crlf"):
        with suppress(ProviderError):
            await hear(llama, model)
    assert ollama.connections == 1


def test_a_stream_cut_anywhere_says_the_same(llama):
    def told(*pieces):
        answer = Answer(llama, "m", limit=1000, asked=ask("m", tools=TOOLS))
        events = [event for piece in pieces for event in answer.feed(piece)]
        assert (answer.over, answer.failure) == (True, None)
        calls = [(call.name, call.arguments) for call in called(events)]
        return text(events, ReasoningDelta), text(events), calls

    whole = told(STREAM)
    assert whole == (THOUGHTS, "Grüße, 世界! 🙂", [("service_restart", {"service": "web"})])
    for at in range(1, len(STREAM)):
        assert told(STREAM[:at], STREAM[at:]) == whole
    assert told(*(STREAM[at : at + 1] for at in range(len(STREAM)))) == whole


def test_calls_are_whole_whatever_index_a_server_gives_them(llama):
    answer = Answer(llama, "m", limit=1000, asked=ask("m", tools=TOOLS))
    same = {"index": 0, **says.call("service_status", {"lines": 5})}
    assert len(called(answer.feed(says.calls(same) + says.calls(same, same) + says.end()))) == 3


def test_calls_without_end_are_too_many(llama):
    answer = Answer(llama, "m", limit=1000, asked=ask("m", tools=TOOLS))
    answer.feed(says.calls(says.call("service_status", {})) * 200)
    assert type(answer.failure) is AnswerTooLong


async def test_an_address_where_nothing_is_says_so(llama):
    _, error = await hear_out(dataclasses.replace(llama, base_url=llama.base_url + "/elsewhere"), "plain")
    assert error.detail == "ollama answered 404. Is its address right? Most end with /v1; Ollama's does not."


async def test_a_model_that_cannot_think_is_not_asked_to(llama, ollama):
    ollama.abilities["plain"] = ["completion"]
    assert text(await hear(llama, "plain")) == TEXT
    assert "think" not in ollama.chats[0].body


async def test_a_server_that_refuses_to_think_is_asked_again_without(llama, ollama):
    assert text(await hear(llama, "no-think")) == TEXT
    assert ["think" in chat.body for chat in ollama.chats] == [True, False]


async def test_an_older_server_that_tells_nothing_of_a_model_is_asked_once(llama, ollama):
    ollama.old = True
    for _ in range(2):
        assert text(await hear(llama, "plain")) == TEXT
    assert ollama.shows == ["plain"]
    assert "think" not in ollama.chats[0].body
    assert abilities.lacks(llama, "plain", abilities.ABILITIES) == set()


async def test_what_a_context_has_no_room_for_is_never_left_out_silently(llama, ollama):
    _, error = await hear_out(llama, "overflow")
    assert type(error) is ContextTooLong
    assert len(ollama.chats) == 1


@pytest.mark.parametrize(
    ("length", "shown", "asked", "window"),
    [
        (16384, {}, 16384, 16384),
        (200_000, {}, 131_072, 131_072),
        (0, {}, None, None),
        (16384, {"parameters": "stop  x\nnum_ctx    8192\n"}, None, 8192),
        (16384, {"remote_host": "https://ollama.com:443"}, None, 131_072),
        (16384, {"model_info": {}}, 16384, 16384),
    ],
)
async def test_the_context_is_asked_for_where_nobody_set_it(llama, ollama, settings, length, shown, asked, window):
    settings.OLLAMA_CONTEXT_LENGTH = length
    ollama.shown["plain"] = shown
    await hear(llama, "plain")
    assert ollama.chats[0].body.get("options") == (asked and {"num_ctx": asked})
    assert abilities.context_window(llama, "plain") == window


async def test_models_are_listed_with_what_they_can_do(llama, ollama):
    ollama.models = ["plain:latest", "llava:7b", "nomic-embed-text:latest", "bge:latest"]
    ollama.abilities = {"llava:7b": ["completion", "vision"], "nomic-embed-text:latest": ["embedding"]}
    ollama.details = {"bge:latest": {"family": "bert"}}
    assert await provider_for(llama).list_models() == ["plain:latest", "llava:7b"]
    assert abilities.lacks(llama, "plain", {"tools", "vision"}) == set()
    assert abilities.lacks(llama, "llava:7b", {"tools", "vision"}) == {"tools"}
    assert abilities.has(llama, "llava:7b", "vision")
    assert abilities.has(llama, "gone", "vision") is None


async def test_a_model_is_looked_at_once_until_it_changes(llama, ollama):
    for _ in range(2):
        await provider_for(llama).list_models()
    await hear(llama, "plain")
    assert sorted(ollama.shows) == ["plain:latest", "think:8b"]
    ollama.abilities["think:8b"] = ["completion"]
    await provider_for(llama).list_models()
    assert ollama.shows.count("think:8b") == 2
    assert abilities.lacks(llama, "think:8b", {"tools"}) == {"tools"}


async def test_a_list_that_is_none_is_no_list(llama, ollama):
    async def page(wire):
        await wire.whole(200, b"<html>", "text/html")

    ollama.models_script = page
    assert await provider_for(llama).list_models() == []


async def test_a_hosted_one_gets_its_key_and_never_shows_it(llama, ollama):
    ollama.key = "plain-secret-0123"
    keyed = dataclasses.replace(llama, api_key=ollama.key)
    assert text(await hear(keyed, "plain")) == TEXT
    _, error = await hear_out(dataclasses.replace(llama, api_key="wrong"), "plain")
    assert type(error) is ProviderUnauthorized
    with pytest.raises(ProviderUnauthorized):
        await provider_for(llama).list_models()


@pytest.mark.parametrize("path", ["/v1", "/api/", "/"])
async def test_an_address_may_end_as_that_of_the_compatible_api(llama, path):
    assert text(await hear(dataclasses.replace(llama, base_url=llama.base_url + path), "plain")) == TEXT


def test_without_an_address_it_is_the_one_on_this_machine():
    assert provider_for(ProviderSpec("o", "ollama")).spec.base_url == "http://127.0.0.1:11434"


def test_its_host_alone_is_enough(db, workspace, ollama, settings):
    settings.OLLAMA_HOST = ollama.base_url.removeprefix("http://")
    choice = brain.choose(workspace, asked=None)
    assert (choice.provider.name, choice.model) == ("ollama", "plain:latest")
    assert text(asyncio.run(hear(choice.provider, choice.model))) == TEXT


def test_what_a_model_told_of_itself_is_shown_and_decides(db, workspace, ollama, settings):
    settings.OLLAMA_HOST = ollama.base_url
    ollama.abilities["plain:latest"] = ["completion"]
    assert brain.choose(workspace, asked="plain").model == "plain"
    with pytest.raises(brain.ModelLacks):
        brain.choose(workspace, asked="plain", needs={"tools"})
    assert brain.choose(workspace, asked="think:8b", needs={"tools"}).model == "think:8b"
    found = {one.id: (one.capabilities, one.context_window) for one in brain.models(workspace)}
    assert found["plain:latest"] == (("chat",), 16384)
    assert found["think:8b"] == (("chat", "tools", "vision", "reasoning"), 16384)


def test_a_key_alone_is_of_the_hosted_one(settings):
    settings.OLLAMA_API_KEY = "k"
    (found,) = [one for one in environment.providers() if one.kind == "ollama"]
    assert (found.base_url, found.api_key) == ("https://ollama.com", "k")
