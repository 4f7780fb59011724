"""Runs within a run: what a team asks of its members, and what an agent asks of another by the tool `ask_agent`.

Each is a run of its own, with its own row, in a conversation of its own that no list shows. So leases, recovery,
approvals, actions and the log are those of every run, and any worker may take it. `place` names what it answers within
its parent: an attempt that comes again finds what one before it has begun.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction

from agents import brain, teams
from agents.brain import Choice
from agents.models import Agent, AgentTeam, ChatMode
from agents.providers import abilities
from agents.services import authors, versions
from agents.teams import Member, Prompt, Team
from agents.tools.registry import ToolFailed
from approvals.services import audit
from chat.models import Action, ActionState, Conversation, Message, Run, RunRole, RunState
from chat.services import actions, families, runs
from core import ids
from core.errors import Conflict, DomainError, Invalid


class TeamOff(Conflict):
    """The team is switched off, or has nobody who could answer."""

    code = "team_disabled"
    title = "The team cannot answer"


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of asking a member: its run, or why there is none. `text` is the answer of one that has ended."""

    prompt: Prompt
    run_id: UUID | None = None
    state: str = ""
    text: str = ""
    error: str = ""


def plan(team: AgentTeam, message: str, *, mode: str | None = None, model: str = "") -> dict[str, Any]:
    """How a team answers a message, as its run keeps it: whoever edits the team meanwhile does not change that.

    Raises Invalid for a mode that there is not, TeamOff where nobody could answer.
    """
    wanted = mode or team.chat_mode
    if wanted not in ChatMode.values:
        raise Invalid.field("mode", f"one of {', '.join(ChatMode.values)}", "unknown_mode")
    rows = [row.agent for row in team.members.select_related("agent") if row.agent.enabled]
    if not team.enabled or not rows:
        why = "switched off" if not team.enabled else "without a member that is switched on"
        raise TeamOff(f"The team {team.name!r} is {why}.")
    members = [_member(agent) for agent in rows[: teams.MOST_MEMBERS]]
    chosen = teams.choose_mode(message, [Member(**one) for one in members]) if wanted == ChatMode.AUTO else wanted
    lead = _member(team.lead or rows[0])
    return {"mode": chosen, "members": members, "lead": lead, "model": model, "heard": {}}


def nominal(team: AgentTeam, *, asked: str | None, preferred: str, user_id: UUID) -> Choice:
    """Who would answer for the lead, or for the first member for whom anybody does: a team's run asks no model itself.

    It answers for members that have no model of their own. Raises DomainError where nobody answers for any of them,
    TeamOff for a team that never had a member.
    """
    members = [row.agent for row in team.members.select_related("agent") if row.agent.enabled][: teams.MOST_MEMBERS]
    if team.lead is None:
        raise TeamOff(f"The team {team.name!r} has no members yet.")
    refused: DomainError | None = None
    for agent in dict.fromkeys([team.lead, *members]):
        try:
            return brain.choose(
                team.workspace,
                asked=asked,
                preferred=preferred if agent == team.lead else "",
                agent_model=agent.model,
                needs=_needs(agent),
                user_id=user_id,
            )
        except DomainError as error:
            refused = refused or error
    assert refused is not None, "a team has a lead"
    raise refused


def team_of(told: dict[str, Any], message: str, past: str) -> Team:
    """The team that a run keeps, with what it answers."""
    members = tuple(Member(**one) for one in told["members"])
    return Team(told["mode"], members, Member(**told["lead"]), message, past)


def _member(agent: Agent) -> dict[str, str]:
    return {
        "agent_id": str(agent.pk),
        "name": agent.name,
        "about": " ".join([agent.description, *map(str, agent.capabilities), *map(str, agent.all_tools)])[:2_000],
    }


def ask(run_id: UUID, attempt: int, prompts: Sequence[Prompt], *, model: str = "") -> list[Asked] | None:
    """Have the agents of these prompts answer, all of them from now on; None where the run is not this attempt's.

    All that is new is stored in one transaction. An agent that cannot be asked has an error in place of a run.
    """
    parent = _with_all(Run.objects.filter(pk=run_id)).first()
    if parent is None:
        return None
    wanted = [prompt.agent.agent_id for prompt in prompts]
    agents = {str(agent.pk): agent for agent in Agent.objects.filter(workspace=parent.workspace_id, pk__in=wanted)}
    choices = {agent_id: _choice(parent, agent, model) for agent_id, agent in agents.items()}
    with transaction.atomic():
        if not Run.objects.select_for_update().filter(pk=run_id, attempt=attempt, state=RunState.RUNNING).exists():
            return None
        known = {row.place: row for row in parent.children.filter(place__in=[one.place for one in prompts])}
        found = []
        for prompt in prompts:
            run = known.get(prompt.place)
            agent, choice = agents.get(prompt.agent.agent_id), choices.get(prompt.agent.agent_id)
            if run is None and (agent is None or not agent.enabled):
                found.append(Asked(prompt, error="agent_disabled"))
            elif run is None and isinstance(choice, DomainError):
                found.append(Asked(prompt, error=choice.code))
            elif run is None:
                assert agent is not None, "looked at above"
                assert isinstance(choice, Choice), "likewise"
                found.append(_begun(parent, agent, choice, prompt))
            else:
                found.append(Asked(prompt, run.pk, run.state, "", ""))
    return found


def _begun(parent: Run, agent: Agent, choice: Choice, prompt: Prompt) -> Asked:
    """Begin a member's run; where it may not be begun that is the member's error and nobody else's."""
    try:
        with transaction.atomic():
            run = _start(parent, agent, choice, text=prompt.text, role=RunRole(prompt.role), place=prompt.place)
    except DomainError as error:
        return Asked(prompt, error=error.code)
    return Asked(prompt, run.pk, run.state)


def outcome_of(run_id: UUID) -> tuple[str, str, dict[str, Any] | None]:
    """The text of a run that has ended, the code of what it failed by, and what it took."""
    run = Run.objects.filter(pk=run_id).first()
    if run is None:
        return "", "deleted", None
    answers = Message.objects.filter(pk=run.answer_id) if run.answer_id else Message.objects.none()
    answer = answers.values_list("content", flat=True).first()
    error = "" if run.state == RunState.COMPLETED else run.error_code or str(run.state)
    return answer or "", error, run.usage


def call(action_id: UUID, attempt: int, *, slug: str, message: str) -> None:
    """Hand a call of `ask_agent` on to the agent of this slug; its run settles the call when it ends.

    Raises ToolFailed where the agent may not be asked. A second attempt finds the run of the first.
    """
    action = Action.objects.select_related("agent").get(pk=action_id)
    parent = _with_all(Run.objects.filter(actions=action)).first()
    if parent is None:
        raise ToolFailed("The run that asks is gone.")
    agent = askable(parent.workspace_id, action.agent, slug)
    kept = versions.kept(action.agent, parent.agent_version)
    if kept is not None and slug not in kept["may_ask"]:
        raise ToolFailed(f"When this run began, its agent could not ask {slug}.")
    choice = _choice(parent, agent, "")
    if isinstance(choice, DomainError):
        raise ToolFailed(f"{agent.name} cannot answer: {choice.detail}") from choice
    with transaction.atomic():
        mine = Action.objects.filter(pk=action_id, attempt=attempt, state=ActionState.EXECUTING)
        if not mine.select_for_update().exists() or Run.objects.filter(pk=parent.pk).exclude(ended_at=None).exists():
            raise ToolFailed("The run that asks has ended.")
        place = f"{families.CALL}{action_id}"
        if not Run.objects.filter(parent=parent, place=place).exists():
            try:
                _start(parent, agent, choice, text=message, role=RunRole.DELEGATE, place=place)
            except DomainError as error:
                raise ToolFailed(error.detail) from error
        mine.update(state=ActionState.DELEGATED, lease_until=None)
        audit.record(actions.entry(action, "action.delegated", to=agent.slug))


def askable(workspace_id: UUID, asking: Agent, slug: str) -> Agent:
    """The agent of this slug that another may ask; raises Invalid, which names those that it may."""
    allowed = [name for name in asking.may_ask if name != asking.slug]
    agent = Agent.objects.filter(workspace=workspace_id, slug=slug, enabled=True).first()
    if agent is None or slug not in allowed:
        raise Invalid.field("agent", f"you may ask {', '.join(allowed) or 'nobody'}", "unknown_agent")
    return agent


def _start(parent: Run, agent: Agent, choice: Choice, *, text: str, role: RunRole, place: str) -> Run:
    """Store a run within another; the caller holds what makes it the only one at its place."""
    root_id = parent.root_id or parent.pk
    if parent.depth + 1 > settings.RUN_MAX_DEPTH:
        raise Invalid(f"Runs may stand {settings.RUN_MAX_DEPTH} deep within one another, and this one does.")
    if Run.objects.filter(root_id=root_id).count() >= settings.RUN_MAX_NESTED:
        raise Invalid(f"The run has asked {settings.RUN_MAX_NESTED} times, which is as often as it may.")
    within = parent.conversation
    conversation = Conversation(
        id=ids.new(),
        workspace=parent.workspace,
        user=within.user,
        agent=agent,
        parent_id=within.parent_id or within.pk,
        external=within.external,
        title=f"{agent.name}, asked by {'the team of ' if parent.team else ''}{parent.agent.name}"[
            : settings.TITLE_LIMIT
        ],
    )
    also = partial(_nest, parent=parent, root_id=root_id, role=role, place=place)
    # Who stands behind the run that asks stands behind this one; where no person asked, its agent's authors do too.
    behind_ids = {*parent.behind_ids, *(() if within.user_id else authors.of(agent))}
    return runs.start(
        conversation,
        text=text,
        by=None,
        choice=choice,
        behind=parent.behind,
        behind_ids=behind_ids,
        mood=parent.mood,
        also=also,
    )


def _nest(run: Run, *, parent: Run, root_id: UUID, role: RunRole, place: str) -> None:
    """Give a run its place within another, and tell the log of it."""
    Run.objects.filter(pk=run.pk).update(
        companion_type=parent.companion_type,  # so that policies for the companion hold for all that is done for it
        parent=parent,
        root_id=root_id,
        depth=parent.depth + 1,
        role=role,
        place=place,
    )
    audit.record(
        audit.Entry(
            type="agent.asked",
            workspace_id=run.workspace_id,
            who=audit.agent(parent.agent_id, parent.person_id, parent.agent.slug),
            target=("run", run.pk),
            agent_id=run.agent_id,
            session_id=run.conversation_id,
            data={"parent": str(parent.pk), "root": str(root_id), "role": str(role), "place": place},
        )
    )


def _choice(parent: Run, agent: Agent, model: str) -> Choice | DomainError:
    """Who answers for the agent: the model asked for, its own, else the one that answers for who asks."""
    try:
        return brain.choose(
            parent.workspace,
            asked=model or None,
            agent_model=agent.model or parent.model,
            needs=_needs(agent),
            user_id=parent.conversation.user_id,
        )
    except DomainError as error:
        return error


def _needs(agent: Agent) -> frozenset[str]:
    """What the model of an agent must be able to do that works within a run: it has all of the agent's tools."""
    return frozenset({abilities.TOOLS} if agent.all_tools else ())


def _with_all(rows: Any) -> Any:
    return rows.select_related("workspace", "agent", "behind", "conversation__user", "conversation__team")
