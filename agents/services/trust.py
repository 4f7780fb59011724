"""Promotions: which agents have earned it that policy alone decides on what they do."""

from dataclasses import dataclass
from uuid import UUID

from accounts.models import Actor, Role
from agents.models import Agent
from agents.services import switches
from agents.tools import registry
from approvals.autonomy import Autonomy
from approvals.models import Risk
from approvals.services import trust
from approvals.services.trust import MayNotPromote, NoOffer, Standing


@dataclass(frozen=True, slots=True)
class Promotion:
    """An agent that advises and whose every tool that changes something was accepted often enough."""

    agent: Agent
    standings: list[Standing]


def promotions(workspace_id: UUID) -> list[Promotion]:
    """The agents of a workspace that may be made autonomous, by name."""
    earned = {(row.agent_id, row.tool): row for row in trust.table(workspace_id) if row.earned}
    advisors = Agent.objects.filter(workspace_id=workspace_id, autonomy=Autonomy.ADVISOR, enabled=True)
    found = []
    for agent in advisors.filter(pk__in={agent_id for agent_id, _ in earned}).order_by("name", "pk"):
        specs = {name: registry.get(name, agent.workspace_id) for name in agent.all_tools}
        changing = [name for name, spec in specs.items() if spec and spec.risk != Risk.READ]
        standings = [earned[agent.pk, name] for name in changing if (agent.pk, name) in earned]
        if changing and len(standings) == len(changing):
            found.append(Promotion(agent, standings))
    return found


def accept_promotion(agent: Agent, *, by: Actor) -> Agent:
    """Make an agent autonomous that has earned it; raises MayNotPromote or NoOffer."""
    if by.workspace.pk != agent.workspace_id or not by.may(Role.ADMIN):
        raise MayNotPromote
    if not any(one.agent.pk == agent.pk for one in promotions(agent.workspace_id)):
        raise NoOffer
    return switches.change_agent(agent, by=by, autonomy=Autonomy.AUTONOMOUS)
