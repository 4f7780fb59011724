"""What a person may see of their memories with one agent."""

from accounts.models import Actor
from agents.models import Agent
from memory.models import Entry


def with_agent(actor: Actor, agent: Agent, *, limit: int) -> list[Entry]:
    """The caller's memories that count now, of the companions that speak as this agent, the newest first."""
    rows = Entry.objects.visible_to(actor).live().filter(owner__companion__agent=agent)
    return list(rows.defer("terms", "embedding").order_by("-id")[:limit])
