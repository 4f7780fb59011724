"""How long one stretch of a run takes, told once it begins to speak and once it ended."""

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from chat.models import RunState
from chat.services.finishing import Outcome
from chat.services.leases import Claim
from core import measures

R = TypeVar("R")
Done = Callable[[R, Outcome | None], None]


class Stretch:
    """From when the run could start, or go on, as the database's clock has it."""

    def __init__(self, claim: Claim) -> None:
        self._claim = claim
        self._since = time.monotonic() - claim.waited
        # Whoever waits for a team's member, or reads on after a wait, has been told something before.
        self._first = claim.attempt == 1 and not claim.resumed and claim.root_id is None

    async def over(self, work: Callable[[Done[R]], Awaitable[None]], done: Done[R]) -> None:
        """Do the run's work within its span."""

        def told(runner: R, outcome: Outcome | None) -> None:
            state = outcome.state.value if outcome else "let go"
            self._claim.span.note({"countersign.outcome": state})
            if outcome and outcome.state == RunState.FAILED:
                self._claim.span.fail(outcome.error_code)
            done(runner, outcome)

        with self._claim.span:
            await work(told)

    def first_word(self) -> None:
        """The answer's first piece is there."""
        if self._first:
            measures.RUN_FIRST_WORD.observe(time.monotonic() - self._since)

    def ended(self, outcome: Outcome) -> None:
        """How it ended is stored."""
        measures.RUNS_ENDED.add(outcome.state.value)
        if not self._claim.resumed:
            measures.RUN_SECONDS.observe(time.monotonic() - self._since, outcome.state.value)
