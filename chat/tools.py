"""The tool by which an agent asks another one."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from uuid import UUID

from msgspec import Meta

from agents.models import Agent
from agents.tools.registry import Context, HandedOn, Preview, Retry, Risk, tool
from chat.services import nesting
from core import bridge
from core.errors import Invalid

MOST_NAMED = 100

Slug = Annotated[str, Meta(description="The name of the agent to ask.", max_length=60)]
Question = Annotated[
    str,
    Meta(
        description="All that it needs to know: it sees nothing of your conversation.", min_length=1, max_length=20_000
    ),
]


def _choices(workspace_id: UUID) -> Mapping[str, Sequence[str]]:
    rows = Agent.objects.filter(workspace=workspace_id, enabled=True).order_by("slug")
    return {"agent": list(rows.values_list("slug", flat=True)[:MOST_NAMED])}


def _may(context: Context, agent: str, **_: Any) -> None:
    asking = Agent.objects.filter(pk=context.agent_id).first() if context.agent_id else None
    if asking is None:
        raise Invalid.field("agent", "who asks is gone", "unknown_agent")
    nesting.askable(context.workspace_id, asking, agent)


def _preview(context: Context, agent: str, message: str) -> Preview:
    return Preview(f"Ask the agent “{agent}”.", details={"message": message})


@tool(risk=Risk.READ, retry=Retry.KEYED, validate=_may, preview=_preview, narrow=_choices)
async def ask_agent(context: Context, agent: Slug, message: Question) -> HandedOn:
    """Ask another agent, which has tools and knowledge of its own, and be told its answer.

    What it wants to do is judged and countersigned as what you want to do is.
    """
    await bridge.in_slow_thread(nesting.call, UUID(context.key), context.attempt, slug=agent, message=message)
    return HandedOn()
