"""A message that somebody sends, through whichever door: who answers it, and the run that does."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from accounts.models import Actor
from agents import brain
from agents.brain import Choice
from agents.providers import abilities
from agents.tools import client
from chat import eventlog
from chat.eventlog import Watch
from chat.models import Conversation, Run
from chat.services import attachments, chats, conversations, nesting, quoting, runs
from chat.services.quoting import Given, Quotation, Quoted
from chat.services.runs import OnConflict
from companions import directory
from core import ids
from core.errors import Invalid

STREAM_WAIT = 300.0
"""Seconds that a stream waits for an approval unless the message says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What came with a message; empty or None is what its sender left out.

    `model` is a model's name as `GET /v1/ai/models` lists it, `provider` that of a provider whose default answers,
    `web` asks the agent to look at the web with the tools that it has, `mode` is how a team answers. `attachments` are
    images as `{"media_type", "data"}` in base64, `tools` the client's as `{"name", "description", "parameters"}`.
    """

    text: str
    model: str | None = None
    provider: str | None = None
    mood: str = ""
    web: bool = False
    mode: str | None = None
    metadata: Mapping[str, Any] | None = None
    attachments: Sequence[dict[str, Any]] = ()
    tools: Sequence[dict[str, Any]] = ()
    on_conflict: OnConflict = OnConflict.REJECT
    quotation: Quotation | None = None

    @property
    def needed(self) -> frozenset[str]:
        """The abilities that the model must have for what came with the message."""
        brought = {abilities.VISION: self.attachments, abilities.TOOLS: self.tools}
        return frozenset(ability for ability, given in brought.items() if given)


def begin(
    actor: Actor, said: Said, conversation: Conversation, *, also: Callable[[Run], None] | None = None
) -> tuple[Run, Watch]:
    """Start the run that answers a message, with a place at the feed taken before it can speak.

    The caller gives the place back with `eventlog.feed.unwatch`. Raises what `runs.start` does, NotYours or
    ScopeMissing for who may not speak there, and DomainError for a model, an image or a tool that will not do.
    """
    chats.check_speaker(actor, conversation)
    if said.provider and conversation.team:  # each member asks for a model
        said = replace(said, provider=None, model=_of_provider(actor, said, conversation).model)
    choice = choose(actor, said, conversation)
    quotation = said.quotation or Quotation(Given())
    if said.attachments or quotation.images:  # reading them is work: none of it for a message that is not answered
        runs.check_budgets(conversation, choice)
    if said.tools and conversation.team:
        raise Invalid.field("tools", "A team's members have their own tools alone; talk to an agent with yours.")
    theirs = client.read(said.tools, actor.workspace.pk)
    pictures = attachments.read([*said.attachments, *quotation.images])
    own = len(said.attachments)
    team = conversation.team
    plan = nesting.plan(team, said.text, mode=said.mode, model=said.model or "") if team else None
    run_id = ids.new()
    watch = eventlog.feed.watch(str(run_id))
    try:
        with attachments.written(pictures) as images:
            run = runs.start(
                conversation,
                text=said.text,
                by=actor,
                choice=choice,
                on_conflict=said.on_conflict,
                metadata=dict(said.metadata or {}),
                mood=said.mood,
                web=said.web,
                run_id=run_id,
                team=plan,
                client_tools=theirs,
                images=images[:own],
                quoted=Quoted(quoting.placed(quotation, pictures[own:]), images[own:]) if said.quotation else None,
                also=also,
            )
    except BaseException:
        eventlog.feed.unwatch(str(run_id), watch)
        raise
    return run, watch


def choose(actor: Actor, said: Said, conversation: Conversation) -> Choice:
    """Who answers the message; raises DomainError. For a team's members it is chosen when they are asked."""
    asked, preferred, user_id = said.model, actor.membership.preferred_model, actor.user.pk
    if conversation.team:
        return nesting.nominal(conversation.team, asked=asked, preferred=preferred, user_id=user_id)
    if said.provider:
        return _of_provider(actor, said, conversation)
    return brain.choose(
        actor.workspace,
        asked=asked,
        preferred=preferred,
        agent_model=agent_model(conversation),
        needs=needs(conversation) | said.needed,
        user_id=user_id,
    )


def _of_provider(actor: Actor, said: Said, conversation: Conversation) -> Choice:
    needed = needs(conversation) | said.needed
    return brain.by_provider(actor.workspace, said.provider or "", needs=needed, user_id=actor.user.pk)


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
