"""What is asked for: calls of tools, numbered, each with a fate that follows from its number and the seed."""

import json
import threading
from dataclasses import dataclass
from random import Random

EDITED = 1_000_000  # is added to the number of a call by whoever edits it
MOST_AT_ONCE = 4

# How often, of a hundred calls. `how` is heeded by the policies of the campaign, see setup.
TOOLS = {"chaos_keyed": 48, "chaos_unkeyed": 44, "chaos_look": 8}
HOWS = {"ask": 60, "free": 18, "two": 10, "short": 8, "never": 4}
VERBS = {"approve": 66, "reject": 12, "edit": 8, "respond": 4, "race": 10}
LATE_VERBS = {"approve": 20, "late": 40, "ignore": 40}

POLICIES = [
    {"name": "Chaos: free", "condition": "args.how == 'free'", "effect": "allow", "covers_advisors": True},
    {"name": "Chaos: two", "condition": "args.how == 'two'", "effect": "ask", "quorum_approve": 2},
    {"name": "Chaos: short", "condition": "args.how == 'short'", "effect": "ask", "request_lasts": 4},
    {"name": "Chaos: never", "condition": "args.how == 'never'", "effect": "deny"},
]


@dataclass(frozen=True)
class Planned:
    """A call, and what the managers will say to it."""

    n: int
    tool: str
    how: str
    verb: str

    @property
    def directive(self) -> str:
        """The call as the rehearsal is directed to make it."""
        return f"call={self.tool} {json.dumps({'n': self.n, 'how': self.how})}"


class Workload:
    """The calls that are still to be asked for. Threads take them as far as is `granted`, so that faults keep step."""

    def __init__(self, seed: str, actions: int) -> None:
        self.actions, self.planned, self.granted = actions, 0, 0
        self._seed = seed
        self._changed = threading.Condition()

    def grant(self, calls: int) -> None:
        """Let so many calls be asked for, of all that there are."""
        with self._changed:
            self.granted = min(calls, self.actions)
            self._changed.notify_all()

    def close(self) -> None:
        """Nothing more is asked for."""
        with self._changed:
            self.actions = self.planned
            self._changed.notify_all()

    def take(self, *, alone: bool) -> list[Planned]:
        """The calls of the next message; none where all were asked for. `alone`: there is but one to decide on them."""
        with self._changed:
            self._changed.wait_for(lambda: self.planned < self.granted or self.planned >= self.actions)
            first = self.planned + 1
            count = min(Random(f"{self._seed} {first}").randint(1, MOST_AT_ONCE), self.actions - self.planned)
            self.planned += count
        calls = [self.plan(n) for n in range(first, first + count)]
        return [Planned(one.n, one.tool, "ask", "approve") if alone and one.how == "two" else one for one in calls]

    def plan(self, n: int) -> Planned:
        """The fate of a call, whichever arguments it came to have."""
        n %= EDITED
        rng = Random(f"{self._seed} call {n}")
        tool, how = _drawn(rng, TOOLS), _drawn(rng, HOWS)
        return Planned(n, tool, how, _drawn(rng, LATE_VERBS if how == "short" else VERBS))


def _drawn(rng: Random, weights: dict[str, int]) -> str:
    return rng.choices(list(weights), list(weights.values()))[0]
