"""What agents are and do: make, change, restore and remove them. Each change is a version, and is in the audit log.

Whoever says what an agent does, says what it does with its tools: only admins of the workspace do. How far it is
trusted and whether it is on is in `agents.services.switches`.
"""

import re
from collections.abc import Collection, Iterable
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import ProtectedError
from django.utils.text import slugify

from accounts.models import Actor, Role
from accounts.permissions import RoleMissing, own_key
from agents.models import Agent, AgentKind, Skill
from agents.services import bare, reporting, schedules, switches, versions
from agents.services.switches import UnknownAgent
from agents.tools import registry
from approvals.services import audit
from core.errors import Conflict, Invalid

ORDERS = frozenset(versions.SAID) - {"description", "capabilities"}
"""What says what an agent does: who changed one of these is its author."""
TEXTS = {"name": 200, "description": 5_000, "instructions": 100_000, "personality": 10_000, "tone": 200,
         "model": 200, "task": 20_000, "schedule": 100, "reports_to": 254}  # fmt: skip
LISTS = {"capabilities": 100, "tools": 200, "skills": 50, "may_ask": 100}
SLUG = re.compile(r"[-a-zA-Z0-9_]{1,60}")
MOST = 500  # agents of a workspace
MOST_NAMED = 100  # names in an error
LONGEST_NAME = 200


class AgentExists(Conflict):
    """The workspace has an agent of this slug."""

    code = "agent_exists"
    title = "There is an agent of this slug already"


class AgentChanged(Conflict):
    """The agent is not of the version any more that the change was made on; `version` in the problem is its newest."""

    code = "agent_changed"
    title = "The agent was changed meanwhile"


def admit(by: Actor) -> None:
    """Raises RoleMissing for everybody but admins of the workspace, and KeyOfAnother: who says it is its author."""
    if not by.may(Role.ADMIN):
        raise RoleMissing("Only an admin of the workspace says what its agents are and do.")
    own_key(by)


@transaction.atomic
def create(*, by: Actor, name: str, slug: str = "", **said: Any) -> Agent:
    """A new agent, which advises; raises RoleMissing, Invalid for what does not fit, AgentExists."""
    admit(by)
    slug = slug or slugify(name)[:60]
    if not slug:
        raise Invalid.field("slug", "the name makes none: send one", "required")
    agent = Agent(workspace=by.workspace, slug=slug, name=name, author=by.user)
    return keep_new(agent, by=by, said=said)


@transaction.atomic
def keep_new(agent: Agent, *, by: Actor, said: dict[str, Any]) -> Agent:
    """Store an agent that is not stored yet, with what is said of it, as its first version; raises as `create`."""
    if Agent.objects.filter(workspace=agent.workspace_id).count() >= MOST:
        raise Invalid(f"A workspace has {MOST} agents at most. Delete one first.")
    _say(agent, said)
    _check(agent, {name: [] for name in LISTS})
    agent.given = given_by(_skills(agent))
    try:
        with transaction.atomic():
            agent.save(force_insert=True)
    except IntegrityError:
        raise AgentExists(f"There is an agent {agent.slug!r} already.") from None
    told = versions.snapshot(agent)
    versions.keep(agent, told, author_id=by.user.pk)
    _record(agent, by, before=None, after={"slug": agent.slug, "autonomy": str(agent.autonomy), **told})
    return agent


@transaction.atomic
def change(agent: Agent, *, by: Actor, version: int | None = None, **said: Any) -> Agent:
    """Say something else of an agent; what is not said stays. What changed is a new version.

    With `version` the change is made only where that is still the newest. Raises RoleMissing, UnknownAgent, Invalid,
    AgentChanged.
    """
    admit(by)
    if "skills" in said:  # before the agent: whoever changes a skill locks it first, and then its agents
        list(
            Skill.objects.select_for_update()
            .filter(workspace=by.workspace, slug__in=_texts(said["skills"]))
            .order_by("pk")
        )
    locked = _locked(agent, by)
    _same(locked, version)
    before = versions.snapshot(locked)
    _say(locked, said)
    _check(locked, before)
    if locked.skills != before["skills"]:
        locked.given = given_by(_skills(locked))
    return advance(locked, by=by, before=before)


def restore(agent: Agent, number: int, *, by: Actor, version: int | None = None) -> Agent:
    """Say of an agent again what an older version said, as a new version; its skills give what they give now.

    Raises UnknownVersion, and as `change`.
    """
    admit(by)
    told = versions.find(agent, number).snapshot
    return change(agent, by=by, version=version, **{name: told[name] for name in versions.SAID if name in told})


@transaction.atomic
def patch(
    agent: Agent,
    *,
    by: Actor,
    version: int | None = None,
    autonomy: str | None = None,
    enabled: bool | None = None,
    **said: Any,
) -> Agent:
    """Change what is said of an agent, its autonomy and its switch, all or nothing; raises as `change` and the switch.

    A version is asked for by whoever must not act on an older one, whatever they change.
    """
    if said:
        agent = change(agent, by=by, version=version, **said)
    elif version is not None:
        switches.admit(by, agent.workspace_id)
        _same(_locked(agent, by), version)
    return switches.change_agent(agent, by=by, autonomy=autonomy, enabled=enabled)


@transaction.atomic
def remove(agent: Agent, *, by: Actor) -> Agent | None:
    """Delete an agent, or switch it off where something names it that stays, such as what it said; gives it then.

    Raises RoleMissing, UnknownAgent.
    """
    admit(by)
    locked = _locked(agent, by)
    pk, before = locked.pk, {"slug": locked.slug, "enabled": locked.enabled, **versions.snapshot(locked)}
    try:
        with transaction.atomic():
            locked.delete()
    except ProtectedError:
        locked.pk = pk
        if locked.enabled:
            locked.enabled = False
            locked.save(update_fields=["enabled", "updated_at"])
            _record(locked, by, before={"enabled": True}, after={"enabled": False})
        return locked
    locked.pk = pk
    _record(locked, by, before=before, after=None)
    return None


def advance(locked: Agent, *, by: Actor, before: dict[str, Any]) -> Agent:
    """Store what became other of a locked agent as its next version, if anything did."""
    after = versions.snapshot(locked)
    changed = sorted(name for name in after if before[name] != after[name])
    if not changed:
        return locked
    versions.keep(locked, before, author_id=locked.author_id)
    locked.version += 1
    if {"given", *ORDERS} & set(changed):
        locked.author = by.user
    locked.save(update_fields=[*changed, "version", "author", "updated_at"])  # and nothing that somebody switches
    versions.keep(locked, after, author_id=by.user.pk)
    told = {"before": {name: before[name] for name in changed}, "after": {name: after[name] for name in changed}}
    _record(locked, by, version=locked.version, **told)
    return locked


def given_by(skills: Iterable[Skill]) -> dict[str, Any]:
    """What skills give to an agent: their tools, and what they tell its model."""
    rows = list(skills)
    parts = [f"# {row.name}\n{row.instructions.strip()}" for row in rows if row.instructions.strip()]
    tools = list(dict.fromkeys(name for row in rows for name in row.tools))
    return {"tools": tools, "instructions": "\n\n".join(parts)}


def _locked(agent: Agent, by: Actor) -> Agent:
    rows = Agent.objects.visible_to(by).select_for_update(of=("self",), no_key=True).select_related("workspace")
    locked: Agent | None = rows.filter(pk=agent.pk).first()
    if locked is None:
        raise UnknownAgent("The agent was deleted meanwhile.")
    return locked


def _same(locked: Agent, version: int | None) -> None:
    if version is not None and version != locked.version:
        raise AgentChanged(
            f"It is at version {locked.version}, not {version}. Read it again and repeat the change.",
            extra={"version": locked.version},
        )


def _say(agent: Agent, said: dict[str, Any]) -> None:
    for name, value in said.items():
        if name not in versions.SAID:
            raise Invalid.field(name[:100], f"is not said of an agent; there is {', '.join(versions.SAID)}")
        setattr(agent, name, value)


def _check(agent: Agent, before: dict[str, Any]) -> None:
    """Raises Invalid for what does not fit, and for names of nothing that were not there `before`."""
    if agent.kind not in AgentKind.values:
        raise Invalid.field("kind", f"one of {', '.join(AgentKind.values)}")
    for name, most in TEXTS.items():
        text = getattr(agent, name)
        if not isinstance(text, str) or len(text) > most or "\x00" in text:
            raise Invalid.field(name, f"a text of {most} characters at most")
    if not agent.name.strip():
        raise Invalid.field("name", "may not be empty", "blank")
    for name, most in LISTS.items():
        found = getattr(agent, name)
        if not isinstance(found, list) or len(found) > most or len(_texts(found)) != len(found):
            raise Invalid.field(name, f"up to {most} texts of {LONGEST_NAME} characters at most, each once")
    bare.check(agent)
    schedules.parse(agent.schedule)
    if agent.reports_to != before.get("reports_to", ""):
        agent.reports_to = reporting.known(agent.workspace_id, agent.reports_to)
    registry.check_names("tools", agent.tools, agent.workspace_id, kept=before["tools"])
    others = Agent.objects.filter(workspace=agent.workspace_id)
    asked = [slug for slug in agent.may_ask if slug not in before["may_ask"]]
    if asked:
        _refuse_unknown("may_ask", "agent", asked, list(others.order_by("slug").values_list("slug", flat=True)))


def _texts(found: Any) -> list[str]:
    """The texts of a list, each once; of what is no list none."""
    texts = (one for one in found if isinstance(one, str) and 0 < len(one) <= LONGEST_NAME and "\x00" not in one)
    return list(dict.fromkeys(texts)) if isinstance(found, list) else []


def _skills(agent: Agent) -> list[Skill]:
    """The agent's skills, in its order; raises Invalid for one that the workspace does not have."""
    rows = {row.slug: row for row in Skill.objects.filter(workspace=agent.workspace_id, slug__in=agent.skills)}
    if any(slug not in rows for slug in agent.skills):
        all_of_them = Skill.objects.filter(workspace=agent.workspace_id).order_by("slug")
        _refuse_unknown("skills", "skill", agent.skills, list(all_of_them.values_list("slug", flat=True)))
    return [rows[slug] for slug in agent.skills]


def _refuse_unknown(field: str, what: str, wanted: Iterable[str], there: Collection[str]) -> None:
    for name in wanted:
        if name not in there:
            shown = ", ".join(sorted(there)[:MOST_NAMED]) or "none"
            raise Invalid.field(field, f"there is no {what} {name[:60]!r} in this workspace; there is {shown}",
                                f"unknown_{what}")  # fmt: skip


def _record(agent: Agent, by: Actor, **data: Any) -> None:
    audit.record(
        audit.Entry(
            type="agent.changed",
            workspace_id=agent.workspace_id,
            who=audit.person(by),
            target=("agent", agent.pk),
            agent_id=agent.pk,
            data=data,
        )
    )
