"""What stops an agent or a tool at once, and how far an agent is trusted; each change is in the audit log.

The switch of a whole workspace is in accounts/services/workspaces.py.
"""

from typing import Any
from uuid import UUID

from django.db import transaction

from accounts.models import Actor, Role, Workspace
from accounts.permissions import own_key
from agents.models import Agent, ToolSetting
from agents.tools import registry
from approvals.autonomy import Autonomy
from approvals.services import audit, policies
from core import commits
from core.errors import Forbidden, Invalid, NotFound


class MayNotSwitch(Forbidden):
    """The person's role does not carry this."""

    code = "role_required"
    default_detail = "Only a manager or an admin of the workspace may do this."


class UnknownAgent(NotFound):
    """There is no such agent in the workspace."""

    code = "unknown_agent"
    title = "There is no such agent"


def find(actor: Actor, agent_id: UUID) -> Agent:
    """The caller's agent; raises UnknownAgent."""
    found: Agent | None = Agent.objects.visible_to(actor).filter(pk=agent_id).first()
    if found is None:
        raise UnknownAgent(f"There is no agent {agent_id} in this workspace. GET /v1/ai/agents lists them.")
    return found


@transaction.atomic
def change_agent(agent: Agent, *, by: Actor, autonomy: str | None = None, enabled: bool | None = None) -> Agent:
    """Trust an agent more or less, or switch it on or off; what is None stays.

    Only an admin makes an agent autonomous. Requests that wait and that are judged otherwise by the new autonomy are
    superseded after the commit. Raises MayNotSwitch, Invalid, or KeyOfAnother for more than to switch it off.
    """
    admit(by, agent.workspace_id)
    if autonomy is not None and autonomy not in Autonomy.values:
        raise Invalid.field("autonomy", f"one of {', '.join(Autonomy.values)}")
    # Saved as a row, and not updated by a query: the schedule of an agent follows what is saved.
    locked = Agent.objects.select_for_update(no_key=True).get(pk=agent.pk)
    before = {"autonomy": locked.autonomy, "enabled": locked.enabled}
    wanted = {"autonomy": autonomy, "enabled": enabled}
    after = {name: value if wanted[name] is None else wanted[name] for name, value in before.items()}
    if before == after:
        return locked
    promoted = before["autonomy"] != after["autonomy"]
    if promoted or enabled:
        own_key(by)
    if promoted and autonomy == Autonomy.AUTONOMOUS and not by.may(Role.ADMIN):
        raise MayNotSwitch("Only an admin of the workspace makes an agent autonomous.")
    locked.autonomy, locked.enabled = str(after["autonomy"]), bool(after["enabled"])
    locked.save(update_fields=["autonomy", "enabled", "updated_at"])
    _tell("agent.promoted" if promoted else "agent.changed", by, ("agent", agent.pk), before=before, after=after)
    if promoted:
        commits.after(policies.rejudge, agent.workspace_id, agent_id=agent.pk)
    return locked


@transaction.atomic
def change_tool(workspace: Workspace, tool: str, *, by: Actor, enabled: bool) -> ToolSetting:
    """Switch a tool on or off for a workspace.

    Raises MayNotSwitch, Invalid for a tool that does not exist, or KeyOfAnother for more than to switch it off.
    """
    admit(by, workspace.pk)
    if registry.get(tool, workspace.pk) is None:
        raise Invalid.field("tool", f"there is {', '.join(registry.names(workspace.pk))}", "unknown_tool")
    setting, _ = ToolSetting.objects.get_or_create(workspace=workspace, tool=tool)
    setting = ToolSetting.objects.select_for_update().get(pk=setting.pk)
    if setting.enabled == enabled:
        return setting
    if enabled:
        own_key(by)
    setting.enabled = enabled
    setting.save()
    _tell("tool.enabled" if enabled else "tool.disabled", by, ("tool", setting.pk), tool=tool)
    return setting


def admit(by: Actor, workspace_id: UUID) -> None:
    """Raises MayNotSwitch for whoever is neither manager nor admin of the workspace."""
    if by.workspace.pk != workspace_id or not by.may(Role.MANAGER):
        raise MayNotSwitch


def _tell(type: str, by: Actor, target: tuple[str, UUID], **told: Any) -> None:
    audit.record(
        audit.Entry(
            type=type,
            workspace_id=by.workspace.pk,
            who=audit.person(by),
            target=target,
            agent_id=target[1] if target[0] == "agent" else None,
            data=told,
        )
    )
