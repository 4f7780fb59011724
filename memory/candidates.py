"""Which memories are weighed: of these owners alone, what says the words, follows that, means the like, was said then.

No approximate index is asked: terms carry their owner's number, and vectors are compared with all of the owner's, which
costs the same however many others there are (docs/decisions/0021-recall.md).
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from core import prepared
from memory import dates, embedders, signs, terms
from memory.fields import halfvec
from memory.questions import Question
from memory.scoring import NEAREST, Cell, Worth

WORDED = 300  # entries that say the question's words
FOLLOWED = 40  # of the best of them, those that follow are looked at
SEEN = 200  # messages of the conversation at hand that its model sees anyway
DATED = 200  # entries that are looked at for their day alone

_LIVE = """entry.owner_id = ANY(%(owners)s) AND entry.status = 'active' AND entry.layer = ANY(%(layers)s)
    AND (entry.expires_at IS NULL OR entry.expires_at > statement_timestamp())
    AND (entry.conversation_id IS DISTINCT FROM %(but)s::uuid OR entry.message_id IS NULL OR entry.seq <= (
        SELECT max(seq) - %(seen)s FROM memory_entry WHERE conversation_id = %(but)s::uuid))"""
_OF_OWNER = _LIVE.replace("owner_id", "owner_id + 0")
_SEEN = """entry.id, entry.conversation_id, entry.seq, entry.speaker, entry.said_at, entry.terms,
    entry.context <> '' AS answers"""
# "+ 0" has the index read that finds few, and not all of the owner's with it or instead of it, even where PostgreSQL
# has not counted yet how much there is: terms name their owner, and a conversation has one. Of what says one of
# the words the best are taken by how rare the words are with these owners; equal masks are worth the same.
_BY_WORDS = f"""worded AS MATERIALIZED (
    SELECT {_SEEN}, NULL::float8 AS meaning, {{mask}} AS mask FROM memory_entry AS entry
    WHERE entry.terms @@ %(any)s::tsquery AND {_OF_OWNER}),
kinds AS MATERIALIZED (SELECT mask, count(*) AS entries FROM worded GROUP BY mask),
said AS MATERIALIZED (
    SELECT bit, coalesce(sum(entries) FILTER (WHERE mask >> bit & 1 = 1), 0) AS entries
    FROM kinds RIGHT JOIN generate_series(0, %(last)s) AS bit ON true GROUP BY bit),
worths AS (
    SELECT mask, sum(ln(1 + (total.entries - said.entries + 0.5)::float8 / (said.entries + 0.5)::float8)) AS worth
    FROM kinds JOIN said ON mask >> bit & 1 = 1 CROSS JOIN total GROUP BY mask),
best AS MATERIALIZED (
    SELECT worded.* FROM worded JOIN worths USING (mask) ORDER BY worth DESC, id DESC LIMIT %(worded)s), """
_BEST = "SELECT id, conversation_id, seq, speaker, said_at, terms, answers, meaning FROM best"
# What was said next after those that say the most of the question: an answer rarely says the words of its question.
_NEXT = f"""SELECT {_SEEN}, NULL::float8 FROM (SELECT conversation_id, seq FROM best LIMIT %(next)s) AS said
    CROSS JOIN LATERAL (SELECT * FROM memory_entry AS entry WHERE entry.conversation_id = said.conversation_id
        AND entry.seq BETWEEN said.seq + 1 AND said.seq + 2 AND {_OF_OWNER}) AS entry"""
# The inner query is answered by the index `vectors_of_owner` alone, in which an owner's vectors lie side by side.
_BY_MEANING = f"""SELECT {_SEEN}, near.meaning FROM (
        SELECT entry.id, 1 - (entry.embedding <=> %(vector)s::halfvec) AS meaning FROM memory_entry AS entry
        WHERE {_LIVE} AND entry.embedder = %(embedder)s ORDER BY meaning DESC LIMIT %(nearest)s
    ) AS near JOIN memory_entry AS entry ON entry.id = near.id"""
_BY_DAY = f"""SELECT {_SEEN}, NULL::float8 FROM memory_entry AS entry
    WHERE {_LIVE} AND ({{days}}) ORDER BY entry.said_at DESC LIMIT %(dated)s"""
# What the terms are asked is written once, at the end: to plan it for each of the four took longer than to run it.
_LOOKED_AT = """WITH total AS MATERIALIZED (
    SELECT count(*) AS entries FROM memory_entry WHERE owner_id = ANY(%(owners)s)),
{worded}looked_at AS MATERIALIZED ({arms})
SELECT id::text, coalesce(conversation_id, id)::text, seq, speaker, said_at::date - DATE '0001-01-01' + 1,
    {mask}, {signs}, answers, meaning, {counts}
FROM looked_at AS entry"""
_COUNTED = (
    "(SELECT concat_ws(',', min(total.entries), string_agg(said.entries::text, ',' ORDER BY bit)) FROM total, said)"
)
_TOTAL = "(SELECT entries::text FROM total)"


def find(
    owners: Sequence[int], question: Question, *, layers: Collection[str], but: UUID | None = None
) -> tuple[list[Cell], Worth]:
    """The live entries of these layers that are weighed, and what the words are worth.

    Not among them are the newest messages of one conversation, `but`.
    """
    statement, parameters = _statement(question, owners)
    parameters |= {"owners": list(owners), "layers": list(layers), "but": but, "seen": SEEN}
    rows = prepared.execute(statement, parameters).fetchall()
    total, *said = map(int, rows[0][-1].split(",")) if rows else (0,)
    return _cells(rows, question), Worth(said, total=total)


def _statement(question: Question, owners: Sequence[int]) -> tuple[str, dict[str, Any]]:
    """What brings the entries that are weighed, and its parameters."""
    asked = {f"concept{place}": concept for place, concept in enumerate(question.concepts)}
    marks = {f"sign{place}": [sign] for place, sign in enumerate(signs.ALL)}
    parameters: dict[str, Any] = {name: terms.tsquery(_owned(owners, found)) for name, found in (asked | marks).items()}
    arms, worded, mask = [], "", _bits(asked)
    if question.concepts:
        worded = _BY_WORDS.format(mask=mask)
        arms += [_BEST, _NEXT]
        words = [term for one in question.concepts for term in one]
        parameters |= {"any": terms.tsquery(_owned(owners, words)), "last": len(question.concepts) - 1}
        parameters |= {"worded": WORDED, "next": FOLLOWED}
    if question.concepts and (vector := _vector(question.plain)):
        arms.append(_BY_MEANING)
        parameters |= {"vector": vector, "embedder": embedders.current().name, "nearest": NEAREST}
    if question.days:
        days = []
        for place, one in enumerate(question.days):
            days.append(f"entry.said_at >= %(from{place})s AND entry.said_at < %(to{place})s")
            parameters[f"from{place}"] = datetime.combine(one.first, time.min, UTC)
            parameters[f"to{place}"] = datetime.combine(one.last + timedelta(one.tail + 1), time.min, UTC)
        arms.append(_BY_DAY.format(days=" OR ".join(days)))
        parameters["dated"] = DATED
    together = " UNION ALL ".join(f"({arm})" for arm in arms)
    counts = _COUNTED if question.concepts else _TOTAL
    signed = _bits(marks)
    return _LOOKED_AT.format(worded=worded, arms=together, mask=mask, signs=signed, counts=counts), parameters


def _vector(text: str) -> str:
    """What the query is compared by in meaning, nothing where that cannot be had now."""
    try:
        vector = embedders.current().embed_query(text)
    except embedders.EmbedderUnavailable:
        return ""  # words alone; health and the admin say so
    return "" if vector is None else halfvec(vector.tolist())


def _owned(owners: Sequence[int], found: Collection[str]) -> Iterator[str]:
    return (term for owner in owners for term in terms.of_owner(owner, found))


def _bits(names: Iterable[str]) -> str:
    """SQL for a number that has a bit for each of these queries that the entry's terms match."""
    each = [f"((entry.terms @@ %({name})s::tsquery)::int::int8 << {place})" for place, name in enumerate(names)]
    return " | ".join(each) or "0::int8"


def _cells(rows: Sequence[tuple[Any, ...]], question: Question) -> list[Cell]:
    """The rows as they are weighed; of one that came twice the one that says how near its meaning is."""
    fits: dict[int, float] = {}
    cells: dict[str, Cell] = {}
    for key, talk, seq, speaker, day, mask, marks, answers, meaning, _ in rows:
        if key in cells:
            cells[key].meaning = cells[key].meaning if meaning is None else meaning
            continue
        if question.days and day not in fits:
            fits[day] = dates.fit(question.days, date.fromordinal(day))
        cells[key] = Cell(key, (talk, seq), (talk, day), speaker, mask, marks, answers, fits.get(day, 0.0), meaning)
    return list(cells.values())
