"""Skills: bundles of tools that agents have. A change of one is a new version of each agent that has it."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils.text import slugify

from accounts.models import Actor, Role
from accounts.permissions import RoleMissing
from agents.models import Agent, Skill
from agents.services import authors, definitions, versions
from agents.tools import registry
from approvals.services import audit
from core.errors import Conflict, Invalid, NotFound

SAID = ("name", "description", "instructions", "tools")
TEXTS = {"name": 200, "description": 2_000, "instructions": 20_000}
MOST_TOOLS = 100
MOST = 500  # of a workspace


class UnknownSkill(NotFound):
    """There is no such skill in the workspace."""

    code = "unknown_skill"
    title = "There is no such skill"


class SkillExists(Conflict):
    """The workspace has a skill of this slug."""

    code = "skill_exists"
    title = "There is a skill of this slug already"


class SkillUsed(Conflict):
    """Agents have the skill."""

    code = "skill_used"
    title = "Agents have the skill"


def find(actor: Actor, skill_id: UUID) -> Skill:
    """The caller's skill; raises UnknownSkill."""
    found: Skill | None = Skill.objects.visible_to(actor).filter(pk=skill_id).first()
    if found is None:
        raise UnknownSkill(f"There is no skill {skill_id} in this workspace. GET /v1/ai/skills lists them.")
    return found


def admit_reader(by: Actor) -> None:
    """Raises RoleMissing for whoever is neither manager nor admin: instructions are not for everybody."""
    if not by.may(Role.MANAGER):
        raise RoleMissing


@transaction.atomic
def create(*, by: Actor, name: str, slug: str = "", **said: Any) -> Skill:
    """A new skill; raises RoleMissing, Invalid for what does not fit, SkillExists."""
    definitions.admit(by)
    slug = slug or slugify(name)[:60]
    if not slug:
        raise Invalid.field("slug", "the name makes none: send one", "required")
    if Skill.objects.filter(workspace=by.workspace).count() >= MOST:
        raise Invalid(f"A workspace has {MOST} skills at most. Delete one first.")
    return keep_new(Skill(workspace=by.workspace, slug=slug, name=name, **said), by=by)


@transaction.atomic
def keep_new(skill: Skill, *, by: Actor) -> Skill:
    """Store a skill that is not stored yet; raises as `create`."""
    _check(skill, [])
    skill.author_ids = [by.user.pk]
    try:
        with transaction.atomic():
            skill.save(force_insert=True)
    except IntegrityError:
        raise SkillExists(f"There is a skill {skill.slug!r} already.") from None
    _record(skill, by, before=None, after=_told(skill))
    return skill


@transaction.atomic
def change(skill: Skill, *, by: Actor, **said: Any) -> Skill:
    """Change a skill, and with it each agent that has it; raises RoleMissing, UnknownSkill, Invalid."""
    definitions.admit(by)
    locked = _locked(skill, by)
    before = _told(locked)
    for name, value in said.items():
        if name not in SAID:
            raise Invalid.field(name[:100], f"is not said of a skill; there is {', '.join(SAID)}")
        setattr(locked, name, value)
    _check(locked, before["tools"])
    if _told(locked) == before:
        return locked
    locked.author_ids = authors.after(locked.author_ids, _words(before), _words(_told(locked)), by.user.pk)
    locked.save()
    _record(locked, by, before=before, after=_told(locked))
    for agent in _with(locked).select_for_update(no_key=True).order_by("pk"):
        told = versions.snapshot(agent)
        rows = {row.slug: row for row in Skill.objects.filter(workspace=agent.workspace_id, slug__in=agent.skills)}
        agent.given = definitions.given_by(rows[slug] for slug in agent.skills if slug in rows)
        definitions.advance(agent, by=by, before=told)
    return locked


@transaction.atomic
def remove(skill: Skill, *, by: Actor) -> None:
    """Delete a skill that no agent has; raises RoleMissing, UnknownSkill, SkillUsed."""
    definitions.admit(by)
    locked = _locked(skill, by)
    if slugs := list(_with(locked).order_by("slug").values_list("slug", flat=True)[:10]):
        raise SkillUsed(f"Take it from {', '.join(slugs)} first.")
    _record(locked, by, before=_told(locked), after=None)
    locked.delete()


def told_apart(by: Actor, words: Sequence[str]) -> dict[str, list[str]]:
    """What people call an agent's skills: `skills` of the workspace by their slugs, and other words: `capabilities`."""
    known = set(Skill.objects.visible_to(by).filter(slug__in=words).values_list("slug", flat=True))
    each = list(dict.fromkeys(words))
    return {
        "skills": [word for word in each if word in known],
        "capabilities": [word for word in each if word not in known],
    }


def _with(skill: Skill) -> Any:
    """The agents that have a skill."""
    return Agent.objects.filter(workspace=skill.workspace_id, skills__contains=[skill.slug])


def _locked(skill: Skill, by: Actor) -> Skill:
    locked: Skill | None = Skill.objects.visible_to(by).select_for_update().filter(pk=skill.pk).first()
    if locked is None:
        raise UnknownSkill("The skill was deleted meanwhile.")
    return locked


def _check(skill: Skill, known: list[str]) -> None:
    for name, most in TEXTS.items():
        text = getattr(skill, name)
        if not isinstance(text, str) or len(text) > most or "\x00" in text:
            raise Invalid.field(name, f"a text of {most} characters at most")
    if not skill.name.strip():
        raise Invalid.field("name", "may not be empty", "blank")
    tools = skill.tools
    if not isinstance(tools, list) or len(tools) > MOST_TOOLS or not all(isinstance(one, str) for one in tools):
        raise Invalid.field("tools", f"up to {MOST_TOOLS} names of tools")
    if len(set(tools)) != len(tools):
        raise Invalid.field("tools", "each may stand here once", "repeated")
    registry.check_names("tools", tools, skill.workspace_id, kept=known)


def _told(skill: Skill) -> dict[str, Any]:
    return {"slug": skill.slug, **{name: getattr(skill, name) for name in SAID}}


def _words(told: dict[str, Any]) -> dict[str, Any]:
    """What agents get of it."""
    return {name: told[name] for name in ("instructions", "tools")}


def _record(skill: Skill, by: Actor, **data: Any) -> None:
    audit.record(
        audit.Entry(
            type="skill.changed",
            workspace_id=skill.workspace_id,
            who=audit.person(by),
            target=("skill", skill.pk),
            data=data,
        )
    )
