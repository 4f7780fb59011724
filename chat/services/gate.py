"""The gate: what becomes of a call that a model asks for. Nothing here writes; `actions` and `execution` act on it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from uuid import UUID

from accounts.models import Membership, Workspace
from agents.models import Agent, ToolSetting
from agents.providers.base import ToolCall
from agents.services import versions
from agents.tools import client, registry
from agents.tools.registry import Context, ToolSpec
from approvals import rules
from approvals.autonomy import Autonomy
from approvals.calls import Call, Person
from approvals.rules import Allow, Ask, Deny, Observe, Rules, Verdict
from chat.models import Action, Conversation, Run, RunRole
from chat.services import heard
from core import digest
from core.errors import DomainError, FieldError, Invalid

SILENT = "client_silent"
SAID_NO = "rejected_before"
REFUSALS = {
    "unknown_tool": "There is no such tool here.",
    "malformed_arguments": "The arguments are not a JSON object.",
    "tool_disabled": "The tool is switched off in this workspace.",
    "agent_disabled": "The agent is switched off, or one that had it do this.",
    "team_disabled": "The team that asked is switched off.",
    "workspace_frozen": "The workspace is frozen: no action runs until an admin lifts that.",
    "too_many_requests": "This run has asked for as many approvals as it may. Wait for those, or do without.",
    SAID_NO: "People said no to this very call when the agent woke before. They are asked again once it was not called "
    "for in between.",
    "observed": "This agent only observes: the proposal was recorded, and nothing ran.",
    "cancelled": "The run was cancelled before the call began.",
    "tool_changed": "The tool, or where it reaches, was changed since the call was judged. Propose it again.",
    "policy_changed": "The policy was changed since the call was judged, and does not allow it any more.",
    "digest_mismatch": "What is stored is not what was approved. Nothing ran.",
    "approval_not_valid": "The approval does not hold any more. Propose the call again.",
    SILENT: "The client did not bring the result of a call before, and is asked nothing more in this run.",
    "tier_required": "Approvals need the tier pro or higher, and this call would have to be approved.",
}


TRUST = (Autonomy.OBSERVER, Autonomy.ADVISOR, Autonomy.AUTONOMOUS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Who had an agent do something: another agent, or a team that it answers for."""

    team: bool
    enabled: bool
    autonomy: str  # of the agent, or of the team's lead

    @property
    def off(self) -> str:
        """The code of its switch."""
        return "team_disabled" if self.team else "agent_disabled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a call comes from, as things stand now."""

    workspace: Workspace
    agent: Agent
    companion: str
    person: Person | None
    run_id: UUID | None
    session_id: UUID | None
    companion_id: UUID | None
    autonomy: str  # of the agent, or less, where an agent that is trusted less asked it
    allowed: frozenset[str]  # the tools that the agent has and the companion lets through
    stopped: str = ""  # the code of the switch that is thrown of an agent or a team that asked
    off: frozenset[str] = frozenset()  # the tools that are switched off
    theirs: Mapping[str, client.Definition] = field(default_factory=dict)  # the client's tools, by name
    silent: bool = False  # the client did not bring a result in time


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A call with its verdict; None, with a code and a reason, where it is refused whatever policy says."""

    proposed: ToolCall
    spec: ToolSpec | None
    arguments: dict[str, Any]
    call: Call | None = None
    verdict: Verdict | None = None
    code: str = ""
    reason: str = ""
    preview: Mapping[str, Any] = field(default_factory=dict)
    client: bool = False


def origin_of(run: Run) -> Origin:
    """Where the calls of this run come from."""
    conversation = run.conversation
    origin = _origin(run.workspace, run.agent, run.person_id, run.companion_type, run.pk, conversation)
    origin = replace(origin, allowed=origin.allowed & frozenset(versions.tools(run.agent, run.agent_version)))
    if not run.client_tools:
        return origin
    silent = Action.objects.filter(run=run, client=True, code=SILENT).exists()
    return replace(origin, theirs={one["name"]: one for one in run.client_tools}, silent=silent)


def origin_of_action(action: Action) -> Origin:
    """Where this action's call comes from."""
    workspace, agent, person_id = action.workspace, action.agent, action.person_id
    return _origin(workspace, agent, person_id, action.companion_type, action.run_id, action.conversation)


def _origin(
    workspace: Workspace,
    agent: Agent,
    person_id: UUID | None,
    companion: str,
    run_id: UUID | None,
    conversation: Conversation | None,
) -> Origin:
    askers = _askers(run_id) if conversation and conversation.parent_id else []
    narrowed = conversation.companion.tools_allowed if conversation and conversation.companion else []
    off = ToolSetting.objects.filter(workspace=workspace, enabled=False).values_list("tool", flat=True)
    return Origin(
        workspace=workspace,
        agent=agent,
        companion=companion,
        person=_person(workspace, person_id) if person_id else None,
        run_id=run_id,
        session_id=conversation.pk if conversation else None,
        companion_id=conversation.remembering_id if conversation else None,
        # Trusted no further than any agent that asked it, which could act through it.
        autonomy=min((agent.autonomy, *(one.autonomy for one in askers if not one.team)), key=TRUST.index),
        allowed=frozenset(agent.all_tools) & frozenset(narrowed or agent.all_tools),
        stopped=next((one.off for one in askers if not one.enabled), ""),
        off=frozenset(off),
    )


def _askers(run_id: UUID | None) -> list[Asker]:
    """Who asked for a run within another, and who asked for that one, the nearest first."""
    found: list[Asker] = []
    shown = "parent", "role", "parent__agent__autonomy", "parent__agent__enabled", "parent__conversation__team__enabled"
    while run_id is not None:
        row = Run.objects.filter(pk=run_id, parent__isnull=False).values_list(*shown).first()
        if row is None:
            break
        run_id, role, autonomy, agent_on, team_on = row
        team = role != RunRole.DELEGATE
        found.append(Asker(team=team, enabled=team_on is not False if team else agent_on, autonomy=autonomy))
    return found


def _person(workspace: Workspace, user_id: UUID) -> Person:
    member = Membership.objects.filter(workspace=workspace, user_id=user_id).select_related("user").first()
    return Person(user_id, member.user.email, member.role) if member else Person(user_id, "", "")


def call_of(origin: Origin, tool: str, risk: str, arguments: dict[str, Any]) -> Call:
    """The call as policy judges it."""
    return Call(
        workspace_id=origin.workspace.pk,
        tier=origin.workspace.tier,
        tool=tool,
        risk=risk,
        arguments=arguments,
        agent=origin.agent.slug,
        agent_id=origin.agent.pk,
        autonomy=origin.autonomy,
        companion=origin.companion,
        person=origin.person,
        run_id=origin.run_id,
        session_id=origin.session_id,
    )


def judge(origin: Origin, proposed: ToolCall, held: Rules, *, key: UUID) -> Judged:
    """What becomes of a call: policy's verdict (`rules.judge`), unless it is refused whatever that says.

    A tool may look at the world to check it and to preview it.
    """
    spec = registry.get(proposed.name, origin.workspace.pk)
    if spec is not None and spec.name in origin.allowed:
        return _judge(origin, proposed, spec, held, key)
    if definition := origin.theirs.get(proposed.name):
        return replace(_judge_theirs(origin, proposed, client.spec(definition), held, key), client=True)
    return _refused(proposed, None, proposed.arguments or {}, "unknown_tool")


def _judge_theirs(origin: Origin, proposed: ToolCall, spec: ToolSpec, held: Rules, key: UUID) -> Judged:
    """The verdict on a call that the client makes: policy may deny it; it does nothing here that could be approved."""
    if origin.silent:
        return _refused(proposed, spec, proposed.arguments or {}, SILENT)
    found = _judge(origin, proposed, spec, held, key)
    if isinstance(found.verdict, Ask) or found.code == "tier_required":
        policy = found.verdict.policy if found.verdict else ""
        return replace(found, verdict=Allow(policy=policy), code="", reason="")
    return found


def _judge(origin: Origin, proposed: ToolCall, spec: ToolSpec, held: Rules, key: UUID) -> Judged:
    arguments = proposed.arguments or {}
    if proposed.arguments is None:
        return _refused(proposed, spec, {}, "malformed_arguments")
    if code := switched_off(origin, spec.name):
        return _refused(proposed, spec, arguments, code)
    context = context_of(origin, key)
    try:
        digest.canonical(arguments)
        arguments = registry.check(spec, arguments)
        registry.validate(spec, arguments, context)
    except DomainError as error:
        said = " ".join(f"{one.field}: {one.message}" for one in error.errors) or error.detail
        return _refused(proposed, spec, arguments, "invalid_arguments", said)
    call = call_of(origin, spec.name, registry.risk(spec, arguments, context), arguments)
    verdict = rules.judge(call, held)
    match verdict:
        case Ask():
            preview = registry.preview(spec, arguments, context)
            return Judged(
                proposed=proposed, spec=spec, arguments=arguments, call=call, verdict=verdict, preview=preview
            )
        case Deny():
            return _refused(proposed, spec, arguments, verdict.code, verdict.reason, verdict)
        case Observe():
            return _refused(proposed, spec, arguments, "observed", "", verdict)
        case Allow():
            return Judged(proposed=proposed, spec=spec, arguments=arguments, call=call, verdict=verdict)


def switched_off(origin: Origin, tool: str) -> str:
    """The code of the kill switch that is thrown; empty where none is."""
    if origin.workspace.frozen:
        return "workspace_frozen"
    if not origin.agent.enabled:
        return "agent_disabled"
    if origin.stopped:
        return origin.stopped
    return "tool_disabled" if tool in origin.off else ""


def context_of(origin: Origin, key: UUID) -> Context:
    """What a tool is told of a call that it is to check or to preview."""
    person_id = origin.person.id if origin.person else None
    return Context(
        workspace_id=origin.workspace.pk,
        key=str(key),
        attempt=0,
        person_id=person_id,
        agent_id=origin.agent.pk,
        companion_id=origin.companion_id,
        heard=partial(heard.texts, origin.session_id),
    )


def _refused(
    proposed: ToolCall,
    spec: ToolSpec | None,
    arguments: dict[str, Any],
    code: str,
    reason: str = "",
    verdict: Verdict | None = None,
) -> Judged:
    reason = reason or REFUSALS.get(code, "")
    return Judged(proposed=proposed, spec=spec, arguments=arguments, verdict=verdict, code=code, reason=reason)


def digest_of(action: Action) -> str:
    """What a decision is bound to: everything of the action that says what would run, and under which policy."""
    return digest.hexdigest(
        {
            "workspace": str(action.workspace_id),
            "run": str(action.run_id),
            "call": action.call_id,
            "tool": action.tool,
            "tool_version": action.tool_version,
            "arguments": action.arguments,
            "policy_version": action.policy_version,
        }
    )


def revised(action: Action, arguments: dict[str, Any], held: Rules) -> Judged:
    """Edited arguments in place of those proposed; raises Invalid where they do not fit."""
    proposed = ToolCall(action.call_id, action.tool, arguments)
    judged = judge(origin_of_action(action), proposed, held, key=action.pk)
    if judged.code == "invalid_arguments":
        raise Invalid(judged.reason, errors=[FieldError("arguments", "invalid", judged.reason)])
    return judged
