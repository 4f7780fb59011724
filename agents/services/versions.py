"""What an agent was told to be and do, version by version; a run keeps to the version that it began with."""

import difflib
import json
from typing import Any
from uuid import UUID

from agents.models import Agent, AgentVersion
from core.errors import NotFound

SAID = (
    "name", "description", "kind", "instructions", "personality", "tone", "model", "capabilities", "tools", "skills",
    "may_ask", "task", "schedule", "reports_to",
)  # fmt: skip
"""What is said of an agent; its autonomy and its switch are no part of a version: they hold at once."""
MOST = 500  # versions in a list


class UnknownVersion(NotFound):
    """The agent has no such version."""

    code = "unknown_version"
    title = "There is no such version"


def snapshot(agent: Agent) -> dict[str, Any]:
    """What a version keeps: all that was said of the agent, and what its skills gave it then."""
    return {**{name: getattr(agent, name) for name in SAID}, "given": agent.given}


def keep(agent: Agent, told: dict[str, Any], *, author_id: UUID | None) -> None:
    """Store the agent's version of now, unless it is; in the transaction that changes the agent."""
    AgentVersion.objects.get_or_create(
        agent=agent, number=agent.version, defaults={"snapshot": told, "author_id": author_id}
    )


def listed(agent: Agent) -> list[AgentVersion]:
    """The versions, the newest first; one that was never changed has no row yet, and is made up here."""
    rows = list(agent.versions.select_related("author").order_by("-number")[:MOST])
    if not rows or rows[0].number < agent.version:
        rows.insert(0, _present(agent))
    return rows


def find(agent: Agent, number: int) -> AgentVersion:
    """The version of this number; raises UnknownVersion."""
    if number == agent.version:
        return agent.versions.select_related("author").filter(number=number).first() or _present(agent)
    found = agent.versions.select_related("author").filter(number=number).first() if number < agent.version else None
    if found is None:
        raise UnknownVersion(f"{agent.name} has no version {str(number)[:20]}; the newest is {agent.version}.")
    return found


def kept(agent: Agent, number: int) -> dict[str, Any] | None:
    """What an older version says; None where the agent's row says it, so that the common case asks nothing."""
    if number in (0, agent.version):
        return None
    return agent.versions.filter(number=number).values_list("snapshot", flat=True).first()


def tools(agent: Agent, number: int) -> list[str]:
    """The tools that a run of this version has: those of the version that the agent still has."""
    told = kept(agent, number)
    return agent.all_tools if told is None else narrowed(told, agent.all_tools)


def narrowed(told: dict[str, Any], now: list[str]) -> list[str]:
    """The tools of a version without those that were taken away since."""
    then = {*told["tools"], *told["given"]["tools"]}
    return [name for name in now if name in then]


def difference(older: dict[str, Any], newer: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """What is other between two versions: for each field the lines of a unified diff, without its head."""
    found = []
    for name in (*SAID, "given"):
        before, after = older.get(name), newer.get(name)
        if before != after and (before or after):  # older versions do not know of all that newer ones say
            lines = difflib.unified_diff(_lines(before), _lines(after), lineterm="", n=2)
            found.append((name, [line for line in lines if not line.startswith(("---", "+++"))]))
    return found


def _lines(value: Any) -> list[str]:
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return [str(one) for one in value]
    return (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1)).splitlines()


def _present(agent: Agent) -> AgentVersion:
    return AgentVersion(
        agent=agent, number=agent.version, snapshot=snapshot(agent), author=agent.author, created_at=agent.updated_at
    )
