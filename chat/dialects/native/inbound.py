"""A message as the native dialect sends it, whichever door it comes through: HTTP or WebSocket."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from accounts.models import Actor
from agents import brain
from agents.brain import Choice
from agents.providers import abilities
from agents.tools import client
from chat import eventlog
from chat.dialects.native.encoder import Encoder
from chat.eventlog import Watch
from chat.models import Conversation, Run
from chat.services import attachments, conversations, nesting, runs
from chat.services.runs import OnConflict
from companions import directory
from core import ids
from core.errors import Invalid

STREAM_WAIT = 300.0
"""Seconds that a stream waits for an approval unless the message says otherwise."""


def begin(
    actor: Actor, said: dict[str, Any], conversation: Conversation, *, also: Callable[[Run], None] | None = None
) -> tuple[Run, Watch]:
    """Start the run that answers a validated message, with a place at the feed taken before it can speak."""
    choice = choose(actor, said, conversation)
    if said.get("attachments"):  # reading them is work: none of it for a message that is not answered
        runs.check_budgets(conversation, choice)
    theirs = client.read(said.get("tools", ()), actor.workspace.pk)
    pictures = attachments.read(said.get("attachments", ()))
    team, asked = conversation.team, said.get("model") or ""
    plan = nesting.plan(team, said["message"], mode=said.get("mode"), model=asked) if team else None
    run_id = ids.new()
    watch = eventlog.feed.watch(str(run_id))
    try:
        with attachments.written(pictures) as images:
            run = runs.start(
                conversation,
                text=said["message"],
                by=actor,
                choice=choice,
                on_conflict=OnConflict(said["on_conflict"]),
                metadata=said.get("metadata"),
                mood=said.get("mood", ""),
                run_id=run_id,
                team=plan,
                client_tools=theirs,
                images=images,
                also=also,
            )
    except BaseException:
        eventlog.feed.unwatch(str(run_id), watch)
        raise
    return run, watch


def choose(actor: Actor, said: dict[str, Any], conversation: Conversation) -> Choice:
    """Who answers the message; raises DomainError. For a team's members it is chosen when they are asked."""
    asked, preferred, user_id = said.get("model"), actor.membership.preferred_model, actor.user.pk
    if conversation.team:
        return nesting.nominal(conversation.team, asked=asked, preferred=preferred, user_id=user_id)
    return brain.choose(
        actor.workspace,
        asked=asked,
        preferred=preferred,
        agent_model=agent_model(conversation),
        needs=needs(conversation) | brought(said),
        user_id=user_id,
    )


def brought(said: dict[str, Any]) -> frozenset[str]:
    """The abilities that the model needs for what came with the message."""
    needed = {"attachments": abilities.VISION, "tools": abilities.TOOLS}
    return frozenset(ability for name, ability in needed.items() if said.get(name))


def needs(conversation: Conversation) -> frozenset[str]:
    """The abilities that the model needs which answers here: tools, where any are offered to it."""
    companion = conversation.companion
    agent = companion.agent if companion else conversation.agent
    if agent is None:
        return frozenset()
    allowed = companion.tools_allowed if companion else []
    return frozenset({abilities.TOOLS} if [t for t in agent.all_tools if not allowed or t in allowed] else ())


def agent_model(conversation: Conversation) -> str:
    """The model that the agent wants who answers there."""
    agent = conversation.companion.agent if conversation.companion else conversation.agent
    return agent.model if agent else ""


def find_conversation(actor: Actor, session_id: UUID | None, companion_type: str | None) -> Conversation:
    """The session to go on with, or a new one with the companion named, or with the workspace's first."""
    if session_id is not None:
        conversation = conversations.get(session_id, by=actor)
        spoken_with = conversation.companion.type if conversation.companion else ""
        if companion_type is not None and spoken_with != companion_type:
            raise Invalid.field("companion", f"The session is with {spoken_with}.", "mismatch")
        return conversation
    if companion_type is not None:
        return conversations.new(directory.find(actor, companion_type), by=actor)
    return conversations.new(directory.first(actor), by=actor)


def encoder(run: Run) -> Encoder:
    """The encoder for a reader of this run."""
    return Encoder(
        session_id=str(run.conversation_id),
        run_id=str(run.pk),
        companion=run.companion_type,
        provider=run.provider,
        model=run.model,
    )


def highest_cursor(run: Run) -> int:
    """The highest number that an event of this run can have by now."""
    return max(run.seq, run.seq_base, run.conversation.last_seq) + (run.attempt + 1) * Run.ATTEMPT_SEQS
