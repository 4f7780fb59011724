"""The offline provider: honest, repeatable, and able to fail."""

import asyncio
import dataclasses

import pytest

from agents.events import ReasoningDelta, TextDelta, Usage
from agents.providers import provider_for
from agents.providers.base import (
    ChatMessage,
    ChatRequest,
    FirstTokenTimeout,
    ProviderError,
    ProviderRateLimited,
    ProviderSpec,
    ProviderUnauthorized,
    ProviderUnavailable,
    Stalled,
    StreamCut,
    StreamMalformed,
)
from tests.agents.conftest import ask

SPEC = ProviderSpec("rehearsal", "rehearsal", offline=True)


async def hear(request, spec=SPEC):
    return [event async for event in provider_for(spec).stream(request)]


def text(events):
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def quick(said, model="rehearsal", system=""):
    return ask(model, f"{said} [[rehearse: interval=0]]", system)


async def test_its_first_sentence_says_what_it_is():
    events = await hear(quick("Dim the lights, please.", system="You are Hestia.\n\nCalm."))
    said = text(events)
    assert said.startswith("This is a rehearsal: no model was asked.")
    assert "“Dim the lights, please.”" in said
    assert "Hestia" in said
    assert isinstance(events[-1], Usage)
    assert events[-1].cost_usd == 0


async def test_the_same_message_gets_the_same_answer_word_by_word():
    first, second = await hear(quick("Hi")), await hear(quick("Hi"))
    assert first == second
    assert len([event for event in first if isinstance(event, TextDelta)]) == len(text(first).split())


@pytest.mark.parametrize(
    "said", ["", "   ", "\n\n", "]]", "[[rehearse:]]", "[[rehearse: tokens=]]", "🙂" * 5000, "[[rehearse: tokens=٣]]"]
)
async def test_it_answers_any_text(said):
    assert text(await hear(quick(said))).startswith("This is a rehearsal")


async def test_it_answers_a_conversation_without_a_word_of_the_person():
    assert text(await hear(ChatRequest("rehearsal", ()))).startswith("This is a rehearsal")


async def test_it_tells_what_is_remembered_of_the_person_and_recites_no_answer_of_its_own():
    first = text(await hear(quick("Where do I live?")))
    remembered = "\n".join(
        ["Who they are:", "- home: Lives in Oslo.", "What happened:", "[2026-01-02, person] I moved.",
         "[2026-01-03, noted] Has a cat.",
         f"[2026-01-02, you] {' '.join(first.split())}"]
    )  # fmt: skip
    asked = ChatMessage("user", "Where do I live? [[rehearse: interval=0]]")
    told = text(await hear(ChatRequest("rehearsal", (ChatMessage("user", remembered, recalled=True), asked))))
    known = ["- home: Lives in Oslo.", "- On 2026-01-02 you said: I moved.", "- Noted on 2026-01-03: Has a cat."]
    assert "\n\n" + "\n".join(known) + "\n\n" in told, "each on its own line of a list"
    assert "It would know 1 earlier answer of the companion, too." in told
    assert told.count("This is a rehearsal") == 1
    assert "always" not in told, "what it is told changes what it says"


@pytest.fixture
async def slept(monkeypatch):
    """The seconds of the pauses of this loop, of which none is made."""
    pauses = []
    ours, real = asyncio.get_running_loop(), asyncio.sleep

    async def sleep(seconds):
        if asyncio.get_running_loop() is ours:
            pauses.append(seconds)
        else:  # another thread's loop goes on as it does
            await real(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    return pauses


async def test_tokens_and_interval_are_followed(slept):
    events = await hear(ask("rehearsal", "[[rehearse: tokens=20 interval=10]]"))
    assert len(text(events).split()) == 20
    assert text(events).startswith("This is a rehearsal: no model was asked. word1 word2")
    assert sum(slept) == pytest.approx(0.19)


async def test_it_thinks_aloud_when_asked_to_and_as_the_reasoning_model():
    for request in (quick("[[rehearse: reason]]"), quick("Hi", model="rehearsal-reasoning")):
        events = await hear(request)
        assert isinstance(events[0], ReasoningDelta)
        assert text(events).startswith("This is a rehearsal")


async def test_a_direction_that_it_does_not_know_is_named():
    assert "I do not know the direction 'tokns=5'" in text(await hear(quick("[[rehearse: tokns=5]]")))


async def test_only_the_last_message_directs():
    messages = (ChatMessage("user", "[[rehearse: cut]]"), ChatMessage("assistant", "Oh"), ChatMessage("user", "Hi"))
    assert "2 messages" in text(await hear(ChatRequest("rehearsal", messages)))


@pytest.mark.parametrize(
    ("direction", "kind"),
    [
        ("fail=rate_limit", ProviderRateLimited),
        ("fail=unauthorized", ProviderUnauthorized),
        ("fail=unavailable", ProviderUnavailable),
        ("fail=malformed", StreamMalformed),
        ("fail=error", ProviderError),
        ("cut", StreamCut),
        ("stall", Stalled),
    ],
)
async def test_it_fails_on_request_after_so_many_words(direction, kind):
    spec = dataclasses.replace(SPEC, between_tokens_seconds=0.02)
    said = []

    async def listen():
        async for event in provider_for(spec).stream(quick(f"[[rehearse: {direction} after=3]]")):
            said.append(event)

    with pytest.raises(ProviderError) as caught:
        await listen()
    assert (text(said), type(caught.value)) == ("This is a ", kind)


async def test_a_stall_from_the_start_is_a_missing_first_token():
    with pytest.raises(FirstTokenTimeout):
        await hear(quick("[[rehearse: stall]]"), dataclasses.replace(SPEC, first_token_seconds=0.02))


async def test_a_stall_can_be_cancelled():
    task = asyncio.create_task(hear(quick("[[rehearse: stall after=1]]")))
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    "said",
    ["[[rehearse:" * 18_000, "[[" * 100_000, "[[ rehearse: reason]] " * 9_000, " " * 200_000, "\n" * 199_999 + "x"],
)
@pytest.mark.timeout(20, func_only=True)
async def test_no_message_holds_the_loop(said):
    messages = tuple(ChatMessage("user", said) for _ in range(50))
    request = ChatRequest("rehearsal", messages, "You are " * 20_000)
    events = provider_for(SPEC).stream(request)
    assert isinstance(await anext(events), TextDelta | ReasoningDelta)
    await events.aclose()


async def test_a_rehearsal_of_long_pauses_ends_within_two_minutes(slept):
    directions = "tokens=20000 interval=60000 first=60000 after=20000 reason stall"
    with pytest.raises(Stalled):
        await hear(ask("rehearsal", f"[[rehearse: {directions}]]"))
    assert len(slept) > 20_000
    assert sum(slept) <= 120.001
