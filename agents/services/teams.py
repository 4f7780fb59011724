"""Teams of agents: who answers together, and how. Each change is in the audit log."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import ProtectedError
from django.utils.text import slugify

from accounts.models import Actor, Role
from accounts.permissions import own_key
from agents.models import Agent, AgentTeam, TeamMember
from agents.services.switches import MayNotSwitch, find
from agents.teams import MOST_MEMBERS
from approvals.services import audit
from core.errors import Conflict, Invalid, NotFound

MOST = 200  # of a workspace
FIELDS = ("name", "description", "chat_mode", "enabled")


class UnknownTeam(NotFound):
    """There is no such team in the workspace."""

    code = "unknown_team"
    title = "There is no such team"


class UnknownMember(NotFound):
    """The agent is no member of the team."""

    code = "unknown_member"
    title = "The agent is not in the team"


class TeamExists(Conflict):
    """The workspace has a team of this slug."""

    code = "team_exists"
    title = "There is a team of this slug already"


class TeamUsed(Conflict):
    """People have talked with the team, and their sessions name it."""

    code = "team_used"
    default_detail = (
        "People have talked with this team, and their sessions name it. Switch it off: PATCH enabled=false."
    )


def get(team_id: UUID, *, by: Actor) -> AgentTeam:
    """The caller's team with its lead; raises UnknownTeam."""
    rows = AgentTeam.objects.visible_to(by).select_related("lead", "workspace")
    found: AgentTeam | None = rows.filter(pk=team_id).first()
    if found is None:
        raise UnknownTeam(f"There is no team {team_id} in this workspace. GET /v1/ai/teams lists them.")
    return found


@transaction.atomic
def create(
    *, by: Actor, name: str, agents: Sequence[str] = (), slug: str = "", lead: str = "", **fields: Any
) -> AgentTeam:
    """Make a team of the agents of these slugs; unless another is named its first member leads it, whenever it comes.

    Raises MayNotSwitch, Invalid for slugs of no agent or a team too many, TeamExists.
    """
    _admit(by)
    check_room(by.workspace.pk)
    found = _agents(by, agents) if agents else []
    slug = slug or slugify(name)[:60]
    if not slug:
        raise Invalid.field("slug", "the name makes none: send one", "required")
    leader = _agents(by, [lead], "lead")[0] if lead else next(iter(found), None)
    team = AgentTeam(workspace=by.workspace, slug=slug, name=name, lead=leader, **fields)
    try:
        with transaction.atomic():
            team.save(force_insert=True)
    except IntegrityError:
        raise TeamExists(f"There is a team {slug!r} already.") from None
    _seat(team, found)
    record(team, by, before=None)
    return team


@transaction.atomic
def change(
    team: AgentTeam, *, by: Actor, agents: Sequence[str] | None = None, lead: str | None = None, **fields: Any
) -> AgentTeam:
    """Change what is given of a team: its fields, its lead, all of its members. Raises MayNotSwitch or Invalid.

    Whichever key switches it off; for anything else raises KeyOfAnother.
    """
    _admit(by, switches_off=agents is None and lead is None and fields == {"enabled": False})
    locked = _locked(team)
    before = told(locked)
    for name, value in fields.items():
        setattr(locked, name, value)
    if lead is not None:
        locked.lead = _agents(by, [lead], "lead")[0]
    found = _agents(by, agents) if agents is not None else []
    locked.lead = locked.lead or next(iter(found), None)
    locked.save()
    if agents is not None:
        locked.members.all().delete()
        _seat(locked, found)
    record(locked, by, before=before)
    return locked


@transaction.atomic
def add(team: AgentTeam, agent_id: UUID, *, by: Actor) -> AgentTeam:
    """Give an agent the last place of a team, unless it has one. Raises MayNotSwitch, UnknownAgent, Invalid."""
    agent = find(by, agent_id)
    _admit(by)
    locked = _locked(team)
    before = told(locked)
    if locked.members.filter(agent=agent).exists():
        return locked
    last = locked.members.last()
    if locked.members.count() >= MOST_MEMBERS:
        raise Invalid(f"A team has {MOST_MEMBERS} members at most.")
    TeamMember.objects.create(team=locked, agent=agent, place=last.place + 1 if last else 1)
    if locked.lead is None:
        locked.lead = agent
        locked.save()
    record(locked, by, before=before)
    return locked


@transaction.atomic
def drop(team: AgentTeam, agent_id: UUID, *, by: Actor) -> AgentTeam:
    """Take an agent's place in a team away. Raises MayNotSwitch, UnknownAgent, UnknownMember."""
    agent = find(by, agent_id)
    _admit(by)
    locked = _locked(team)
    before = told(locked)
    if not locked.members.filter(agent=agent).delete()[0]:
        raise UnknownMember(f"{agent.name} is not in the team.")
    record(locked, by, before=before)
    return locked


@transaction.atomic
def remove(team: AgentTeam, *, by: Actor) -> None:
    """Delete a team that nobody has talked with; raises MayNotSwitch or TeamUsed."""
    _admit(by)
    locked = _locked(team)
    before = told(locked)
    try:
        with transaction.atomic():
            locked.delete()
    except ProtectedError:
        raise TeamUsed from None
    locked.pk = team.pk
    _tell(locked, by, before=before, after=None)


def retire(team: AgentTeam, *, by: Actor) -> AgentTeam | None:
    """Delete a team, or switch it off where people have talked with it; gives it then. Raises MayNotSwitch."""
    try:
        remove(team, by=by)
    except TeamUsed:
        return change(team, by=by, enabled=False)
    return None


def check_room(workspace_id: UUID) -> None:
    """Raises Invalid where the workspace has as many teams as it may."""
    if AgentTeam.objects.filter(workspace=workspace_id).count() >= MOST:
        raise Invalid(f"A workspace has {MOST} teams at most. Delete one first.")


def check(team: AgentTeam) -> None:
    """Raises Invalid where a stored team has a lead or a member of another workspace, or too many members."""
    if team.members.count() > MOST_MEMBERS:
        raise Invalid.field("agents", f"a team has {MOST_MEMBERS} members at most", "too_many")
    its = [team.lead_id, *team.members.values_list("agent", flat=True)]
    others = Agent.objects.filter(pk__in=[agent_id for agent_id in its if agent_id])
    if others.exclude(workspace=team.workspace_id).exists():
        raise Invalid.field("agents", "all of them are of the team's workspace", "unknown_agent")


def told(team: AgentTeam) -> dict[str, Any]:
    """The team as the log has it."""
    members = list(team.members.values_list("agent__slug", flat=True))
    return {
        "slug": team.slug,
        **{name: getattr(team, name) for name in FIELDS},
        "lead": team.lead.slug if team.lead else "",
        "agents": members,
    }


def record(team: AgentTeam, by: Actor, *, before: dict[str, Any] | None) -> None:
    """Tell the log what became other, in the transaction that changed it."""
    after = told(team)
    if before != after:
        _tell(team, by, before=before, after=after)


def _tell(team: AgentTeam, by: Actor, **data: Any) -> None:
    audit.record(
        audit.Entry(
            type="team.changed",
            workspace_id=team.workspace_id,
            who=audit.person(by),
            target=("team", team.pk),
            data=data,
        )
    )


def _locked(team: AgentTeam) -> AgentTeam:
    rows = AgentTeam.objects.select_for_update(of=("self",), no_key=True).select_related("lead", "workspace")
    locked = rows.filter(pk=team.pk).first()
    if locked is None:
        raise UnknownTeam("The team was deleted meanwhile.")
    return locked


def _agents(by: Actor, slugs: Sequence[str], field: str = "agents") -> list[Agent]:
    """The workspace's agents of these slugs, in this order; raises Invalid for one that there is not, or twice."""
    if len(set(slugs)) != len(slugs):
        raise Invalid.field(field, "each may stand here once", "repeated")
    if not 0 < len(slugs) <= MOST_MEMBERS:
        raise Invalid.field(field, f"from 1 to {MOST_MEMBERS}")
    rows = {agent.slug: agent for agent in Agent.objects.visible_to(by).filter(slug__in=slugs)}
    if missing := [slug for slug in slugs if slug not in rows]:
        raise Invalid.field(field, f"there is no agent {missing[0][:60]!r} in this workspace", "unknown_agent")
    return [rows[slug] for slug in slugs]


def _seat(team: AgentTeam, agents: Sequence[Agent]) -> None:
    rows = [TeamMember(team=team, agent=agent, place=place) for place, agent in enumerate(agents, 1)]
    TeamMember.objects.bulk_create(rows)


def _admit(by: Actor, *, switches_off: bool = False) -> None:
    if not by.may(Role.MANAGER):
        raise MayNotSwitch
    if not switches_off:
        own_key(by)
