"""Keeping what is said: every message an entry, in the message's own transaction.

It takes a part of the statement that stores the message, no round trip of its own and no model; vectors come later
(`embedding`).
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from core import ids, prepared
from core.errors import Invalid
from memory import scrub, signs, terms
from memory.models import Owner
from memory.services.normalising import content_hash

MOST_MESSAGE = 100_000  # characters of one that is imported
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

# An owner that is there is not locked against others who keep for it; one that is missing is made, whoever else makes
# it at the same time. What stands between blanks after the last full stop, if it ends in a question mark, is the
# question that a message answers.
_CTE = r"""
memory_said AS MATERIALIZED (
    SELECT said.* FROM unnest(
        %(memory_workspaces)s::uuid[], %(memory_users)s::uuid[], %(memory_companions)s::uuid[], %(memory_ids)s::uuid[],
        %(memory_conversations)s::uuid[], %(memory_messages)s::uuid[], %(memory_speakers)s::text[],
        %(memory_texts)s::text[], %(memory_languages)s::text[], %(memory_times)s::timestamptz[],
        %(memory_hashes)s::text[], %(memory_terms)s::text[]
    ) WITH ORDINALITY AS said (workspace_id, user_id, companion_id, id, conversation_id, message_id, speaker, text,
        language, said_at, content_hash, terms, place)
    WHERE NOT EXISTS (SELECT FROM memory_entry WHERE message_id = said.message_id)
        AND ({kept})),
memory_there AS MATERIALIZED (
    SELECT id, workspace_id, user_id, companion_id FROM memory_owner AS owner
    WHERE EXISTS (
        SELECT FROM memory_said AS said WHERE said.user_id = owner.user_id AND said.workspace_id = owner.workspace_id
            AND said.companion_id IS NOT DISTINCT FROM owner.companion_id)
    FOR KEY SHARE),
memory_made AS (
    INSERT INTO memory_owner (workspace_id, user_id, companion_id, paused)
    SELECT DISTINCT workspace_id, user_id, companion_id, false FROM memory_said AS said
    WHERE NOT EXISTS (
        SELECT FROM memory_there AS there WHERE there.user_id = said.user_id
            AND there.workspace_id = said.workspace_id AND there.companion_id IS NOT DISTINCT FROM said.companion_id)
    ORDER BY workspace_id, user_id, companion_id
    ON CONFLICT ON CONSTRAINT one_owner_per_companion DO UPDATE SET paused = memory_owner.paused
    RETURNING id, workspace_id, user_id, companion_id),
memory_kept AS (
    INSERT INTO memory_entry (id, owner_id, layer, kind, text, context, speaker, author, language, said_at,
        conversation_id, message_id, seq, content_hash, terms)
    SELECT said.id, owner.id, 'history', 'message', said.text,
        CASE WHEN coalesce(lag(said.speaker) OVER talk, before.speaker) <> said.speaker
            THEN trim(coalesce(substring(right(rtrim(coalesce(lag(said.text) OVER talk, before.text)), 400)
                FROM '(?:[^.!?\n]|[.!?](?=[^\s.!?]))*[?？؟]+$'), ''))
            ELSE '' END,
        said.speaker, said.speaker, said.language, coalesce(said.said_at, clock_timestamp()), said.conversation_id,
        said.message_id, coalesce(before.seq, 0) + row_number() OVER talk, said.content_hash,
        array_to_tsvector(ARRAY(SELECT 'o' || owner.id || '_' || term FROM string_to_table(said.terms, ' ') AS term))
    FROM memory_said AS said
    JOIN (SELECT * FROM memory_there UNION ALL SELECT * FROM memory_made) AS owner
        ON owner.user_id = said.user_id AND owner.workspace_id = said.workspace_id
            AND owner.companion_id IS NOT DISTINCT FROM said.companion_id
    LEFT JOIN LATERAL (
        SELECT seq, speaker, text FROM memory_entry AS earlier
        WHERE earlier.conversation_id = said.conversation_id ORDER BY seq DESC LIMIT 1) AS before ON true
    WINDOW talk AS (PARTITION BY said.conversation_id ORDER BY said.place)
    ON CONFLICT (message_id) WHERE message_id IS NOT NULL DO NOTHING
    RETURNING id)"""
# Nothing is kept where the companion keeps no history, or the person paused it or all of them.
_WHERE_WANTED = """
    EXISTS (SELECT FROM companions_companion AS companion
        WHERE companion.id = said.companion_id AND companion.memory_layers ? 'history')
    AND NOT EXISTS (SELECT FROM memory_owner AS owner WHERE owner.user_id = said.user_id
        AND owner.workspace_id = said.workspace_id AND owner.paused
        AND (owner.companion_id IS NULL OR owner.companion_id = said.companion_id))"""

_SAYING = """SELECT message_id FROM memory_entry
    WHERE terms @@ %(facts)s::tsquery AND owner_id = %(owner)s AND kind = 'message' AND message_id IS NOT NULL"""
# Of a long message the index does not have every word.
_LONG = """SELECT message_id, text FROM memory_entry WHERE owner_id = %(owner)s AND kind = 'message'
    AND message_id IS NOT NULL AND (length(terms) >= %(terms)s OR length(text) > %(characters)s)"""
_NOTED = """SELECT text FROM memory_entry WHERE terms @@ %(any)s::tsquery AND owner_id = %(owner)s
    AND kind <> 'message' AND status IN ('active', 'pending') LIMIT %(most)s"""
_REPLACED = """UPDATE memory_entry AS entry
    SET status = 'superseded', superseded_by_id = new.id, valid_to = clock_timestamp()
    FROM memory_entry AS new WHERE new.message_id = %(by)s AND new.status = 'active' AND new.owner_id = entry.owner_id
    AND entry.message_id = ANY(%(replaced)s) AND entry.kind = 'message' AND entry.status = 'active'"""
_FACTS_AT_ONCE = 50
MOST_NOTED = 500


@dataclass(frozen=True, slots=True)
class Whose:
    """Whom a message is kept of: a person with a companion. Of nobody, or with none, nothing is kept."""

    workspace_id: UUID
    user_id: UUID | None
    companion_id: UUID | None


@dataclass(frozen=True, slots=True)
class Told:
    """A message as it was said, by the person or the companion; now, where no time is given."""

    conversation_id: UUID
    message_id: UUID
    speaker: str
    text: str
    said_at: datetime | None = None
    language: str = ""


def cte(said: Iterable[tuple[Whose, Told]]) -> tuple[str, dict[str, Any]]:
    """What keeps these messages, as named queries for another statement's WITH, and their parameters.

    Messages of one conversation stand in the order in which they were said. Where nothing is to be kept the queries
    change nothing. All names begin with `memory_`.
    """
    return _CTE.format(kept=_WHERE_WANTED), _parameters(said)


def keep(said: Iterable[tuple[Whose, Told]]) -> int:
    """Keep these messages, in a statement by itself; gives how many are new."""
    return _run(*cte(said))


def keep_old(owner: Owner, told: Iterable[Told]) -> int:
    """Keep messages that the person brings, in the order in which they were said; gives how many are new."""
    whose = Whose(owner.workspace_id, owner.user_id, owner.companion_id)
    return _run(_CTE.format(kept="true"), _parameters(((whose, one) for one in told), shared=True))


def checked_message(text: str) -> str:
    """A message's text as it is kept, without control characters; raises Invalid for one that is empty or too long."""
    kept = _CONTROLS.sub("", text).encode("utf-8", "replace").decode().strip()
    if not kept:
        raise Invalid.field("content", "may not be empty", "blank")
    if len(kept) > MOST_MESSAGE:
        raise Invalid.field("content", f"{MOST_MESSAGE:,} characters at most", "max_length")
    return kept


def terms_of(owner_id: int, text: str, language: str = "") -> str:
    """What an entry's column `terms` is set to."""
    return terms.tsvector(terms.of_owner(owner_id, _lexemes(text, language)))


def replace(messages: Iterable[UUID], *, by: UUID) -> None:
    """Let these messages, which were said anew, count no more: they stay as what the one in their place was before."""
    prepared.execute(_REPLACED, {"replaced": list(messages), "by": by})


def saying_all(owner_id: int, facts: Iterable[scrub.Fact]) -> set[UUID]:
    """The messages in which all of one of the facts is said."""
    wanted = [one for one in facts if one]
    found: set[UUID] = set()
    if not wanted:
        return found
    with connection.cursor() as cursor:
        for at in range(0, len(wanted), _FACTS_AT_ONCE):
            asked = " | ".join(_all_of(owner_id, one) for one in wanted[at : at + _FACTS_AT_ONCE])
            cursor.execute(_SAYING, {"owner": owner_id, "facts": asked})
            found |= {message_id for (message_id,) in cursor.fetchall()}
        limits = {"terms": terms.MOST_TERMS, "characters": terms.MOST_CHARACTERS}
        cursor.execute(_LONG, {"owner": owner_id, **limits})
        while page := cursor.fetchmany(50):
            found |= {message_id for message_id, text in page if scrub.says(wanted, text)}
    return found


def noted(owner_id: int, stems: Iterable[str]) -> list[str]:
    """What memories say, messages apart, that have one of these stems."""
    if not (found := sorted(stems)):
        return []
    asked: dict[str, Any] = {
        "any": terms.tsquery(terms.of_owner(owner_id, found)),
        "owner": owner_id,
        "most": MOST_NOTED,
    }
    with connection.cursor() as cursor:
        cursor.execute(_NOTED, asked)
        return [text for (text,) in cursor.fetchall()]


def _all_of(owner_id: int, fact: scrub.Fact) -> str:
    """A query for what says all of a fact, each word under one of its stems."""
    return "(" + " & ".join(f"({terms.tsquery(terms.of_owner(owner_id, sorted(one)))})" for one in fact) + ")"


def _run(statement: str, parameters: dict[str, Any]) -> int:
    if not parameters["memory_ids"]:
        return 0
    count: int = prepared.execute(f"WITH {statement} SELECT count(*) FROM memory_kept", parameters).fetchone()[0]
    return count


def _parameters(said: Iterable[tuple[Whose, Told]], *, shared: bool = False) -> dict[str, Any]:
    rows = [_row(whose, one) for whose, one in said if one.text.strip() and _is_somebodys(whose, shared)]
    columns: Sequence[Any] = list(zip(*rows, strict=True)) or [()] * len(_COLUMNS)
    return dict(zip(_COLUMNS, map(list, columns), strict=True))


def _is_somebodys(whose: Whose, shared: bool) -> bool:
    return whose.user_id is not None and (shared or whose.companion_id is not None)


_COLUMNS = [
    f"memory_{name}"
    for name in ("workspaces", "users", "companions", "ids", "conversations", "messages", "speakers", "texts")
    + ("languages", "times", "hashes", "terms")
]


def _row(whose: Whose, one: Told) -> tuple[Any, ...]:
    text = one.text.replace("\x00", "")
    language = one.language or terms.detected(terms.words(text))
    return (
        whose.workspace_id,
        whose.user_id,
        whose.companion_id,
        ids.new(),
        one.conversation_id,
        one.message_id,
        one.speaker,
        text,
        language,
        one.said_at,
        content_hash(text),
        " ".join(_lexemes(text, language)),
    )


def _lexemes(text: str, language: str) -> list[str]:
    """What an entry is found and weighed by: its stems, each once, and the signs of what it is."""
    return [*list(dict.fromkeys(terms.stems(text, language)))[: terms.MOST_TERMS], *signs.of(text)]
