"""The OpenAI-compatible provider against a real server that behaves, and one that does not."""

import asyncio
from contextlib import aclosing, suppress

import pytest

from agents.events import ReasoningDelta, TextDelta, Usage
from agents.providers import provider_for
from agents.providers.base import (
    AnswerTooLong,
    FirstTokenTimeout,
    ProviderError,
    ProviderRateLimited,
    ProviderUnauthorized,
    ProviderUnavailable,
    QuotaExhausted,
    Stalled,
    StreamCut,
    StreamMalformed,
    UnknownModel,
)
from agents.providers.openai import Answer
from agents.providers.speech import AT_LENGTH
from core import outbound
from tests.agents.conftest import ask
from tests.servers.openai_scripts import TEXT
from tests.servers.openai_server import wait_until


async def hear(spec, model, **more):
    """All that the provider says."""
    return [event async for event in provider_for(spec).stream(ask(model, **more))]


async def hear_out(spec, model):
    """What the provider says before it fails, and its failure."""
    said = []
    try:
        async for event in provider_for(spec).stream(ask(model)):
            said.append(event)
    except ProviderError as error:
        return text(said), error
    pytest.fail("it did not fail")


def text(events):
    return "".join(event.text for event in events if isinstance(event, TextDelta))


async def test_an_answer_streams_as_it_is_spoken_with_its_usage_last(spec, server):
    events = await hear(spec, "t5-i5", text="How are you?", system="You are kind.")
    assert text(events) == "tok 0 tok 1 tok 2 tok 3 tok 4 "
    assert 0 < len([e for e in events if isinstance(e, TextDelta)]) <= 5  # what comes together is told together
    assert events[-1] == Usage(input_tokens=10, output_tokens=5, cost_usd=None)
    sent = server.chats[0]
    assert sent.headers["authorization"] == "Bearer sk-test-secret-0123456789"
    assert sent.body == {
        "model": "t5-i5",
        "messages": [
            {"role": "system", "content": "You are kind."},
            {"role": "user", "content": "How are you?"},
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def test_a_burst_keeps_every_token_in_order(spec):
    events = await hear(spec, "t2000-i0")
    assert text(events) == "".join(f"tok {n} " for n in range(2000))


@pytest.mark.parametrize("model", ["t3-i1", "late-end", "status:400"])
async def test_the_connection_is_used_again(spec, server, model):
    for _ in range(3):
        with suppress(ProviderError):
            await hear(spec, model)
    assert server.connections == 1


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("split-bytes", TEXT),
        ("crlf", "one two"),
        ("pings", "ping"),
        ("no-done", "all of it"),
        ("cut-after-finish", "all of it"),
        ("no-usage", "free"),
        ("not-streamed", "whole"),
        ("no-stream-options", "tok 0 tok 1 "),
        ("tool-calls:said", "said"),
        ("odd-text", "a\ufffdb\ufffdc\ufffdd\U0001f642\u2028e"),
    ],
)
async def test_an_odd_but_whole_answer_is_heard(spec, model, said):
    assert text(await hear(spec, model)) == said


async def test_a_server_that_hangs_once_the_model_has_finished_is_left(spec):
    assert text(await hear(spec, "hang-after-finish")) == "all of it"


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
async def test_reasoning_is_told_apart_from_the_answer(spec, name):
    events = await hear(spec, f"reasoning:{name}")
    thought = "".join(e.text for e in events if isinstance(e, ReasoningDelta))
    assert (thought, text(events)) == ("Let me think. ", "It is 42.")


async def test_an_answer_that_the_model_broke_off_says_so(spec):
    assert AT_LENGTH in await hear(spec, "ends-with:length")


@pytest.mark.parametrize(
    ("model", "said", "kind"),
    [
        ("cut:2", "tok 0 tok 1 ", StreamCut),
        ("ends-early", "half", StreamCut),
        ("malformed", "good ", StreamMalformed),
        ("wrong-types", "good ", StreamMalformed),
        ("endless-line", "so far ", StreamMalformed),
        ("error-event", "so far ", ProviderError),
        ("error-event:429", "so far ", ProviderRateLimited),
        ("tool-calls", "", ProviderError),
        ("giant:2000000", "", StreamMalformed),
    ],
)
async def test_what_was_said_before_a_failure_is_kept(spec, model, said, kind):
    heard, error = await hear_out(spec, model)
    assert (heard, type(error)) == (said, kind)


@pytest.mark.parametrize(
    ("model", "kind", "retryable"),
    [
        ("missing", UnknownModel, False),
        ("status:401", ProviderUnauthorized, False),
        ("status:403", ProviderUnauthorized, False),
        ("status:400", ProviderError, False),
        ("status:404", ProviderError, False),
        ("status:413", ProviderError, False),
        ("status:429", ProviderRateLimited, True),
        ("quota", QuotaExhausted, False),
        ("status:500", ProviderUnavailable, True),
        ("status:529", ProviderUnavailable, True),
        ("status-html:502", ProviderUnavailable, True),
        ("status-html:404", ProviderError, False),
        ("endless-error", ProviderUnavailable, True),
        ("redirect", ProviderError, False),
        ("web-page", ProviderError, False),
        ("error-first:429", ProviderRateLimited, True),
        ("error-first:rate_limit_exceeded", ProviderRateLimited, True),
        ("error-first:model_not_found", UnknownModel, False),
        ("error-first:other", ProviderError, False),
        ("json-page", StreamCut, True),
        ("hang-up", ProviderUnavailable, True),
        ("not-http", ProviderUnavailable, True),
    ],
)
async def test_a_refusal_is_told_in_our_terms(spec, model, kind, retryable):
    said, error = await hear_out(spec, model)
    assert (said, type(error), error.retryable) == ("", kind, retryable), error.detail


async def test_a_refusal_carries_the_providers_words_and_its_patience(spec):
    _, error = await hear_out(spec, "status:429:7")
    assert error.detail == "openai answered 429: refused with 429"
    assert error.retry_after == 7
    assert error.headers == {"Retry-After": "7"}


async def test_a_refusal_never_repeats_a_key(spec):
    _, error = await hear_out(spec, "echo-key")
    assert error.detail == "openai answered 401: Incorrect API key: Bearer [key] or [key] given"


async def test_a_refusals_words_are_bounded(spec):
    _, error = await hear_out(spec, "huge-error")
    assert len(error.detail) < 550


async def test_a_refusal_without_an_end_is_read_no_further_than_needed(spec, server):
    _, error = await hear_out(spec, "endless-error")
    assert isinstance(error, ProviderUnavailable)
    await asyncio.to_thread(wait_until, lambda: server.open_connections == 0)


async def test_a_redirect_is_not_followed(spec, server):
    await hear_out(spec, "redirect")
    assert [request.path for request in server.requests] == ["/v1/chat/completions"]


async def test_nobody_listening_is_unavailable(spec, server):
    server.stop()
    _, error = await hear_out(spec, "t5-i0")
    assert isinstance(error, ProviderUnavailable)
    assert error.detail == "openai does not answer: connection refused."


@pytest.mark.parametrize("url", ["", "no-scheme", "ftp://x/v1", "http://", "http://[::1/v1", "http://a b/v1"])
async def test_an_address_that_is_none_is_an_error_of_the_provider(patient, url):
    _, error = await hear_out(patient().__class__("odd", "openai", url), "m")
    assert type(error) in (ProviderError, ProviderUnavailable)


@pytest.mark.parametrize("key", ["line\nbreak-secret", "schlüssel-secret"])
async def test_a_key_that_is_no_header_is_not_shown(spec, key):
    _, error = await hear_out(spec.__class__("odd", "openai", spec.base_url, key), "t1-i0")
    assert "secret" not in error.detail
    assert "secret" not in repr(error.__cause__)


@pytest.mark.parametrize("model", ["slow-head:5", "slow-first:5", "ping-forever"])
async def test_silence_before_the_first_token_ends_in_time(patient, model):
    said, error = await hear_out(patient(first_token=0.2), model)
    assert (said, type(error)) == ("", FirstTokenTimeout)


async def test_silence_between_tokens_ends_in_time_and_keeps_what_was_said(patient):
    said, error = await hear_out(patient(between_tokens=0.2), "stall")
    assert (said, type(error)) == ("one ", Stalled)


async def test_the_patience_for_the_first_token_ends_with_it(patient):
    events = await hear(patient(first_token=1, between_tokens=60), "t40-i30")
    assert text(events).endswith("tok 39 ")


async def test_a_reader_who_dawdles_is_not_the_providers_fault(patient):
    events = []
    async for event in provider_for(patient(between_tokens=0.5)).stream(ask("t5-i0")):
        await asyncio.sleep(0 if events else 0.8)
        events.append(event)
    assert text(events) == "tok 0 tok 1 tok 2 tok 3 tok 4 "


async def test_an_answer_over_the_limit_ends_at_the_limit(spec, settings):
    settings.ANSWER_LIMIT = 25_500
    said, error = await hear_out(spec, "endless")
    assert (len(said), type(error)) == (25_500, AnswerTooLong)


async def test_a_cancelled_reader_closes_the_connection_at_once(spec, server):
    task = asyncio.create_task(hear(spec, "stall"))
    await asyncio.to_thread(wait_until, lambda: server.chats)
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(wait_until, lambda: server.chats[0].left_at)


async def test_a_cancel_while_the_head_is_awaited_closes_the_connection_too(spec, server):
    task = asyncio.create_task(hear(spec, "slow-head:60"))
    await asyncio.to_thread(wait_until, lambda: server.chats)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(wait_until, lambda: server.chats[0].left_at)


async def test_a_stream_that_is_closed_early_closes_the_connection(spec, server):
    async with aclosing(provider_for(spec).stream(ask("t1000-i5"))) as stream:
        await anext(stream)
    await asyncio.to_thread(wait_until, lambda: server.chats[0].left_at)


async def test_a_flood_is_read_no_faster_than_it_is_wanted(spec, server, settings):
    settings.ANSWER_LIMIT = 10**9
    async with aclosing(provider_for(spec).stream(ask("endless"))) as stream:
        first = await anext(stream)
        await asyncio.sleep(0.3)
        waiting = await anext(stream)
    assert len(first.text) + len(waiting.text) < 2_000_000


async def test_models_are_listed_without_those_that_cannot_chat(spec, server):
    server.models = ["gpt-4o", "text-embedding-3-small", "whisper-1", "own-model"]
    assert await provider_for(spec).list_models() == ["gpt-4o", "own-model"]


async def test_no_cookie_is_kept(spec, server):
    async def with_cookie(wire):
        await wire.whole(200, b'{"data": []}', Set_Cookie="session=1; Path=/")

    server.models_script = with_cookie
    for _ in range(2):
        await provider_for(spec).list_models()
    assert "cookie" not in server.requests[1].headers


def test_the_client_belongs_to_its_loop_and_ends_with_it(spec, server):
    async def once():
        await hear(spec, "t1-i0")
        assert outbound.client() is outbound.client()
        return outbound.client()

    first, second = asyncio.run(once()), asyncio.run(once())
    assert first is not second
    assert first.is_closed
    assert not outbound._open
    wait_until(lambda: server.open_connections == 0)


DEEP = b"[" * 200_000


@pytest.mark.parametrize(
    "payload", [b'{"error":' + DEEP, b'{"error":' + DEEP + b"]" * 200_000 + b"}", b'{"choices":' + DEEP, DEEP]
)
def test_a_chunk_that_is_nested_without_end_is_malformed(spec, payload):
    for answer in (Answer(spec, "m", limit=1000) for _ in range(2)):
        assert answer.feed(b"data: " + payload + b"\n\n") == []
        assert type(answer.failure) is StreamMalformed


async def test_a_refusal_that_is_nested_without_end_is_a_refusal(spec):
    _, error = await hear_out(spec, "deep-error")
    assert error.detail == "openai answered 500."


def test_an_answer_that_changes_with_thinking_at_every_character_ends(spec):
    answer = Answer(spec, "m", limit=1_000_000)
    pair = b"".join(b'data: {"choices":[{"delta":{"%s":"x"}}]}\n\n' % kind for kind in (b"reasoning", b"content"))
    spoken = []
    for _ in range(10_000):
        if answer.failure:
            break
        spoken += answer.feed(pair)
    assert type(answer.failure) is StreamMalformed
    assert len(spoken) == 1000
