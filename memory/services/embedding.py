"""Making vectors in the background: of what is new, and of everything once the embedder is another.

Recall finds entries by their words until they have a vector of the embedder at hand, and never compares vectors of
another.
"""

from django.db import connection

from memory import embedders
from memory.fields import halfvec

AT_ONCE = 64
CHARACTERS = 4_000  # of a text; the models read less

# New ones have no embedder's name, so they come before those of another embedder. Both ranges are the index's.
_MISSING = """
SELECT entry.id, entry.text, entry.context, entry.content_hash,
    CASE WHEN entry.kind <> 'message' THEN '' WHEN entry.speaker = 'companion' THEN coalesce(companion.name, '')
        ELSE person.name END AS speaker
FROM (
    (SELECT id FROM memory_entry WHERE status = 'active' AND embedder < %(name)s ORDER BY embedder, id LIMIT %(limit)s)
    UNION ALL
    (SELECT id FROM memory_entry WHERE status = 'active' AND embedder > %(name)s ORDER BY embedder, id LIMIT %(limit)s)
    LIMIT %(limit)s
) AS missing
JOIN memory_entry AS entry ON entry.id = missing.id
JOIN memory_owner AS owner ON owner.id = entry.owner_id
JOIN accounts_user AS person ON person.id = owner.user_id
LEFT JOIN companions_companion AS companion ON companion.id = owner.companion_id
"""
_STORE = """
UPDATE memory_entry AS entry SET embedding = made.vector::halfvec, embedder = %(name)s
FROM unnest(%(ids)s::uuid[], %(hashes)s::text[], %(vectors)s::text[]) AS made (id, content_hash, vector)
WHERE entry.id = made.id AND entry.content_hash = made.content_hash
"""


def embed_missing(limit: int = AT_ONCE) -> int:
    """Give up to so many entries the vector that they lack; gives how many it had to, less than `limit` if that is all.

    Raises EmbedderUnavailable. No row is locked while vectors are made, which may take a call of another machine: what
    is changed meanwhile has to wait for the next time, and two that do this at once do the same twice.
    """
    embedder = embedders.current()
    if not embedder.dimensions:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(_MISSING, {"name": embedder.name, "limit": limit})
        rows = cursor.fetchall()
        if not rows:
            return 0
        vectors = embedder.embed([told(text, context, speaker) for _, text, context, _, speaker in rows])
        cursor.execute(
            _STORE,
            {
                "name": embedder.name,
                "ids": [row[0] for row in rows],
                "hashes": [row[3] for row in rows],
                "vectors": [halfvec(vector.tolist()) for vector in vectors],
            },
        )
    return len(rows)


def told(text: str, context: str, speaker: str) -> str:
    """What is embedded of an entry: the question that it answers, who said it, and what."""
    said = f"{speaker}: {text}" if speaker else text
    return (f"{context}\n{said}" if context else said)[:CHARACTERS]
