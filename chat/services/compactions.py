"""Use cases of summaries: what of a conversation is to be summarised next, and keeping the summary."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, connection

from chat.models import Compaction, MessageRole, Run
from chat.transcript import Part
from core import ids

LONGEST_MESSAGE = 8_000  # characters of one message that a summary is made from
MOST_MESSAGES = 500  # of one summary
Row = tuple[Any, ...]  # id, turn_at, created_at, the next message's turn_at, role, content, parts
WHO = {MessageRole.USER: "Person", MessageRole.ASSISTANT: "Assistant"}


@dataclass(frozen=True, slots=True)
class Older:
    """The oldest part of a conversation that no summary holds yet, behind the `summary` of what came before it.

    `count` is how many messages the two stand for, up to the message `up_to`; `more` says that there is more to do.
    """

    summary: str
    said: tuple[str, ...]
    count: int
    up_to: UUID
    turn_at: datetime
    said_at: datetime
    more: bool


_OLDER = """
SELECT id, turn_at, created_at, next_turn, role, content, parts FROM (
    SELECT message.id, message.turn_at, message.created_at, message.role, left(message.content, %(longest)s) AS content,
        CASE WHEN message.parts @? '$[*] ? (@.type == "tool_result")' THEN message.parts END AS parts,
        lead(message.turn_at) OVER (ORDER BY message.turn_at, message.created_at) AS next_turn,
        sum(length(message.content)) OVER newest > %(keep_characters)s
            OR row_number() OVER newest > %(keep_messages)s AS older
    FROM chat_message AS message JOIN chat_run AS run ON run.id = %(run)s
    WHERE message.conversation_id = run.conversation_id AND message.id <> run.message_id
      AND (message.turn_at, message.created_at) > (%(turn_at)s::timestamptz, %(said_at)s::timestamptz)
      AND NOT EXISTS (
        SELECT FROM chat_run AS waiting WHERE waiting.message_id = message.id AND waiting.state = 'queued')
    WINDOW newest AS (ORDER BY message.turn_at DESC, message.created_at DESC)) AS said
WHERE older ORDER BY turn_at, created_at LIMIT %(limit)s
"""


def older(run_id: UUID, *, keep_characters: int, most_characters: int) -> Older | None:
    """What is to be summarised so that a run's model is told at most `keep_characters` of the past word for word.

    At most `most_characters` at once, whole turns where one fits; None where there is nothing older than that.
    """
    run = Run.objects.only("conversation_id").filter(pk=run_id).first()
    if run is None:
        return None
    before = _newest(run.conversation_id)
    with connection.cursor() as cursor:
        cursor.execute(
            _OLDER,
            {
                "run": run_id,
                "turn_at": before.turn_at if before else "-infinity",
                "said_at": before.said_at if before else "-infinity",
                "keep_characters": keep_characters,
                "keep_messages": settings.HISTORY_MESSAGES // 2,
                "longest": LONGEST_MESSAGE,
                "limit": MOST_MESSAGES,
            },
        )
        rows = cursor.fetchall()
    if not rows:
        return None
    some = _first(rows, most_characters)
    taken = _whole(some)
    last = taken[-1]
    return Older(
        summary=before.content if before else "",
        said=tuple(_told(role, content, json.loads(parts) if parts else []) for *_, role, content, parts in taken),
        count=len(taken) + (before.messages if before else 0),
        up_to=last[0],
        turn_at=last[1],
        said_at=last[2],
        more=len(some) < len(rows) or len(rows) == MOST_MESSAGES,
    )


def _newest(conversation_id: UUID) -> Compaction | None:
    rows = Compaction.objects.filter(conversation=conversation_id)
    return rows.order_by("-turn_at", "-said_at").first()


def _first(rows: list[Row], most: int) -> list[Row]:
    """The first rows, up to so many characters, and one at least."""
    size, taken = 0, list[Row]()
    for row in rows:
        size += len(row[5])
        if taken and size > most:
            break
        taken.append(row)
    return taken


def _whole(rows: list[Row]) -> list[Row]:
    """The rows up to the last end of a turn; a question is told with its answer, unless it is too long for that."""
    whole = list(rows)
    while whole and whole[-1][1] == whole[-1][3] and len(whole[-1][5]) < LONGEST_MESSAGE:
        whole.pop()
    return whole or rows


def _told(role: str, content: str, parts: list[Part]) -> str:
    """A message as a line of what is to be summarised, with what its tools gave."""
    results = "".join(f"\n[{part['name']}: {part['summary']}]" for part in parts if part["type"] == "tool_result")
    return f"{WHO.get(MessageRole(role), role.capitalize())}: {content}{results}"


_KEEP = """
INSERT INTO chat_compaction (
    id, workspace_id, conversation_id, up_to_id, turn_at, said_at, messages, content, provider, model)
SELECT %(id)s, run.workspace_id, run.conversation_id, message.id, message.turn_at, message.created_at, %(messages)s,
    %(content)s, %(provider)s, %(model)s
FROM chat_run AS run JOIN chat_message AS message ON message.id = %(up_to)s
WHERE run.id = %(run)s AND run.attempt = %(attempt)s AND run.state = 'running'
ON CONFLICT ON CONSTRAINT one_summary_up_to_a_message DO NOTHING
"""


def keep(run_id: UUID, attempt: int, part: Older, *, text: str, provider: str, model: str) -> bool:
    """Store a summary of the part, if the run is still this attempt's; False where it is not, or the part is gone."""
    values: dict[str, Any] = {
        "id": ids.new(),
        "run": run_id,
        "attempt": attempt,
        "up_to": part.up_to,
        "messages": part.count,
    }
    try:
        with connection.cursor() as cursor:
            cursor.execute(_KEEP, {**values, "content": text, "provider": provider, "model": model})
            return bool(cursor.rowcount)
    except IntegrityError:  # the conversation was deleted in this moment
        return False
