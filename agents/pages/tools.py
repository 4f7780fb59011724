"""The tools of a workspace: what they can do, their switches, and what the rules say of them."""

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse

from accounts.models import Actor, Workspace
from accounts.pages import console
from agents.models import Agent, McpTool, Tool, ToolSetting
from agents.services import switches
from agents.tools import registry
from agents.tools.registry import ToolSpec
from approvals.autonomy import Autonomy
from approvals.calls import Call
from approvals.rules import Rules, judge
from approvals.services import policies, simulation
from core import ids

TOOLS = "tools"


@dataclass(frozen=True, slots=True)
class Shown:
    """A tool as the list has it; `verdict` is what the rules say of a call without arguments by any agent."""

    name: str
    title: str
    description: str
    risk: str
    source: str
    enabled: bool
    agents: int
    verdict: str


@console.reads(TOOLS)
def index(request: HttpRequest, actor: Actor) -> HttpResponse:
    """The tools that the workspace has, by name."""
    workspace_id = actor.workspace.pk
    off = set(ToolSetting.objects.filter(workspace=workspace_id, enabled=False).values_list("tool", flat=True))
    sources = dict.fromkeys(McpTool.objects.visible_to(actor).values_list("name", flat=True), "MCP server")
    sources |= dict.fromkeys(Tool.objects.visible_to(actor).values_list("name", flat=True), "described here")

    def found(search: str) -> list[tuple[str, ToolSpec]]:
        named = ((name, registry.get(name, workspace_id)) for name in registry.names(workspace_id))
        wanted = search.casefold()
        return [
            (name, spec)
            for name, spec in named
            if spec and (wanted in name.casefold() or wanted in f"{spec.title} {spec.description}".casefold())
        ]

    listed = console.listed(request, found)
    held, uses = policies.current(workspace_id), _uses(actor)
    rows = [
        Shown(
            name=name,
            title=spec.title,
            description=spec.description,
            risk=spec.risk.value,
            source=sources.get(name, "built in"),
            enabled=name not in off,
            agents=uses.get(name, 0),
            verdict=_verdict(spec, actor.workspace, held),
        )
        for name, spec in listed.rows
    ]
    return console.render(request, actor, TOOLS, "console/tools.html", {"list": listed, "tools": rows})


@console.changes(TOOLS)
def switch(request: HttpRequest, actor: Actor, tool: str) -> HttpResponse:
    """Ask, then switch a tool on or off."""
    spec = registry.get(tool, actor.workspace.pk)
    if spec is None:
        raise console.Gone
    on = not ToolSetting.objects.filter(workspace=actor.workspace, tool=tool, enabled=False).exists()
    off_text = "No agent of this workspace can call it any more; calls that wait for an approval do not run."
    return console.switch(
        request,
        actor,
        TOOLS,
        lambda enabled: switches.change_tool(actor.workspace, tool, by=actor, enabled=enabled),
        what=tool,
        on=on,
        text=off_text if on else "Agents that have it may call it again, as far as policies let them.",
    )


def _verdict(spec: ToolSpec, workspace: Workspace, held: Rules) -> str:
    call = Call(
        workspace_id=workspace.pk,
        tier=workspace.tier,
        tool=spec.name,
        risk=spec.risk.value,
        arguments={},
        agent="",
        agent_id=ids.new(),
        autonomy=Autonomy.AUTONOMOUS.value,
    )
    return simulation.told(judge(call, held))


def _uses(actor: Actor) -> dict[str, int]:
    """How many agents have each tool."""
    counted: dict[str, int] = {}
    agents: Any = Agent.objects.visible_to(actor).only("tools", "given")
    for agent in agents:
        for name in agent.all_tools:
            counted[name] = counted.get(name, 0) + 1
    return counted
