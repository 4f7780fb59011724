"""One run of many whose words can be neither stored nor told: it fails alone, and whoever reads it hears so once."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from agents.events import RunCompleted, RunFailed, Status, TextDelta
from approvals.services import approvals, policies
from chat import engine, eventlog, following
from chat.answering import Answerer
from chat.engine import Engine
from chat.models import Message, Run, RunState
from chat.runner import Runner
from chat.services import client_tools, finishing, leases, runs
from chat.services.leases import Checkpoint
from chat.writer import Writer
from core import ids, valkey
from tests.chat.engines import ends, read, working
from tests.servers.openai_server import wait_until
from tests.servers.threads import bridged

SLOW = "Hello [[rehearse: tokens=40 interval=25]]"
POISONS = [object(), "\x00", "\ud800", 10**5000]
NAMES = ["no JSON", "a zero byte", "half a character", "a number without end"]

pytestmark = pytest.mark.django_db(transaction=True)


def poisoned(monkeypatch, kind: type, name: str, run: Run, poison: Callable) -> None:
    """Have a method of a run's runner give something else."""
    method = getattr(kind, name)

    def patched(self, *args, **more):
        given = method(self, *args, **more)
        return poison(given) if self.claim.run_id == run.pk else given

    monkeypatch.setattr(kind, name, patched)


def assert_failed_alone(one: Engine, sick: Run, sound: Run) -> None:
    """The sick run failed and each of its readers is told so once, by its number; the other is whole."""
    live = read(one, sick)
    assert isinstance(ends(read(one, sound))[-1][1], RunCompleted)
    sick.refresh_from_db()
    assert (sick.state, sick.error_code) == (RunState.FAILED, "internal_error")
    for told in (live, read(one, sick), read(one, sick, after=sick.seq - 1)):
        [(number, event)] = ends(told)
        assert isinstance(event, RunFailed)
        assert (number, event.code) == (sick.seq, "internal_error")
        assert event.message
    sound.refresh_from_db()
    assert Message.objects.get(pk=sound.answer_id).content
    assert not one.runners


@pytest.mark.parametrize("poison", POISONS, ids=NAMES)
def test_an_answer_that_cannot_be_stored_fails_alone_and_its_readers_hear_of_it(say, monkeypatch, poison):
    sick, sound = say(), say()
    part = {"type": "tool_call", "call_id": "c", "name": "n", "arguments": {"x": poison}}
    poisoned(monkeypatch, Runner, "_outcome", sick, lambda outcome: replace(outcome, parts=[part]))
    monkeypatch.setattr(following, "SILENCE", 3600)  # nobody looks it up
    with bridged(), working(monkeypatch) as one:
        live = read(one, sick)
        assert isinstance(live[-1][1], RunFailed)
        assert_failed_alone(one, sick, sound)


@pytest.mark.parametrize("poison", POISONS, ids=NAMES)
def test_a_draft_that_cannot_be_stored_costs_no_other_run_its_lease(say, monkeypatch, settings, poison):
    settings.RUN_CHECKPOINT_SECONDS = 0.05
    sick, sound = say(SLOW), say(SLOW)
    part = {"type": "text", "text": poison}

    def spoil(point: Checkpoint) -> Checkpoint:
        return replace(point, parts=[part])

    poisoned(monkeypatch, Runner, "checkpoint", sick, spoil)
    with bridged(), working(monkeypatch) as one:
        assert_failed_alone(one, sick, sound)


def test_an_event_that_cannot_be_written_silences_no_other_run(say, monkeypatch):
    sick, sound = say(), say(SLOW)
    turn = Answerer.turn

    async def odd(self, parts, tools):
        async for event in turn(self, parts, tools):
            yield event
            if self._claim.run_id == sick.pk:
                yield Status(label=object())
                await asyncio.sleep(20)

    monkeypatch.setattr(Answerer, "turn", odd)
    with bridged(), working(monkeypatch) as one:
        assert_failed_alone(one, sick, sound)


async def test_whatever_happens_the_writer_goes_on(monkeypatch):
    writer = Writer()
    flush, raised = writer._flush, []

    async def broken(**more) -> bool:
        if not raised:
            raised.append(True)
            raise RuntimeError("a fault of ours")
        return await flush(**more)

    monkeypatch.setattr(writer, "_flush", broken)
    log = writer.open(ids.new(), ids.new(), 1, 0)
    log.append(TextDelta("one"))
    try:
        key = eventlog.key(log._run[0])
        await asyncio.to_thread(wait_until, lambda: valkey.client().exists(key))
    finally:
        await writer.stop()
    assert raised


def test_a_part_of_the_sweep_that_fails_keeps_no_other_from_its_work(monkeypatch, settings, caplog):
    settings.RUN_SWEEP_SECONDS = 0.05
    swept: list[str] = []

    def broken(name: str) -> Callable:
        def fail(*args, **more):
            if name != "claim" or more.get("lapsed"):
                swept.append(name)
                raise RuntimeError(name)
            return []

        return fail

    parts = {
        "claim": leases, "buried": finishing, "stop_below": runs, "escalate_due": approvals, "expire_due": approvals,
        "rejudge_ended": policies,
    }  # fmt: skip
    for name, module in parts.items():
        monkeypatch.setattr(module, name, broken(name))
    monkeypatch.setattr(client_tools, "expire_due", broken("clients"))
    monkeypatch.setattr(engine.Executor, "sweep", broken("actions"))
    with bridged(), working(monkeypatch):
        wait_until(lambda: {*parts, "clients", "actions"} <= set(swept))
    assert "worker cannot bury" in caplog.text
