"""How well a memory answers a question: a weighted sum of parts, each from 0 to 1. Pure functions.

Words count by how rare they are with this owner, and where what was said just before or after has them they count
for what stands between, too: people answer "Lisbon, in May!" and do not say again what was asked.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from heapq import nlargest
from operator import mul

from memory import signs
from memory.questions import Question

NEAREST = 100  # by meaning, among which the last counts nothing
POOL = 100  # the best by words that are weighed

BY_WORDS = 0.4  # of what makes the best of a session; meaning is the rest

PARTS = (
    "words", "share", "before", "after", "earlier", "meaning", "next", "session", "speaker", "date", "answers",
    "asks", "when", "where", "personal", "time", "name",
)  # fmt: skip
SIGN = {sign: 1 << place for place, sign in enumerate(signs.ALL)}


@dataclass(slots=True)
class Cell:
    """What is weighed of an entry.

    `mask` has a bit for each of the question's concepts that it says; `signs` one for each sign (`SIGN`). `meaning`
    is the cosine of its vector with the question's, none where it is not among the nearest. `place` is the
    conversation and the place in it, `day` the session's: a conversation's day. `date` says how well its day fits.
    """

    id: str
    place: tuple[str, int]
    session: tuple[str, int]
    speaker: str
    mask: int
    signs: int
    answers: bool
    date: float = 0.0
    meaning: float | None = None


@dataclass(frozen=True, slots=True)
class Scored:
    """An entry's score, and the values of its parts, in the order of PARTS."""

    cell: Cell
    score: float
    values: tuple[float, ...]


def scored(cells: Sequence[Cell], question: Question, *, worth: "Worth", weights: Mapping[str, float]) -> list[Scored]:
    """The pool of these entries, the best first."""
    most = max((worth(cell.mask) for cell in cells), default=0.0) or 1.0
    meaning = _meanings(cells)
    pool = _pool(cells, worth)
    sessions = _sessions(pool, worth, most, meaning)
    places = {cell.place: cell for cell in cells}
    each = [weights[part] for part in PARTS]
    meant, whole, asked = meaning.get, worth.whole, question.asked
    weighed = []
    for cell in pool:
        before, after, earlier = _near(cell, places)
        own, seen = worth(cell.mask), cell.mask
        new = (before.mask & ~seen) if before else 0
        seen |= new
        of_before = worth(new) / most if new else 0.0
        new = (after.mask & ~seen) if after else 0
        seen |= new
        of_after = worth(new) / most if new else 0.0
        new = (earlier.mask & ~seen) if earlier else 0
        values = (
            own / most,
            own / whole,
            of_before,
            of_after,
            worth(new) / most if new else 0.0,
            meant(cell.id, 0.0),
            meant(after.id, 0.0) if after else 0.0,
            sessions[cell.session],
            1.0 if cell.speaker in asked else 0.0,
            cell.date,
            1.0 if cell.answers else 0.0,
            *_of_signs(cell.signs, question.when, question.where),
        )
        weighed.append((-sum(map(mul, each, values)), cell.id, cell, values))
    weighed.sort()
    return [Scored(cell, -score, values) for score, _, cell, values in weighed]


def parts(scored: Scored, weights: Mapping[str, float]) -> dict[str, float]:
    """What a score is the sum of, by name; parts that count nothing are left out."""
    return {part: weights[part] * value for part, value in zip(PARTS, scored.values, strict=True) if value}


class Worth:
    """What sets of concepts are worth: each by how rare it is, as BM25 has it.

    `said` is for each concept how many entries say it, `total` how many there are.
    """

    def __init__(self, said: Sequence[int], *, total: int) -> None:
        self._each = [math.log(1 + (max(total - count, 0) + 0.5) / (count + 0.5)) for count in said]
        self._known: dict[int, float] = {}
        self.whole = sum(self._each) or 1.0

    def __call__(self, mask: int) -> float:
        known = self._known.get(mask)
        if known is None:
            known = self._known[mask] = sum(worth for bit, worth in enumerate(self._each) if mask >> bit & 1)
        return known


def _meanings(cells: Iterable[Cell]) -> dict[str, float]:
    """How near each entry's meaning is, from 0 for the last of the nearest to 1 for the first."""
    nearest = {cell.id: cell.meaning for cell in cells if cell.meaning is not None}
    low, high = min(nearest.values(), default=0.0), max(nearest.values(), default=0.0)
    return {key: (meaning - low) / ((high - low) or 1.0) for key, meaning in nearest.items()}


def _pool(cells: Sequence[Cell], worth: Worth) -> list[Cell]:
    """The best by their own words, and all that came for another reason."""
    by_words = nlargest(POOL, (cell for cell in cells if cell.mask), key=lambda cell: worth(cell.mask))
    others = (cell for cell in cells if not cell.mask or cell.date or cell.meaning is not None)
    return list({cell.id: cell for cell in (*by_words, *others)}.values())


def _sessions(
    pool: Iterable[Cell], worth: Worth, most: float, meaning: Mapping[str, float]
) -> dict[tuple[str, int], float]:
    """How well the best of each session fits: what is asked about was talked of at length."""
    by_words = BY_WORDS if meaning else 1.0
    best: dict[tuple[str, int], float] = {}
    for cell in pool:
        fits = by_words * worth(cell.mask) / most + (1 - by_words) * meaning.get(cell.id, 0.0)
        best[cell.session] = max(best.get(cell.session, 0.0), fits)
    return best


def _near(cell: Cell, places: Mapping[tuple[str, int], Cell]) -> tuple[Cell | None, Cell | None, Cell | None]:
    """What was said before it, after it, and before that, in its session."""
    (talk, seq), session = cell.place, cell.session
    before, after, earlier = places.get((talk, seq - 1)), places.get((talk, seq + 1)), places.get((talk, seq - 2))
    return (
        before if before and before.session == session else None,
        after if after and after.session == session else None,
        earlier if earlier and earlier.session == session else None,
    )


@lru_cache(maxsize=4 << len(signs.ALL))
def _of_signs(marks: int, when: bool, where: bool) -> tuple[float, ...]:
    of = {sign: float(bool(marks & bit)) for sign, bit in SIGN.items()}
    asks = of[signs.ASKS] or of[signs.HALF] / 2
    return (
        asks, when * of[signs.TIME], where * of[signs.PLACE],
        of[signs.ME], of[signs.TIME], of[signs.NAME],
    )  # fmt: skip
