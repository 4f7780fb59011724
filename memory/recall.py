"""Recall: the memories that answer a question, best first.

Three steps: `questions.read` says what is asked; `candidates.find` brings, in one statement, the few hundred entries
that can answer it; `scoring.scored` weighs them.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS

from companions.models import Layer
from core import prepared
from memory import candidates, questions, scoring
from memory.models import Entry, Owner

MOST = 100  # entries of one recall

_HEAVY = ("terms", "embedding")
_EVERY = tuple(Layer.values)
_COLUMNS = [str(one.attname) for one in Entry._meta.concrete_fields if one.name not in _HEAVY]
_METADATA = _COLUMNS.index("metadata")
# Read once more, and live still; as SQL, because Django takes longer to write it than PostgreSQL to run it.
_CHOSEN = f"""SELECT {", ".join(_COLUMNS)}
    FROM memory_entry WHERE id = ANY(%(ids)s::uuid[]) AND owner_id = ANY(%(owners)s) AND status = 'active'
    AND (expires_at IS NULL OR expires_at > statement_timestamp())"""


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
    but: UUID | None = None,
    language: str = "",
) -> list[Recalled]:
    """What these owners have that answers the query, at most `limit`, the best first; any text is a query.

    `now` is what "yesterday" counts from. `names` are those of the `person` and the `companion`, the owners' own where
    they are not given (load owners with both). `but` is a conversation whose newest messages the caller has already.
    Nothing comes of a query without a word or a day to look for, and nothing where memory is paused. Where no vector
    can be made, words alone decide. Where something is deleted meanwhile, fewer come.
    """
    asked_of = [] if any(one.paused and one.companion_id is None for one in owners) else owners
    asked_of = [one for one in asked_of if not one.paused]
    question = questions.read(
        query, now=now or datetime.now(UTC), names=names_of(owners) if names is None else names, language=language
    )
    if not asked_of or question.empty or limit < 1:
        return []
    keys, weights = [one.pk for one in asked_of], settings.RECALL_WEIGHTS
    cells, worth = candidates.find(keys, question, layers=layers, but=but)
    best = scoring.scored(cells, question, worth=worth, weights=weights)[: min(limit, MOST)]
    chosen = {"ids": [one.cell.id for one in best], "owners": keys}
    found = {str(one.pk): one for one in map(_entry, prepared.execute(_CHOSEN, chosen).fetchall())}
    return [
        Recalled(found[one.cell.id], one.score, scoring.parts(one, weights)) for one in best if one.cell.id in found
    ]


def _entry(row: Sequence[Any]) -> Entry:
    """The entry of a row of _CHOSEN, whose JSON comes as text."""
    columns = list(row)
    columns[_METADATA] = json.loads(columns[_METADATA])
    entry: Entry = Entry.from_db(DEFAULT_DB_ALIAS, _COLUMNS, columns)
    return entry


def names_of(owners: Sequence[Owner]) -> dict[str, str]:
    """What the person and the companion are called."""
    names = {}
    for owner in owners:
        names[questions.PERSON] = owner.user.name
        if owner.companion is not None:
            names[questions.COMPANION] = owner.companion.name
    return names
