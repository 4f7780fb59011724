"""Whom a client may talk to, by one name each: a companion, an agent, a team, or a model alone."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from accounts.models import Actor
from agents import brain
from agents.models import Agent, AgentKind, AgentTeam
from agents.providers.base import UnknownModel
from agents.querysets import AgentQuerySet, TeamQuerySet
from agents.services import bare
from chat.models import Conversation
from chat.services import chats, conversations
from companions import directory
from companions.models import Companion
from core import ids
from core.errors import Invalid

COMPANION, AGENT, TEAM = "companion/", "agent/", "team/"
OURS = "countersign"


@dataclass(frozen=True, slots=True)
class Counterpart:
    """Somebody whom a client may talk to; models alone are there since their workspace is."""

    name: str
    since: datetime
    owner: str


def names(actor: Actor) -> list[Counterpart]:
    """All whom the key names: who is of the workspace first, then the models of the providers that answer."""
    workspace, open_ = actor.workspace, partial(chats.is_named, actor.key)
    companions, agents = Companion.objects.visible_to(actor).order_by("type"), _agents(actor).order_by("slug")
    teams = _teams(actor).order_by("slug") if open_("") else []
    of_ours = [
        *((f"{COMPANION}{one.type}", one.created_at) for one in companions if open_(one.type)),
        *((f"{AGENT}{one.slug}", one.created_at) for one in agents if open_(one.slug)),
        *((f"{TEAM}{one.slug}", one.created_at) for one in teams),
    ]
    models = brain.models(workspace, actor.user.pk) if open_("") else []
    return [
        *(Counterpart(name, since, OURS) for name, since in of_ours),
        *(Counterpart(one.id, workspace.created_at, one.provider) for one in models),
    ]


def find(actor: Actor, name: str) -> Counterpart:
    """The one of this name; raises UnknownModel."""
    for one in names(actor):
        if one.name == name:
            return one
    raise _unknown(name)


def begin(actor: Actor, name: str) -> Conversation:
    """A conversation with them that is not stored yet; raises DomainError where there is nobody of this name."""
    for beginning, new in _NEW.items():
        if name.startswith(beginning):
            return new(actor, name.removeprefix(beginning))
    brain.require(actor.workspace, name, user_id=actor.user.pk)
    return _conversation(actor, agent=bare.agent(actor.workspace))


def go_on(conversation: Conversation, name: str) -> None:
    """Raises Invalid where a conversation is not with the one of this name."""
    spoken_with = _name(conversation)
    same = not name.startswith(tuple(_NEW)) if spoken_with is None else name == spoken_with
    if not same:
        with_whom = spoken_with or "a model alone"
        raise Invalid.field("model", f"This session is with {with_whom}; name that, or begin another.", "mismatch")


def model(name: str) -> str | None:
    """The model that the name asks for; None where it is somebody who has one."""
    return None if name.startswith(tuple(_NEW)) else name


def _name(conversation: Conversation) -> str | None:
    """What the one is called whom a conversation is with; None for a model alone."""
    if conversation.companion:
        return f"{COMPANION}{conversation.companion.type}"
    if conversation.team:
        return f"{TEAM}{conversation.team.slug}"
    assert conversation.agent is not None, "a conversation has a companion, an agent or a team"
    return None if conversation.agent.bare else f"{AGENT}{conversation.agent.slug}"


def _companion(actor: Actor, type_: str) -> Conversation:
    return conversations.new(directory.find(actor, type_), by=actor)


def _agent(actor: Actor, slug: str) -> Conversation:
    found = _agents(actor).filter(slug=slug).first()
    if found is None:
        raise _unknown(f"{AGENT}{slug}")
    return _conversation(actor, agent=found)


def _team(actor: Actor, slug: str) -> Conversation:
    found = _teams(actor).filter(slug=slug).select_related("lead").first()
    if found is None:
        raise _unknown(f"{TEAM}{slug}")
    return _conversation(actor, team=found)


_NEW: dict[str, Callable[[Actor, str], Conversation]] = {COMPANION: _companion, AGENT: _agent, TEAM: _team}


def _agents(actor: Actor) -> AgentQuerySet:
    # One that works in the background answers whom it reports to, not whoever has a key.
    return Agent.objects.visible_to(actor).filter(enabled=True, bare=False, kind=AgentKind.COMPANION)


def _teams(actor: Actor) -> TeamQuerySet:
    return AgentTeam.objects.visible_to(actor).filter(enabled=True)


def _conversation(actor: Actor, *, agent: Agent | None = None, team: AgentTeam | None = None) -> Conversation:
    return Conversation(id=ids.new(), workspace=actor.workspace, user=actor.user, agent=agent, team=team)


def _unknown(name: str) -> UnknownModel:
    return UnknownModel(f"There is no {name[:200]!r} for this key. GET /v1/models lists what there is.")
