"""A worker's attempt at a run in the test's own process, and what its readers were told."""

import asyncio
from datetime import UTC, datetime
from uuid import UUID

from agents.events import Event
from chat.eventlog import decode, key
from chat.runner import Runner, ending
from chat.services import finishing, leases
from chat.writer import Writer
from core import valkey


class LateWriter(Writer):
    """Appends what it holds when it is stopped, all at once: nobody reads along."""

    async def _flush_for_ever(self) -> None:
        await asyncio.Event().wait()


def attempt() -> finishing.Outcome | None:
    """An attempt at the run that is ready; its outcome is stored."""
    [claim] = leases.claim("test", limit=1)

    async def work():
        writer, ended = LateWriter(), asyncio.get_running_loop().create_future()
        Runner(claim, writer, lambda: None).start(lambda _, outcome: ended.set_result(outcome))
        try:
            return await asyncio.wait_for(ended, 20)
        finally:
            await writer.stop()

    outcome = asyncio.run(work())
    if outcome is not None:
        finishing.finish([outcome])
    return outcome


def told(run_id: UUID) -> list[Event]:
    """What the readers of a run were told, without its end."""
    entries = valkey.client().xrange(key(str(run_id)))
    return [event for _, fields in entries for event in decode(fields[b"b"]).events]


def end(outcome: finishing.Outcome) -> Event:
    """How its readers are told of an outcome."""
    return ending(outcome, datetime.now(UTC))[-1]
