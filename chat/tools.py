"""The tools by which an agent asks another one, and writes to people by itself."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from uuid import UUID

from django.db.models import Q
from msgspec import Meta

from accounts.models import User
from agents.models import Agent, AgentKind
from agents.services import reporting
from agents.tools.registry import Context, HandedOn, Preview, Retry, Risk, ToolFailed, ToolResult, tool
from approvals.models import Approval
from chat.models import Action
from chat.services import nesting, proactive
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


Words = Annotated[str, Meta(description="What they read, as Markdown.", min_length=1, max_length=20_000)]
Recipient = Annotated[
    str,
    Meta(
        description="The e-mail address of a member of the workspace, or the name of a group. Left out: whom you "
        "report to.",
        max_length=254,
    ),
]


def _meant(context: Context, to: str) -> tuple[Agent, list[User]]:
    """The agent that writes, and those whom it means; raises Invalid where it may not write, or means nobody."""
    rows = Agent.objects.filter(workspace=context.workspace_id)
    agent = rows.filter(pk=context.agent_id).first() if context.agent_id else None
    if agent is None or agent.kind != AgentKind.MANAGER:
        raise Invalid("Only an agent of kind manager, which works in the background, writes to people by itself.")
    if not to and not agent.reports_to:
        raise Invalid.field("to", "say whom: you report to nobody in particular", "required")
    found = reporting.people(context.workspace_id, to or agent.reports_to)
    if not found:
        raise Invalid.field("to", "no member of this workspace has this address, and no group with members this name")
    return agent, found


def _may_write(context: Context, message: str, to: str) -> None:
    if not message.strip():
        raise Invalid.field("message", "may not be blank", "blank")
    _meant(context, to)


def _reach(context: Context, message: str, to: str) -> Risk:
    """Read, which runs unasked, where all of them are people whom the agent reports to; never raises."""
    try:
        agent, found = _meant(context, to)
        told = {one.pk for one in reporting.people(context.workspace_id, agent.reports_to)} if agent.reports_to else ()
    except Invalid:
        return Risk.WRITE
    return Risk.READ if {one.pk for one in found}.issubset(told) else Risk.WRITE


def _letter(context: Context, message: str, to: str) -> Preview:
    agent, found = _meant(context, to)
    addresses = [one.email for one in found]
    whom = addresses[0] if len(found) == 1 else f"the {len(found)} people of “{to or agent.reports_to}”"
    return Preview(f"Write to {whom}.", recipients=addresses, details={"message": message})


@tool(risk=Risk.WRITE, retry=Retry.KEYED, validate=_may_write, preview=_letter, risk_of=_reach)
def message_person(context: Context, message: Words, to: Recipient = "") -> ToolResult:
    """Write to a person of the workspace, or to all of a group, by yourself: they find it unread in their inbox.

    They may answer you there. Nobody outside of the workspace is reached.
    """
    agent, found = _meant(context, to)
    shown = _shown(UUID(context.key), to)
    meant = [one for one in found if shown is None or one.email in shown]
    if not meant:
        raise ToolFailed("None of those whom the approver was shown is meant by this any more. Propose the call again.")
    proactive.write(agent, meant, text=message, key=UUID(context.key), on_behalf_of=context.person_id)
    people = "1 person" if len(meant) == 1 else f"{len(meant)} people"
    left = len(found) - len(meant)
    late = f" {left} who came to the group after the approver was asked did not get it." if left else ""
    return ToolResult(f"It is in the inbox of {people}.{late}")


def _shown(action_id: UUID, to: str) -> frozenset[str] | None:
    """The addresses that whoever approved the call, or one like it for the time to come, was shown; None for nobody."""
    bound = Action.objects.filter(pk=action_id).values_list("approval_id", "grant_id").first() or (None, None)
    approval = Approval.objects.filter(Q(pk=bound[0]) | Q(grants=bound[1])).first() if any(bound) else None
    if approval is None or approval.arguments.get("to", "") != to:  # whom it is to was left open for the time to come
        return None
    return frozenset(approval.preview.get("recipients", ()))
