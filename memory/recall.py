"""Recall: the memories that answer a question, best first.

Three steps: `questions.read` says what is asked; one statement brings what the owners have of these words, what is
nearest in meaning, and what was said on the days that are asked for; `scoring` weighs these few. No approximate index
is asked: terms carry their owner's number, and vectors are compared with all of the owner's, which costs the same
however many others there are (docs/decisions/0031-recall.md).
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection

from companions.models import Layer
from memory import dates, embedders, questions, scoring, signs, terms
from memory.fields import halfvec
from memory.models import Entry, Owner
from memory.questions import Question
from memory.scoring import Cell, Scored

MOST = 100  # entries of one recall
FOLLOWED = 40  # entries of which those that follow are looked at
DATED = 200  # entries that are looked at for their day alone

_HEAVY = ("terms", "embedding")
_EVERY = tuple(Layer.values)
_LIVE = """entry.owner_id{plus} = ANY(%(owners)s) AND entry.status = 'active' AND entry.layer = ANY(%(layers)s)
    AND (entry.expires_at IS NULL OR entry.expires_at > statement_timestamp())
    AND (entry.message_id IS NULL OR entry.message_id <> ALL(%(without)s::uuid[]))"""
_SEEN = """entry.id::text, coalesce(entry.conversation_id, entry.id)::text, entry.seq, entry.speaker,
    entry.said_at::date - DATE '0001-01-01' + 1, {mask}, {signs}, entry.context <> '',
    (SELECT entries FROM total)"""
_COUNTED = """WITH total AS MATERIALIZED (
    SELECT count(*) AS entries FROM memory_entry WHERE owner_id = ANY(%(owners)s))"""
_BY_WORDS = """, worded (id, talk, seq, speaker, day, mask, signs, answers, total, meaning) AS MATERIALIZED (
    SELECT {seen}, NULL::float8 FROM memory_entry AS entry WHERE entry.terms @@ %(any)s::tsquery AND {live})"""
# What was said next after those that say the most of the question: an answer rarely says the words of its question.
_NEXT = """SELECT {seen}, NULL::float8 FROM (
        SELECT talk::uuid AS talk, seq FROM worded ORDER BY bit_count(mask::bit(64)) DESC, id DESC LIMIT %(next)s
    ) AS said
    CROSS JOIN LATERAL (SELECT * FROM memory_entry AS entry WHERE entry.conversation_id = said.talk
        AND entry.seq BETWEEN said.seq + 1 AND said.seq + 2 AND {live}) AS entry"""
_BY_MEANING = """SELECT {seen}, 1 - entry.distance FROM (
    SELECT entry.*, entry.embedding <=> %(vector)s::halfvec AS distance FROM memory_entry AS entry
    WHERE {live} AND entry.embedder = %(embedder)s ORDER BY distance LIMIT %(nearest)s) AS entry"""
_BY_DAY = """SELECT * FROM (SELECT {seen}, NULL::float8 FROM memory_entry AS entry
    WHERE {live} AND ({days}) ORDER BY entry.said_at DESC LIMIT %(dated)s) AS entry"""


# Read once more, and live still; as SQL, because Django takes longer to write it than PostgreSQL to run it.
_CHOSEN = f"""SELECT {", ".join(str(one.column) for one in Entry._meta.concrete_fields if one.name not in _HEAVY)}
    FROM memory_entry WHERE id = ANY(%(ids)s::uuid[]) AND owner_id = ANY(%(owners)s) AND status = 'active'
    AND (expires_at IS NULL OR expires_at > statement_timestamp())"""
_TOTAL = 8  # the column of how many entries the owners have


@dataclass(frozen=True, slots=True)
class Recalled:
    """A memory that answers, how well, and what of the score came from where (the settings' RECALL_WEIGHTS)."""

    entry: Entry
    score: float
    parts: dict[str, float]


def recall(
    owners: Sequence[Owner],
    query: str,
    *,
    limit: int = 10,
    now: datetime | None = None,
    names: Mapping[str, str] | None = None,
    layers: Collection[str] = _EVERY,
    without: Collection[UUID] = (),
    language: str = "",
) -> list[Recalled]:
    """What these owners have that answers the query, at most `limit`, the best first; any text is a query.

    `now` is what "yesterday" counts from. `names` are those of the `person` and the `companion`, the owners' own where
    they are not given (load owners with both). `without` are messages that the caller has already. Nothing comes of a
    query without a word or a day to look for, and nothing where memory is paused. Where no vector can be made, words
    alone decide. Where something is deleted meanwhile, fewer come.
    """
    asked_of = [] if any(one.paused and one.companion_id is None for one in owners) else owners
    asked_of = [one for one in asked_of if not one.paused]
    question = questions.read(
        query, now=now or datetime.now(UTC), names=names_of(owners) if names is None else names, language=language
    )
    if not asked_of or question.empty or limit < 1:
        return []
    best = _scored(asked_of, question, layers, without)[: min(limit, MOST)]
    chosen = {"ids": [one.cell.id for one in best], "owners": [one.pk for one in asked_of]}
    found = {str(one.pk): one for one in Entry.objects.raw(_CHOSEN, chosen)}
    return [
        Recalled(found[one.cell.id], one.score, scoring.parts(one, settings.RECALL_WEIGHTS))
        for one in best
        if one.cell.id in found
    ]


def names_of(owners: Sequence[Owner]) -> dict[str, str]:
    """What the person and the companion are called."""
    names = {}
    for owner in owners:
        names[questions.PERSON] = owner.user.name
        if owner.companion is not None:
            names[questions.COMPANION] = owner.companion.name
    return names


def _scored(
    owners: Sequence[Owner], question: Question, layers: Collection[str], without: Collection[UUID]
) -> list[Scored]:
    keys = [one.pk for one in owners]
    statement, parameters = _statement(question, keys)
    parameters |= {"owners": keys, "layers": list(layers), "without": list(without)}
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        rows = cursor.fetchall()
    total = rows[0][_TOTAL] if rows else 0
    return scoring.scored(_cells(rows, question), question, total=total, weights=settings.RECALL_WEIGHTS)


def _statement(question: Question, owners: Sequence[int]) -> tuple[str, dict[str, Any]]:
    """What brings the entries that are weighed, and its parameters."""
    asked = {f"concept{place}": concept for place, concept in enumerate(question.concepts)}
    marks = {f"sign{place}": [sign] for place, sign in enumerate(signs.ALL)}
    parameters: dict[str, Any] = {name: terms.tsquery(_owned(owners, found)) for name, found in (asked | marks).items()}
    # The terms name the owner: that their index is read alone, and not the owner's whole index with it, is what the
    # sum is for.
    live, live_by_terms = _LIVE.format(plus=""), _LIVE.format(plus=" + 0")
    seen = _SEEN.format(mask=_bits(list(asked)), signs=_bits(list(marks)))
    statement, arms = _COUNTED, []
    if question.concepts:
        statement += _BY_WORDS.format(seen=seen, live=live_by_terms)
        arms += ["SELECT * FROM worded", _NEXT.format(seen=seen, live=live)]
        parameters["next"] = FOLLOWED
        parameters["any"] = terms.tsquery(_owned(owners, [term for one in question.concepts for term in one]))
    if question.concepts and (vector := _vector(question.plain)):
        arms.append(_BY_MEANING.format(seen=seen, live=live))
        parameters |= {"vector": vector, "embedder": embedders.current().name, "nearest": scoring.POOL}
    if question.days:
        days = []
        for place, one in enumerate(question.days):
            days.append(f"entry.said_at >= %(from{place})s AND entry.said_at < %(to{place})s")
            parameters[f"from{place}"] = datetime.combine(one.first, time.min, UTC)
            parameters[f"to{place}"] = datetime.combine(one.last + timedelta(one.tail + 1), time.min, UTC)
        arms.append(_BY_DAY.format(seen=seen, live=live, days=" OR ".join(days)))
        parameters["dated"] = DATED
    return f"{statement} {' UNION ALL '.join(f'({arm})' for arm in arms)}", parameters


def _vector(text: str) -> str:
    """What the query is compared by in meaning, nothing where that cannot be had now."""
    try:
        vector = embedders.current().embed_query(text)
    except embedders.EmbedderUnavailable:
        return ""  # words alone; health and the admin say so
    return "" if vector is None else halfvec(vector.tolist())


def _owned(owners: Sequence[int], found: Collection[str]) -> Iterator[str]:
    return (term for owner in owners for term in terms.of_owner(owner, found))


def _bits(names: Sequence[str]) -> str:
    """SQL for a number that has a bit for each of these queries that the entry's terms match."""
    each = [f"((entry.terms @@ %({name})s::tsquery)::int::int8 << {place})" for place, name in enumerate(names)]
    return " | ".join(each) or "0::int8"


def _cells(rows: Sequence[tuple[Any, ...]], question: Question) -> list[Cell]:
    """The rows as they are weighed; of one that came twice the one that says how near its meaning is."""
    fits: dict[int, float] = {}
    cells: dict[str, Cell] = {}
    for key, talk, seq, speaker, day, mask, marks, answers, _, meaning in rows:
        if key in cells:
            cells[key].meaning = cells[key].meaning if meaning is None else meaning
            continue
        if question.days and day not in fits:
            fits[day] = dates.fit(question.days, date.fromordinal(day))
        cells[key] = Cell(key, (talk, seq), (talk, day), speaker, mask, marks, answers, fits.get(day, 0.0), meaning)
    return list(cells.values())
