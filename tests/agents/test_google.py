"""Google's Gemini API against a real server that holds its rules, and misbehaves."""

import asyncio
from contextlib import suppress

import pytest

from agents import environment, loop
from agents.events import FILTERED, ReasoningDelta, Status, TextDelta, Usage
from agents.providers import provider_for
from agents.providers.base import (
    AnswerTooLong,
    ChatMessage,
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
from agents.providers.google import Answer, GoogleProvider
from agents.providers.speech import AT_LENGTH
from tests.agents.conftest import ask
from tests.agents.listening import TOOLS, called, hear, hear_out, text
from tests.servers import google_wire as says
from tests.servers.google_server import KEY, STREAM, TEXT
from tests.servers.openai_server import wait_until


async def test_an_answer_streams_with_its_usage_last(gemini, google):
    events = await hear(gemini, "plain", ChatMessage("user", "How are you?"), system="You are kind.")
    assert text(events) == TEXT
    assert events[-1] == Usage(input_tokens=10, output_tokens=7, cost_usd=None)
    request = google.chats[0]
    assert (request.method, request.path) == ("POST", "/v1beta/models/plain:streamGenerateContent?alt=sse")
    assert request.headers["x-goog-api-key"] == KEY
    assert "authorization" not in request.headers
    assert request.body == {
        "contents": [{"role": "user", "parts": [{"text": "How are you?"}]}],
        "systemInstruction": {"parts": [{"text": "You are kind."}]},
    }


async def test_thoughts_are_asked_of_a_model_that_is_known_to_think(gemini, google):
    for model, asked in (("gemini-2.5-flash", True), ("gemini-2.0-flash", False), ("plain", False)):
        with suppress(UnknownModel):
            await hear(gemini, model)
        config = google.chats[-1].body.get("generationConfig", {})
        assert config.get("thinkingConfig", {}).get("includeThoughts", False) is asked


async def test_a_model_may_be_named_with_its_collection_and_leads_nowhere_else(gemini, google):
    for model in ("models/plain", "tunedModels/mine", "../../files?x#"):
        with suppress(UnknownModel):
            await hear(gemini, model)
    assert [request.path.partition(":")[0] for request in google.chats] == [
        "/v1beta/models/plain",
        "/v1beta/tunedModels/mine",
        "/v1beta/models/..%2F..%2Ffiles%3Fx%23",
    ]


async def test_thoughts_and_the_cache_are_counted_and_cost_what_they_cost(gemini):
    assert (await hear(gemini, "cached"))[-1] == Usage(input_tokens=4210, output_tokens=7, cost_usd=None)
    spec = ProviderSpec("g", "google", "https://generativelanguage.googleapis.com/v1beta")
    answer = Answer(spec, "gemini-2.5-flash", limit=100)
    counts = {"promptTokenCount": 100_000, "candidatesTokenCount": 900, "thoughtsTokenCount": 100}
    answer.feed(says.end(cachedContentTokenCount=50_000, **counts))
    [usage] = answer.feed(b"")
    assert (usage.input_tokens, usage.output_tokens) == (100_000, 1_000)
    assert usage.cost_usd == pytest.approx((50_000 * 0.3 + 50_000 * 0.03 + 1_000 * 2.5) / 1e6)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("bytewise", TEXT),
        ("lf", TEXT),
        ("pings", "ping"),
        ("cut-after-end", "all of it"),
        ("odd-text", "a\ufffdb\ufffdc\u2028d"),
        ("giant:500000", "g" * 500_000),
    ],
)
async def test_an_odd_but_whole_answer_is_heard(gemini, model, said):
    events = await hear(gemini, model, tools=TOOLS)
    assert text(events) == said
    assert called(events) == []


async def test_who_has_ended_is_not_waited_for(gemini, monkeypatch):
    monkeypatch.setattr("agents.providers.google.LAST_WORDS_SECONDS", 0.1)
    assert text(await hear(gemini, "hang-after-end")) == "all of it"


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("MAX_TOKENS", AT_LENGTH),
        ("SAFETY", Status("stopped by the provider's content filter", FILTERED)),
        ("PROHIBITED_CONTENT", Status("stopped by the provider's content filter", FILTERED)),
        ("RECITATION", Status("stopped by the provider because it recited a source")),
        ("OTHER", Status("stopped by the provider")),
    ],
)
async def test_an_answer_that_was_broken_off_says_so(gemini, reason, told):
    assert told in await hear(gemini, f"plain:{reason}")
    assert not any(isinstance(event, Status) for event in await hear(gemini, "plain"))


@pytest.mark.parametrize(
    ("model", "kind", "retryable"),
    [
        ("gemini-99", UnknownModel, False),
        ("status:400:INVALID_ARGUMENT", ProviderError, False),
        ("status:400:FAILED_PRECONDITION", ProviderError, False),
        ("status:401:UNAUTHENTICATED", ProviderUnauthorized, False),
        ("status:403:PERMISSION_DENIED:list", ProviderUnauthorized, False),
        ("status:429:RESOURCE_EXHAUSTED:list", ProviderRateLimited, True),
        ("limited:GenerateRequestsPerMinutePerProjectPerModel", ProviderRateLimited, True),
        ("limited:GenerateRequestsPerDayPerProjectPerModel-FreeTier", QuotaExhausted, False),
        ("status:500:INTERNAL", ProviderUnavailable, True),
        ("status:503:UNAVAILABLE:list", ProviderUnavailable, True),
        ("status:504:DEADLINE_EXCEEDED", ProviderUnavailable, True),
        ("odd-error", ProviderUnavailable, True),
        ("web-error", ProviderUnavailable, True),
        ("error-with-200", ProviderUnavailable, True),
        ("error-in-stream:503:UNAVAILABLE:", ProviderUnavailable, True),
        ("error-in-stream:429:RESOURCE_EXHAUSTED:", ProviderRateLimited, True),
        ("blocked", ProviderError, False),
        ("broken-off:MALFORMED_FUNCTION_CALL", StreamMalformed, True),
        ("broken-off:UNEXPECTED_TOOL_CALL", StreamMalformed, True),
        ("web-page", ProviderError, False),
    ],
)
async def test_a_refusal_is_told_in_our_terms(gemini, model, kind, retryable):
    said, error = await hear_out(gemini, model)
    assert (said, type(error), error.retryable) == ([], kind, retryable), error.detail
    assert KEY not in error.detail


@pytest.mark.parametrize(
    ("model", "said", "kind"),
    [
        ("error-in-stream:503:UNAVAILABLE", "so far ", ProviderUnavailable),
        ("broken-off:MALFORMED_FUNCTION_CALL:so far ", "so far ", StreamMalformed),
        ("cut", "half", StreamCut),
        ("ends-early", "half", StreamCut),
        ("cut-in-call", "", StreamCut),
        ("malformed", "good ", StreamMalformed),
        ("wrong-types", "good ", StreamMalformed),
        ("giant:2000000", "", StreamMalformed),
        ("endless-line", "", StreamMalformed),
    ],
)
async def test_what_was_said_before_a_failure_is_kept(gemini, model, said, kind):
    events, error = await hear_out(gemini, model, tools=TOOLS)
    assert (text(events), type(error)) == (said, kind)
    assert called(events) == []


async def test_a_blocked_prompt_says_why(gemini):
    _, error = await hear_out(gemini, "blocked")
    assert error.detail == "gemini did not answer: its content filter says PROHIBITED_CONTENT."


async def test_a_key_that_is_refused_is_not_repeated(gemini, google):
    wrong = ProviderSpec("gemini", "google", google.base_url, "plain-secret")
    _, error = await hear_out(wrong, "plain")
    assert type(error) is ProviderUnauthorized
    assert error.detail == "gemini answered 400: API key not valid: [key]"
    with pytest.raises(ProviderUnauthorized):
        await provider_for(wrong).list_models()
    assert not any("plain-secret" in request.path for request in google.requests)


@pytest.mark.parametrize(
    ("model", "seconds"),
    [
        ("limited:PerMinute:26.5s", 26.5),
        ("limited:PerMinute::7", 7),
        ("limited:PerMinute:3s:7", 3),
        ("limited:PerMinute:soon:7", 7),
        ("limited:PerMinute:999999999s", 86_400),
    ],
)
async def test_patience_is_asked_for_in_the_body_or_by_retry_after(gemini, model, seconds):
    _, error = await hear_out(gemini, model)
    assert error.retry_after == seconds
    assert error.headers == {"Retry-After": str(round(seconds))}


async def test_an_overloaded_provider_is_asked_again(gemini, google):
    events = [event async for event in loop.turn(gemini, ask("flaky"))]
    assert text(events) == TEXT
    assert isinstance(events[0], Status)
    assert len(google.chats) == 2


async def test_an_error_after_the_first_words_is_not_asked_again(gemini, google):
    with pytest.raises(ProviderUnavailable) as caught:
        async for _ in loop.turn(gemini, ask("error-in-stream:503:UNAVAILABLE")):
            pass
    assert not caught.value.before_first_token
    assert len(google.chats) == 1


@pytest.mark.parametrize("model", ["ping-forever", "silent"])
async def test_nothing_but_words_is_a_beginning(google, model):
    gemini = ProviderSpec("gemini", "google", google.base_url, KEY, first_token_seconds=0.2)
    _, error = await hear_out(gemini, model)
    assert type(error) is FirstTokenTimeout


async def test_silence_ends_in_time_and_keeps_what_was_said(google):
    gemini = ProviderSpec("gemini", "google", google.base_url, KEY, between_tokens_seconds=0.2)
    said, error = await hear_out(gemini, "hang")
    assert (text(said), type(error)) == ("half", Stalled)


async def test_an_answer_over_the_limit_ends_at_the_limit(gemini, settings):
    settings.ANSWER_LIMIT = 25_500
    said, error = await hear_out(gemini, "endless")
    assert (len(text(said)), type(error)) == (25_500, AnswerTooLong)


def test_a_stream_cut_anywhere_says_the_same(gemini):
    def told(*pieces):
        answer = Answer(gemini, "m", limit=1000, asked=ask("m", tools=TOOLS))
        events = [event for piece in (*pieces, b"") for event in answer.feed(piece)]
        assert (answer.over, answer.failure) == (True, None)
        words = text(events, ReasoningDelta), text(events)
        rest = [event for event in events if not isinstance(event, TextDelta | ReasoningDelta)]
        calls = [(event.name, event.arguments) if isinstance(event, ToolCall) else event for event in rest]
        return words, calls

    whole = told(STREAM)
    assert whole[0] == ("Which one? 🙂 The web.", "Grüße, 世界! 🙂")
    assert [type(event) for event in whole[1]] == [Kept, tuple, tuple, Usage]
    for stream in (STREAM, STREAM.replace(b"\r\n", b"\n")):
        for at in range(1, len(stream)):
            assert told(stream[:at], stream[at:]) == whole
    assert told(*(STREAM[at : at + 1] for at in range(len(STREAM)))) == whole


async def test_models_that_answer_messages_are_listed_from_all_pages(gemini, google):
    assert await provider_for(gemini).list_models() == ["gemini-2.5-flash", "gemini-2.5-pro", "gemma-3-27b-it"]
    assert [request.path for request in google.requests] == [
        "/v1beta/models?pageSize=1000",
        "/v1beta/models?pageSize=1000&pageToken=2",
        "/v1beta/models?pageSize=1000&pageToken=4",
    ]


async def test_a_list_without_end_is_left(gemini, google):
    google.models = [f"m{n}" for n in range(50)]
    assert len(await provider_for(gemini).list_models()) == 20


async def test_the_connection_is_used_again(gemini, google):
    for model in ("plain", "status:400:INVALID_ARGUMENT", "plain"):
        with suppress(ProviderError):
            await hear(gemini, model)
    assert google.connections == 1


async def test_a_cancelled_reader_closes_the_connection(gemini, google):
    task = asyncio.create_task(hear(gemini, "hang"))
    await asyncio.to_thread(wait_until, lambda: google.chats)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(wait_until, lambda: google.chats[0].left_at)


@pytest.mark.parametrize(
    ("key", "url", "model", "address", "default", "any_model"),
    [
        ("AIza1", "", "", "https://generativelanguage.googleapis.com/v1beta", "gemini-2.5-flash", False),
        ("AIza1", "https://generativelanguage.googleapis.com", "gemini-x",
         "https://generativelanguage.googleapis.com/v1beta", "gemini-x", False),
        ("", "http://gpu.lan:8080/v1/", "", "http://gpu.lan:8080/v1", "", True),
    ],
)  # fmt: skip
def test_the_environment_names_it(settings, key, url, model, address, default, any_model):
    settings.GOOGLE_API_KEY, settings.GOOGLE_BASE_URL, settings.GOOGLE_MODEL = key, url, model
    (found,) = [one for one in environment.providers() if one.kind == "google"]
    assert (found.name, found.base_url, found.api_key, found.default_model) == ("google", address, key, default)
    assert found.any_model is any_model


def test_without_an_address_it_is_google_itself():
    provider = GoogleProvider(ProviderSpec("g", "google"))
    assert provider.spec.base_url == "https://generativelanguage.googleapis.com/v1beta"
