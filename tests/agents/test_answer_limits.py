"""How long an answer may be, in each provider's own field, and what counts among it."""

from contextlib import suppress

import msgspec
import pytest

from agents.events import LENGTH, Status, TextDelta, Usage
from agents.providers import anthropic_requests, google_requests, ollama_requests, openai_requests, provider_for
from agents.providers.base import ChatMessage, ChatRequest, ProviderError, ProviderSpec
from tests.servers import openai_scripts

USER = ChatMessage("user", "Tell me everything.")


def request(model: str, most: int | None = 500, **more) -> ChatRequest:
    return ChatRequest(model, (USER,), most_tokens=most, **more)


async def hear_limited(spec: ProviderSpec, model: str, most: int | None = 500) -> list:
    return [event async for event in provider_for(spec).stream(request(model, most))]


@pytest.mark.parametrize(
    ("address", "model", "field"),
    [
        ("https://api.openai.com/v1", "gpt-4o", "max_completion_tokens"),
        ("https://api.openai.com/v1", "o3", "max_completion_tokens"),
        ("https://api.groq.com/openai/v1", "llama-3.3-70b-versatile", "max_completion_tokens"),
        ("https://api.mistral.ai/v1", "mistral-small-latest", "max_tokens"),
        ("https://api.deepseek.com/v1", "deepseek-reasoner", "max_tokens"),
        ("https://openrouter.ai/api/v1", "openai/gpt-4o", "max_tokens"),
        ("http://127.0.0.1:8000/v1", "anything", "max_tokens"),
    ],
)
def test_services_that_speak_openais_api_are_told_in_the_field_that_they_know(address, model, field):
    spec = ProviderSpec("one", "openai", address)
    said = openai_requests.body(request(model), spec)
    assert {name: value for name, value in said.items() if name.startswith("max_")} == {field: 500}
    assert not [name for name in openai_requests.body(request(model, None), spec) if name.startswith("max_")]


def test_a_server_elsewhere_that_is_set_up_as_openai_is_told_in_the_older_field():
    spec = ProviderSpec("openai", "openai", "http://127.0.0.1:8000/v1", preset="openai")
    assert openai_requests.body(request("gpt-4o"), spec)["max_tokens"] == 500


async def test_a_server_that_refuses_the_older_field_is_told_in_the_newer(spec, server):
    async def newer(wire) -> None:
        if "max_tokens" in wire.request.body:
            words = "Unsupported parameter: 'max_tokens' is not supported with this model."
            await wire.whole(400, msgspec.json.encode({"error": {"message": words, "code": "unsupported_parameter"}}))
        else:
            await wire.head()
            await wire.say({"content": "ok"})
            await wire.finish(1)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(openai_scripts.SCRIPTS, "newer", newer)
        events = await hear_limited(spec, "newer")
    assert TextDelta("ok") in events
    assert [chat.body.get("max_completion_tokens") for chat in server.chats] == [None, 500]


async def test_a_server_that_takes_no_limit_is_not_asked_without_one(spec, server):
    async def never(wire) -> None:
        await wire.whole(400, b'{"error": {"message": "max_tokens and max_completion_tokens are not allowed"}}')

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(openai_scripts.SCRIPTS, "never", never)
        with pytest.raises(ProviderError):
            await hear_limited(spec, "never")
    assert all("max_tokens" in chat.body or "max_completion_tokens" in chat.body for chat in server.chats)


async def test_anthropic_gemini_and_ollama_are_told_in_their_own_fields(
    claude, anthropic, gemini, google, llama, ollama
):
    for spec in (claude, gemini, llama):
        with suppress(ProviderError):
            await hear_limited(spec, "plain")
            await hear_limited(spec, "plain", None)
    assert [chat.body["max_tokens"] for chat in anthropic.chats] == [500, 8192]
    assert [chat.body.get("generationConfig") for chat in google.chats] == [{"maxOutputTokens": 500}, None]
    assert [chat.body.get("options", {}).get("num_predict") for chat in ollama.chats] == [500, None]


def test_thoughts_count_among_it():
    claude = ProviderSpec("claude", "anthropic", "https://api.anthropic.com/v1")
    for most, thinks in ((500, None), (2_047, None), (2_048, 1_024), (4_000, 2_000), (50_000, 16_000)):
        said = msgspec.json.decode(anthropic_requests.body(request("claude-sonnet-4-5", most), claude, thinking=16_000))
        assert said["max_tokens"] == most
        assert (said.get("thinking") or {}).get("budget_tokens") == thinks
    gemini = ProviderSpec("gemini", "google", "https://generativelanguage.googleapis.com/v1beta")
    said = msgspec.json.decode(google_requests.body(request("gemini-2.5-flash"), gemini))
    assert said["generationConfig"] == {"thinkingConfig": {"includeThoughts": True}, "maxOutputTokens": 500}
    assert ollama_requests.body(request("think"), ProviderSpec("o", "ollama"))["options"] == {"num_predict": 500}


def test_no_more_is_asked_of_a_model_than_it_can_say():
    claude = ProviderSpec("claude", "anthropic", "https://api.anthropic.com/v1")
    said = msgspec.json.decode(anthropic_requests.body(request("claude-3-haiku", 100_000), claude))
    assert said["max_tokens"] == 4_096


async def test_the_rehearsal_keeps_to_it_and_says_so():
    spec = ProviderSpec("rehearsal", "rehearsal", offline=True)
    asked = ChatRequest("rehearsal", (ChatMessage("user", "[[rehearse: tokens=30 interval=0]]"),), most_tokens=12)
    events = [event async for event in provider_for(spec).stream(asked)]
    assert sum(isinstance(event, TextDelta) for event in events) == 12
    assert [event.code for event in events if isinstance(event, Status)] == [LENGTH]
    assert [event.output_tokens for event in events if isinstance(event, Usage)] == [12]
