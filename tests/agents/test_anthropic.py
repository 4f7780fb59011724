"""Anthropic's Messages API against a real server that holds its rules, and misbehaves."""

import asyncio
from contextlib import suppress

import pytest

from agents import environment, loop
from agents.events import FILTERED, LENGTH, ReasoningDelta, Status, TextDelta, Usage
from agents.providers import provider_for
from agents.providers.anthropic import Answer, AnthropicProvider
from agents.providers.base import (
    AnswerTooLong,
    ChatMessage,
    ContextTooLong,
    FirstTokenTimeout,
    Kept,
    ProviderError,
    ProviderRateLimited,
    ProviderSpec,
    ProviderUnauthorized,
    ProviderUnavailable,
    QuotaExhausted,
    Stalled,
    StreamCut,
    StreamMalformed,
    ToolCall,
    UnknownModel,
)
from agents.providers.speech import AT_LENGTH
from tests.agents.conftest import ask
from tests.agents.listening import TOOLS, called, hear, hear_out, text
from tests.servers import anthropic_wire as says
from tests.servers.anthropic_server import KEY, STREAM, TEXT
from tests.servers.openai_server import wait_until


async def test_an_answer_streams_with_its_usage_last(claude, anthropic):
    events = await hear(claude, "plain", ChatMessage("user", "How are you?"), system="You are kind.")
    assert text(events) == TEXT
    assert events[-1] == Usage(input_tokens=10, output_tokens=7, cost_usd=None)
    request = anthropic.chats[0]
    assert (request.method, request.path) == ("POST", "/v1/messages")
    assert request.headers["x-api-key"] == KEY
    assert request.headers["anthropic-version"] == "2023-06-01"
    assert "authorization" not in request.headers
    assert request.body == {
        "model": "plain",
        "max_tokens": 8192,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "How are you?"}]}],
        "stream": True,
        "system": [{"type": "text", "text": "You are kind.", "cache_control": {"type": "ephemeral"}}],
    }


async def test_a_known_model_may_answer_as_long_as_it_can(claude, anthropic):
    for model, most in (("claude-3-haiku-20240307", 4096), ("claude-sonnet-4-5-20250929", 64_000)):
        await hear_out(claude, model)
        assert anthropic.chats[-1].body["max_tokens"] == most


async def test_the_tokens_of_the_cache_are_counted_and_cost_what_they_cost(claude):
    events = await hear(claude, "cached")
    assert events[-1] == Usage(input_tokens=4210, output_tokens=7, cost_usd=None)
    answer = Answer(ProviderSpec("a", "anthropic", "https://api.anthropic.com/v1"), "claude-sonnet-4-5", limit=100)
    counts = {"cache_creation_input_tokens": 50_000, "cache_read_input_tokens": 50_000}
    (usage,) = answer.feed(says.start(input_tokens=50_000, **counts) + says.end(output_tokens=50_000))
    assert (usage.input_tokens, usage.output_tokens) == (150_000, 50_000)
    assert usage.cost_usd == pytest.approx(0.05 * (3 + 3.75 + 0.3 + 15))


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("bytewise", TEXT),
        ("crlf", TEXT),
        ("pings", "ping"),
        ("cut-after-end", "all of it"),
        ("odd-text", "a\ufffdb\ufffdc\u2028d"),
        ("giant:500000", "g" * 500_000),
    ],
)
async def test_an_odd_but_whole_answer_is_heard(claude, model, said):
    events = await hear(claude, model, tools=TOOLS)
    assert text(events) == said
    assert called(events) == []


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("max_tokens", AT_LENGTH),
        ("model_context_window_exceeded", Status("cut at the end of the model's context window", LENGTH)),
        ("refusal", Status("stopped by the provider's content filter", FILTERED)),
        ("pause_turn", Status("paused by the provider before its end")),
    ],
)
async def test_an_answer_that_was_broken_off_says_so(claude, reason, told):
    assert told in await hear(claude, f"plain:{reason}")
    assert not any(isinstance(event, Status) for event in await hear(claude, "plain"))


@pytest.mark.parametrize(
    ("model", "kind", "retryable"),
    [
        ("claude-99", UnknownModel, False),
        ("status:400:invalid_request_error", ProviderError, False),
        ("status:401:authentication_error", ProviderUnauthorized, False),
        ("status:402:billing_error", QuotaExhausted, False),
        ("status:403:permission_error", ProviderUnauthorized, False),
        ("status:413:request_too_large", ProviderError, False),
        ("status:429:rate_limit_error", ProviderRateLimited, True),
        ("status:500", ProviderUnavailable, True),
        ("status:529:overloaded_error", ProviderUnavailable, True),
        ("error-in-stream:overloaded_error:", ProviderUnavailable, True),
        ("error-in-stream:rate_limit_error:", ProviderRateLimited, True),
        ("error-in-stream:authentication_error:", ProviderUnauthorized, False),
        ("error-in-stream:odd_error:", ProviderError, False),
        ("error-with-200", ProviderUnavailable, True),
        ("json-page", ProviderError, False),
        ("web-page", ProviderError, False),
    ],
)
async def test_a_refusal_is_told_in_our_terms(claude, model, kind, retryable):
    said, error = await hear_out(claude, model)
    assert (said, type(error), error.retryable) == ([], kind, retryable), error.detail
    assert KEY not in error.detail


@pytest.mark.parametrize(
    ("model", "said", "kind"),
    [
        ("error-in-stream:overloaded_error", "so far ", ProviderUnavailable),
        ("error-in-stream:api_error", "so far ", ProviderUnavailable),
        ("cut", "half", StreamCut),
        ("cut-in-call", "", StreamCut),
        ("malformed", "good ", StreamMalformed),
        ("wrong-types", "good ", StreamMalformed),
        ("giant:2000000", "", StreamMalformed),
        ("endless-line", "", StreamMalformed),
    ],
)
async def test_what_was_said_before_a_failure_is_kept(claude, model, said, kind):
    events, error = await hear_out(claude, model, tools=TOOLS)
    assert (text(events), type(error)) == (said, kind)
    assert called(events) == []


async def test_a_prompt_that_is_too_long_is_told_in_the_providers_words_without_the_key(claude):
    _, error = await hear_out(claude, "too-long")
    assert type(error) is ContextTooLong
    assert error.detail == "claude answered 400: prompt is too long: 210000 tokens > 200000 maximum ([key])"


async def test_a_key_that_is_refused_is_not_repeated(claude, anthropic):
    wrong = ProviderSpec("claude", "anthropic", anthropic.base_url, "plain-secret")
    _, error = await hear_out(wrong, "plain")
    assert type(error) is ProviderUnauthorized
    assert error.detail == "claude answered 401: invalid x-api-key: [key]"
    with pytest.raises(ProviderUnauthorized):
        await provider_for(wrong).list_models()


async def test_patience_is_asked_for_by_retry_after(claude):
    _, error = await hear_out(claude, "status:429:rate_limit_error:7")
    assert (error.retry_after, error.headers) == (7, {"Retry-After": "7"})


async def test_an_overloaded_provider_is_asked_again(claude, anthropic):
    events = [event async for event in loop.turn(claude, ask("flaky"))]
    assert text(events) == TEXT
    assert isinstance(events[0], Status)
    assert len(anthropic.chats) == 2


async def test_an_error_after_the_first_words_is_not_asked_again(claude, anthropic):
    with pytest.raises(ProviderUnavailable) as caught:
        async for _ in loop.turn(claude, ask("error-in-stream:overloaded_error")):
            pass
    assert not caught.value.before_first_token
    assert len(anthropic.chats) == 1


async def test_pings_are_no_words(anthropic):
    claude = ProviderSpec("claude", "anthropic", anthropic.base_url, KEY, first_token_seconds=0.2)
    _, error = await hear_out(claude, "ping-forever")
    assert type(error) is FirstTokenTimeout


async def test_silence_ends_in_time_and_keeps_what_was_said(anthropic):
    claude = ProviderSpec("claude", "anthropic", anthropic.base_url, KEY, between_tokens_seconds=0.2)
    said, error = await hear_out(claude, "hang")
    assert (text(said), type(error)) == ("half", Stalled)


async def test_an_answer_over_the_limit_ends_at_the_limit(claude, settings):
    settings.ANSWER_LIMIT = 25_500
    said, error = await hear_out(claude, "endless")
    assert (len(text(said)), type(error)) == (25_500, AnswerTooLong)


def test_a_stream_cut_anywhere_says_the_same(claude):
    def told(*pieces):
        answer = Answer(claude, "m", limit=1000, asked=ask("m", tools=TOOLS))
        events = [event for piece in pieces for event in answer.feed(piece)]
        assert (answer.over, answer.failure) == (True, None)
        words = text(events, ReasoningDelta), text(events)
        return words, [event for event in events if not isinstance(event, TextDelta | ReasoningDelta)]

    whole = told(STREAM)
    assert whole[0] == ("Which one? 🙂 The web.", "Grüße, 世界! 🙂")
    assert [type(event) for event in whole[1]] == [Kept, ToolCall, Usage]
    for stream in (STREAM, STREAM.replace(b"\n", b"\r\n")):
        for at in range(1, len(stream)):
            assert told(stream[:at], stream[at:]) == whole
    assert told(*(STREAM[at : at + 1] for at in range(len(STREAM)))) == whole


def test_blocks_without_end_are_malformed(claude):
    answer = Answer(claude, "m", limit=1000)
    for index in range(10_001):
        answer.feed(says.event("content_block_start", index=index, content_block={"type": "text"}))
    assert type(answer.failure) is StreamMalformed


async def test_models_are_listed(claude, anthropic):
    assert await provider_for(claude).list_models() == ["claude-sonnet-4-5-20250929", "claude-haiku-4-5-20251001"]
    assert anthropic.requests[0].path == "/v1/models?limit=1000"


async def test_the_connection_is_used_again(claude, anthropic):
    for model in ("plain", "status:400", "plain"):
        with suppress(ProviderError):
            await hear(claude, model)
    assert anthropic.connections == 1


async def test_a_cancelled_reader_closes_the_connection(claude, anthropic):
    task = asyncio.create_task(hear(claude, "hang"))
    await asyncio.to_thread(wait_until, lambda: anthropic.chats)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(wait_until, lambda: anthropic.chats[0].left_at)


@pytest.mark.parametrize(
    ("key", "url", "model", "address", "default", "any_model"),
    [
        ("sk-ant-1", "", "", "https://api.anthropic.com/v1", "claude-sonnet-4-5", False),
        ("sk-ant-1", "https://api.anthropic.com", "claude-x", "https://api.anthropic.com/v1", "claude-x", False),
        ("", "http://gpu.lan:8080/v1/", "", "http://gpu.lan:8080/v1", "", True),
    ],
)
def test_the_environment_names_it(settings, key, url, model, address, default, any_model):
    settings.ANTHROPIC_API_KEY, settings.ANTHROPIC_BASE_URL, settings.ANTHROPIC_MODEL = key, url, model
    (found,) = [one for one in environment.providers() if one.kind == "anthropic"]
    assert (found.base_url, found.api_key, found.default_model) == (address, key, default)
    assert found.any_model is any_model


def test_without_an_address_it_is_anthropic_itself():
    assert AnthropicProvider(ProviderSpec("a", "anthropic")).spec.base_url == "https://api.anthropic.com/v1"
