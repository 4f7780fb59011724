"""A provider that keeps failing is left alone for a while: a breaker for each, told to every process."""

import asyncio
from contextlib import aclosing

import pytest

from agents import brain, breakers, loop
from agents.events import TextDelta
from agents.providers.base import ProviderSpec, ProviderUnauthorized, ProviderUnavailable
from core import valkey
from tests.agents.conftest import ask
from tests.servers.openai_server import wait_until

SPEC = ProviderSpec("openai", "openai", "http://127.0.0.1:1/v1", "sk-test-secret-0123456789")


async def hear(spec, model):
    return "".join([e.text async for e in loop.turn(spec, ask(model)) if isinstance(e, TextDelta)])


def fail(times: int, error: type[Exception] = ProviderUnavailable, spec: ProviderSpec = SPEC) -> None:
    for _ in range(times):
        breakers.failed(spec, error("It failed."))


@pytest.fixture(autouse=True)
def _limits(settings):
    settings.PROVIDER_BREAKER_FAILURES = 3
    settings.PROVIDER_BREAKER_SECONDS = 60


def test_so_many_failures_in_a_row_open_it_and_one_answer_between_them_does_not():
    fail(2)
    breakers.succeeded(SPEC)
    fail(2)
    assert breakers.refusal(SPEC) is None
    fail(1)
    refusal = breakers.refusal(SPEC)
    assert refusal is not None
    assert (refusal.code, refusal.status, refusal.headers) == ("provider_unavailable", 503, {"Retry-After": "60"})
    assert "openai" in refusal.detail


def test_what_is_not_the_providers_own_fault_opens_nothing():
    fail(2)
    fail(10, ProviderUnauthorized)
    fail(2)
    assert breakers.refusal(SPEC) is None


def test_the_offline_provider_has_none():
    offline = ProviderSpec("rehearsal", "rehearsal", offline=True)
    fail(10, spec=offline)
    assert breakers.refusal(offline) is None


async def test_a_provider_that_is_left_alone_is_not_asked(spec, server):
    with pytest.raises(ProviderUnavailable, match="refused with 503"):
        await hear(spec, "status:503")
    assert len(server.chats) == 3
    with pytest.raises(ProviderUnavailable, match="again and again"):
        await hear(spec, "t3-i0")
    assert len(server.chats) == 3


async def test_it_opens_in_the_middle_of_a_turn_too(spec, server, settings):
    settings.PROVIDER_BREAKER_FAILURES = 2
    with pytest.raises(ProviderUnavailable):
        await hear(spec, "status:503")
    assert len(server.chats) == 2


async def test_when_its_time_is_over_one_may_try_and_an_answer_closes_it(spec, server, settings):
    settings.PROVIDER_BREAKER_SECONDS = 0.1
    with pytest.raises(ProviderUnavailable):
        await hear(spec, "status:503")
    await asyncio.to_thread(wait_until, lambda: breakers.refusal(spec) is None)
    async with aclosing(loop.turn(spec, ask("slow-first:0.2"))) as trial:
        trying = asyncio.ensure_future(anext(trial))
        await asyncio.to_thread(wait_until, lambda: len(server.chats) == 4)
        with pytest.raises(breakers.CircuitOpen):  # one at a time
            await hear(spec, "t3-i0")
        await trying
        assert await hear(spec, "t2-i0") == "tok 0 tok 1 "  # the trial has spoken


async def test_a_trial_that_fails_opens_it_anew(spec, server, settings):
    settings.PROVIDER_BREAKER_SECONDS = 0.1
    with pytest.raises(ProviderUnavailable):
        await hear(spec, "status:503")
    await asyncio.to_thread(wait_until, lambda: breakers.refusal(spec) is None)
    with pytest.raises(ProviderUnavailable, match="refused with 503"):
        await hear(spec, "status:503")
    assert len(server.chats) == 4  # one failure was enough


async def test_whoever_leaves_before_an_answer_shows_nothing(spec, server, settings):
    settings.PROVIDER_BREAKER_SECONDS = 0.1
    with pytest.raises(ProviderUnavailable):
        await hear(spec, "status:503")
    await asyncio.to_thread(wait_until, lambda: breakers.refusal(spec) is None)
    trial = asyncio.ensure_future(hear(spec, "slow-head:5"))
    await asyncio.to_thread(wait_until, lambda: len(server.chats) == 4)
    trial.cancel()
    await asyncio.gather(trial, return_exceptions=True)
    assert breakers.refusal(spec) is None
    assert await hear(spec, "t2-i0") == "tok 0 tok 1 "


def test_the_other_processes_are_told_by_a_name_that_hides_the_key(settings):
    fail(3)
    wait_until(lambda: valkey.client().zcard(breakers.SHARED) == 1)
    assert b"sk-test" not in valkey.client().zrange(breakers.SHARED, 0, -1)[0]
    breakers.forget()  # as another process, which heard nothing fail
    assert breakers.refusal(SPEC) is not None
    fail(1)
    breakers.succeeded(SPEC)
    assert breakers.refusal(ProviderSpec("openai", "openai", "http://elsewhere/v1")) is None


def test_a_provider_that_answers_again_is_told_too():
    fail(3)
    wait_until(lambda: valkey.client().zcard(breakers.SHARED) == 1)
    breakers.succeeded(SPEC)
    wait_until(lambda: valkey.client().zcard(breakers.SHARED) == 0)


def test_without_valkey_a_process_knows_what_it_found_itself(monkeypatch):
    class Away:
        def zrangebyscore(self, *_, **__):
            raise OSError("away")

    monkeypatch.setattr(valkey, "quick", Away)
    assert breakers.refusal(SPEC) is None
    fail(3)
    assert breakers.refusal(SPEC) is not None


def test_the_brain_passes_over_it_and_says_why(workspace, server, settings, client_of, member):
    settings.OPENAI_BASE_URL = server.base_url
    assert brain.choose(workspace, asked="t5-i0").provider.name == "openai"
    fail(3, spec=brain.choose(workspace, asked="t5-i0").provider)
    with pytest.raises(brain.BrainUnavailable, match="openai failed again and again"):
        brain.choose(workspace, asked="t5-i0")
    listed = client_of(member).get("/v1/ai/models").json()
    assert [one["id"] for one in listed["models"]] == ["rehearsal", "rehearsal-reasoning"]
    silent = client_of(member).get("/v1/ai/info").json()["unavailable"]
    assert [(one["provider"], one["code"]) for one in silent] == [("openai", "provider_unavailable")]
