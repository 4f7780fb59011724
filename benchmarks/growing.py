"""What recall, keeping and embedding cost as tables grow: made-up entries of a thousand owners.

Each size is filled anew, owners' entries interleaved as they come in life. Texts are of a vocabulary in which few
words are said often; their vectors are the embedder's, of as many texts as are needed to be unlike.
"""

import os
import random
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from django.db import connection

from accounts.models import User, Workspace
from agents.models import Agent
from benchmarks import report
from benchmarks.answers import percentile
from companions.models import Companion
from core import ids
from memory import embedders, recall, terms
from memory.fields import halfvec
from memory.models import Owner
from memory.services import embedding, keeping
from memory.services.keeping import Told, Whose

OWNERS = 1_000
LARGE = 10_000  # entries of the one large owner
TEXTS = 4_096  # a power of two
VOCABULARY = 6_000
ASKED = 200
KEPT = 1_000
SYLLABLES = [consonant + vowel for consonant in "bdfgklmnprst" for vowel in "aeio"]

# Of large tables one row in so many is the large owner's; the rest go round the others, the measured one among them.
_FILL = """
INSERT INTO memory_entry (id, owner_id, layer, kind, text, speaker, language, said_at, conversation_id, message_id, seq,
    content_hash, terms, embedding, embedder)
SELECT gen_random_uuid(), owner.id, 'history', 'message', bank.text,
    CASE row.n %% 2 WHEN 0 THEN 'person' ELSE 'companion' END, 'en', now() - row.n * interval '1 minute',
    md5(owner.id || ' ' || row.turn / 30)::uuid, gen_random_uuid(), row.turn %% 30, md5(row.n::text),
    array_to_tsvector(ARRAY(
        SELECT 'o' || owner.id || '_' || term FROM unnest(bank.terms) AS term)), bank.vector, %(embedder)s
FROM (
    SELECT n, CASE WHEN n %% %(every)s = 0 THEN 0 ELSE 1 + n %% %(small)s END AS place,
        n / CASE WHEN n %% %(every)s = 0 THEN %(every)s ELSE %(small)s END AS turn
    FROM generate_series(%(first)s, %(last)s) AS n) AS row
JOIN bench_owner AS owner ON owner.place = row.place
JOIN bench_text AS bank ON bank.n = hashint8(row.n) & (%(texts)s - 1)
"""


@dataclass(frozen=True, slots=True)
class Size:
    """What a recall takes at so many rows, in milliseconds, and what a row takes, in bytes."""

    rows: int
    small: tuple[float, float]
    large: tuple[float, float] | None
    row_bytes: float


def tables(sizes: Sequence[int], *, tell: Callable[[str], None]) -> list[str]:
    """The costs as Markdown."""
    bank = _Bank()
    measured = []
    for rows in sizes:
        tell(f"{rows:,} rows")
        measured.append(bank.at(rows))
    kept, made = _ingested(bank.owners[1])
    seconds, megabytes = _loaded()
    base = measured[min(1, len(measured) - 1)]
    head = ["rows", "owner of 1,000: p50 / p95, ms", "owner of 10,000: p50 / p95, ms", "bytes a row, indexes and all"]
    lines = [
        [
            f"{one.rows:,}",
            f"{one.small[0]:.1f} / {one.small[1]:.1f}",
            f"{one.large[0]:.1f} / {one.large[1]:.1f}" if one.large else "–",
            f"{one.row_bytes:,.0f}",
        ]
        for one in measured
    ]
    return [
        "### What it costs",
        report.table(head, lines),
        "A whole recall of 10, the question's vector included. "
        f"At {measured[-1].rows:,} rows it takes {measured[-1].small[0] / base.small[0]:.2f} times what it takes at "
        f"{base.rows:,}. Kept: {kept:,.0f} messages a second, a statement each; embedded: {made:,.0f} a second on one "
        f"core. The embedder loads in {seconds:.2f} s and takes {megabytes:.0f} MB.",
    ]


class _Bank:
    """Owners and texts that tables are filled from."""

    def __init__(self) -> None:
        dice = random.Random(5)
        vocabulary = ["".join(dice.choices(SYLLABLES, k=dice.randint(2, 4))) for _ in range(VOCABULARY)]
        often = list(accumulate(1 / (place + 10) for place in range(VOCABULARY)))
        lengths = [dice.randint(6, 24) for _ in range(TEXTS)]
        self.texts = [" ".join(dice.choices(vocabulary, cum_weights=often, k=length)) for length in lengths]
        self.owners = _owners()
        vectors = embedders.current().embed(self.texts)
        with connection.cursor() as cursor:
            cursor.execute("CREATE TEMP TABLE bench_owner (place int PRIMARY KEY, id bigint)")
            places = [(place, one.pk) for place, one in enumerate(self.owners)]
            cursor.executemany("INSERT INTO bench_owner VALUES (%s, %s)", places)
            cursor.execute(
                "CREATE TEMP TABLE bench_text (n int PRIMARY KEY, text text, terms text[], vector halfvec(384))"
            )
            cursor.executemany(
                "INSERT INTO bench_text VALUES (%s, %s, %s, %s::halfvec)",
                [
                    (n, text, sorted(set(terms.stems(text))), halfvec(vector.tolist()))
                    for n, (text, vector) in enumerate(zip(self.texts, vectors, strict=True))
                ],
            )

    def at(self, rows: int) -> Size:
        """Fill a table of so many rows, and ask."""
        large = rows >= 10 * LARGE
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE memory_entry CASCADE")
            for first in range(0, rows, 50_000):
                cursor.execute(
                    _FILL,
                    {
                        "embedder": embedders.current().name, "every": rows // LARGE + 1 if large else rows + 1,
                        "small": rows // 1_000 - (9 if large else 0),
                        "first": first, "last": min(first + 50_000, rows) - 1, "texts": TEXTS,
                    },
                )  # fmt: skip
            cursor.execute("VACUUM ANALYZE memory_entry")
            cursor.execute("SELECT pg_total_relation_size('memory_entry')")
            (size,) = cursor.fetchone()
        return Size(rows, self._asked(self.owners[1]), self._asked(self.owners[0]) if large else None, size / rows)

    def _asked(self, owner: Owner) -> tuple[float, float]:
        dice, times = random.Random(6), []
        for number in range(ASKED + 20):
            question = " ".join(dice.sample(dice.choice(self.texts).split(), 5))
            before = time.perf_counter()
            recall.recall([owner], question, limit=10)
            if number >= 20:
                times.append((time.perf_counter() - before) * 1000)
        return percentile(times, 50), percentile(times, 95)


def _owners() -> list[Owner]:
    workspace = Workspace.objects.create(name="Growing", slug=f"growing-{uuid.uuid4().hex[:8]}")
    agent = Agent.objects.create(workspace=workspace, slug="growing", name="Growing")
    companion = Companion.objects.create(workspace=workspace, type="growing", name="Hestia", agent=agent)
    people = User.objects.bulk_create(
        User(email=f"{n}@{workspace.slug}.example", name=f"Person {n}") for n in range(OWNERS)
    )
    return Owner.objects.bulk_create(Owner(workspace=workspace, user=one, companion=companion) for one in people)


def _ingested(owner: Owner) -> tuple[float, float]:
    """Messages kept a second, a statement each, and embedded a second."""
    whose = Whose(owner.workspace_id, owner.user_id, owner.companion_id)
    talk, text = ids.new(), "Yesterday I went to the market with my sister and we bought {} oranges."
    before = time.perf_counter()
    for number in range(KEPT):
        keeping.keep([(whose, Told(talk, ids.new(), "person", text.format(number)))])
    kept = KEPT / (time.perf_counter() - before)
    before, made = time.perf_counter(), 0
    while done := embedding.embed_missing():
        made += done
    return kept, made / (time.perf_counter() - before)


def _loaded() -> tuple[float, float]:
    """Seconds until a new process has its first vector, and MB that it grew by."""
    code = (
        "import django; django.setup(); import resource, time; from memory import embedders;"
        "seen = lambda: int(open('/proc/self/statm').read().split()[1]) * resource.getpagesize() / 1e6;"
        "before, at = seen(), time.perf_counter(); embedders.current().embed_query('hello');"
        "print(time.perf_counter() - at, seen() - before)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    seconds, megabytes = map(float, told.stdout.split())
    return seconds, megabytes
