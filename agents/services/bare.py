"""The agent that stands for models which people talk to alone: no instructions, no tools, nothing remembered.

Runs, actions, budgets and the audit log are an agent's. So one of each workspace is there for models without an agent,
made when the first is asked: it has a switch, budgets and policies like any other, and nothing to tell a model.
"""

from django.db import IntegrityError, transaction

from accounts.models import Workspace
from agents.models import Agent
from approvals.services import audit
from core.errors import Conflict, Invalid

SLUG, NAME = "bare-models", "Models alone"
EMPTY = ("instructions", "personality", "tone", "schedule", "tools", "skills", "may_ask")


class BareOff(Conflict):
    """An admin has switched the agent off that stands for models alone."""

    code = "agent_disabled"
    title = "Models alone are switched off here"


def agent(workspace: Workspace) -> Agent:
    """The workspace's agent for models alone, made where there is none yet; raises BareOff."""
    rows = Agent.objects.filter(workspace=workspace, bare=True)
    found: Agent | None = rows.first() or _made(workspace) or rows.first()
    if found is None:
        raise BareOff(f"An agent of this workspace is called {SLUG}: rename it, and models can be asked alone.")
    if not found.enabled:
        raise BareOff(f"The agent {found.slug!r} is switched off. Ask a companion or an agent, or an admin.")
    return found


def check(agent: Agent) -> None:
    """Raises Invalid for a bare agent that is to have something."""
    named = next((name for name in EMPTY if agent.bare and getattr(agent, name)), None)
    if named is not None:
        raise Invalid.field(named, "this agent stands for models alone; make another agent for this", "bare_agent")


def _made(workspace: Workspace) -> Agent | None:
    """A new one; None where somebody else has made it, or has given its slug to another."""
    about = "Stands for models that people talk to alone."
    made = Agent(workspace=workspace, slug=SLUG, name=NAME, description=about, bare=True)
    try:
        with transaction.atomic():
            made.save(force_insert=True)
            audit.record(
                audit.Entry(
                    type="agent.changed",
                    workspace_id=workspace.pk,
                    who=audit.SYSTEM,
                    target=("agent", made.pk),
                    agent_id=made.pk,
                    data={"before": None, "after": {"slug": SLUG, "bare": True, "autonomy": str(made.autonomy)}},
                )
            )
    except IntegrityError:
        return None
    return made
