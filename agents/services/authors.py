"""Who wrote what a model is told: whoever brought a sentence, or an entry of a list, that still stands in it.

They asked for what an agent does where nobody else did, and so countersign none of it; where a person asked they do
only while they are admins (docs/decisions/0019).
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from agents.models import Agent, Skill
from agents.services import versions

ORDERS = ("task", "instructions", "personality", "tone", "tools", "may_ask")
MOST = versions.MOST  # versions that are looked at; the oldest of them answers for what came before
_END = re.compile(r"[.!?;\n]+")

Pieces = set[tuple[str, str]]


def of(agent: Agent, number: int = 0) -> set[UUID]:
    """Who stands behind what an agent is told: its last author, and all whose words are in it or in its skills.

    `number` is that of the version that is told; 0: as the agent is now.
    """
    told, found = versions.snapshot(agent), {agent.author_id}
    rows = agent.versions.order_by("-number").values_list("author_id", "snapshot")
    if older := versions.kept(agent, number):
        told, rows = older, rows.filter(number__lte=number)
        found = {rows[0][0]}
    now = _of_agent(told)
    brought: tuple[UUID | None, Pieces] = None, set()
    for author_id, then_told in rows[:MOST].iterator(chunk_size=20):
        then = _of_agent(then_told)
        found |= _standing(brought, then, now)
        brought = author_id, then
    found |= _standing(brought, set(), now)
    skills = Skill.objects.filter(workspace=agent.workspace_id, slug__in=told.get("skills", ()))
    found |= {author_id for author_ids in skills.values_list("author_ids", flat=True) for author_id in author_ids}
    return {author_id for author_id in found if author_id}


def after(authors: Iterable[UUID], before: Mapping[str, Any], now: Mapping[str, Any], by: UUID) -> list[UUID]:
    """Whose words stand in a text that was changed: who changed it, and those from before while any of theirs do.

    Of them it is not told apart whose words they are.
    """
    old, new = pieces(before), pieces(now)
    found = list(authors) if old & new else []
    return found if by in found or old == new else [*found, by]


def pieces(told: Mapping[str, Any]) -> Pieces:
    """The sentences of texts and the entries of lists, by field, so that one that moved is the same still."""
    found: Pieces = set()
    for name, value in told.items():
        parts = _END.split(value) if isinstance(value, str) else value
        found |= {(name, " ".join(str(part).split()).casefold()) for part in parts}
    return {(name, part) for name, part in found if part}


def _of_agent(told: Mapping[str, Any]) -> Pieces:
    said = {name: told[name] for name in ORDERS}
    given = told["given"]
    return pieces({**said, "given tools": given["tools"], "given instructions": given["instructions"]})


def _standing(brought: tuple[UUID | None, Pieces], before: Pieces, now: Pieces) -> set[UUID | None]:
    """The author of a version, if something that came with it still stands."""
    author_id, then = brought
    return {author_id} if (then - before) & now else set()
