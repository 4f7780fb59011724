"""Conversations that programs and pages hold by key: begin, find, list, and say what the assistant said.

Whoever speaks through a publishable key, or by an id that a program gives, is nobody of the workspace. Such a chat is
`external`: its runs act for the person whose key it is, and it is neither among their conversations nor remembered of
them, because a memory is one person's and these may be thousands.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from accounts.models import Actor, ApiKey, KeyKind
from accounts.permissions import ScopeMissing, SecretKeyNeeded
from agents.models import Agent, AgentKind
from agents.services.switches import UnknownAgent
from approvals.services import audit
from chat.models import Conversation, Message, MessageRole, Run
from chat.services import loading
from chat.services.conversations import NotYours
from chat.services.runs import ConversationBusy
from companions import directory
from companions.models import Companion
from companions.services import UnknownCompanion
from core import ids
from core.errors import Forbidden, NotFound
from memory.models import Author
from memory.services import keeping, readings
from memory.services.keeping import Told, Whose

WITH = "with:"
"""Scopes of a key that begin so name the companions and agents that it talks to, through any door: `with:support`."""


class UnknownChat(NotFound):
    """The caller reaches no chat of this id."""

    code = "unknown_chat"
    title = "There is no such chat"


class VisitorMismatch(Forbidden):
    """The client token is another visitor's than the one who is to speak."""

    code = "user_mismatch"
    default_detail = "The client token is of another userId. Leave userId out, or send that visitor's token."


def begin(actor: Actor, agent: str, *, user_id: str = "", metadata: dict[str, Any] | None = None) -> Conversation:
    """A stored chat with a companion by its type, or an agent by its slug or id, in which nothing is said yet.

    Raises UnknownAgent, VisitorMismatch, or SecretKeyNeeded where somebody without a key names a user.
    """
    answers = _answering(actor, agent)
    chat = Conversation(
        id=ids.new(),
        workspace=actor.workspace,
        user=actor.user,
        companion=answers if isinstance(answers, Companion) else None,
        agent=answers if isinstance(answers, Agent) else None,
        key_line=actor.key.line if actor.key else None,
        metadata=metadata or {},
        **_speaking(actor, user_id),
    )
    chat.save(force_insert=True)
    chat.refresh_from_db(fields=["created_at", "updated_at"])
    return chat


def get(chat_id: UUID, *, by: Actor) -> Conversation:
    """The chat, where the caller reaches it; raises UnknownChat."""
    found = loading.one(Conversation.objects.chats_of(by).filter(pk=chat_id), by=by)
    if found is None:
        raise UnknownChat(f"No chat {chat_id} is yours.")
    return found


@dataclass(frozen=True, slots=True)
class Page:
    """A page of chats, the newest first; there are more after the last one, where `more`."""

    rows: list[Conversation]
    more: bool


def page(*, by: Actor, limit: int, after: UUID | None = None, user_id: str = "", agent_type: str = "") -> Page:
    """A secret key's are the chats of the workspace, anybody else's their own; raises SecretKeyNeeded for a page's key.

    `agent_type` is a companion's type, or the kind of the agent that answers.
    """
    if _kind(by.key) == KeyKind.PUBLISHABLE:
        raise SecretKeyNeeded
    rows = Conversation.objects.chats_of(by).filter(quoted=False).select_related("companion")
    if _kind(by.key) == KeyKind.SECRET:
        rows = rows.filter(key_line__isnull=False)
    if user_id:
        rows = rows.filter(external_user=user_id)
    if agent_type:
        rows = rows.filter(_of_type(by, agent_type))
    if after is not None:
        rows = rows.filter(pk__lt=after)
    found = list(rows.order_by("-pk")[: limit + 1])
    return Page(found[:limit], len(found) > limit)


@transaction.atomic
def append(chat: Conversation, text: str, *, by: Actor) -> Message:
    """Store what the assistant said as a program says it, without a run: its model is told it from the next message on.

    Raises SecretKeyNeeded, NotYours, ScopeMissing, UnknownChat, or ConversationBusy while a message is answered.
    """
    check_program(by)
    check_speaker(by, chat)
    locked = Conversation.objects.select_for_update(no_key=True).filter(pk=chat.pk).only("speaker_ids").first()
    if locked is None:
        raise UnknownChat("The chat was deleted meanwhile.")
    if busy := Run.objects.filter(conversation=chat, active=True).values_list("pk", flat=True).first():
        raise ConversationBusy("A message is being answered. Wait for its answer.", extra={"run_id": str(busy)})
    message = Message(
        id=ids.new(),
        workspace_id=chat.workspace_id,
        conversation=chat,
        role=MessageRole.ASSISTANT,
        content=text,
        parts=[{"type": "text", "text": text}],
    )
    message.save(force_insert=True)
    message.refresh_from_db(fields=["created_at"])
    maker = by.key.maker if by.key else None
    spoke = {by.user.pk, *([maker.pk] if maker else [])} - {chat.user_id}
    # With a number, because a conversation without one has no history that a model would be told.
    Conversation.objects.filter(pk=chat.pk).update(
        last_seq=F("last_seq") + 1, updated_at=Now(), speaker_ids=sorted({*locked.speaker_ids, *spoke})
    )
    if chat.remembering_id is not None:
        whose = Whose(chat.workspace_id, chat.user_id, chat.remembering_id)
        keeping.keep([(whose, Told(chat.pk, message.pk, Author.COMPANION.value, text))])
        readings.note([chat.pk])
    audit.record(
        audit.Entry(
            type="message.appended",
            workspace_id=chat.workspace_id,
            who=audit.person(by),
            target=("message", message.pk),
            session_id=chat.pk,
        )
    )
    return message


def check_speaker(actor: Actor, chat: Conversation) -> None:
    """Who may say something there.

    Raises NotYours where somebody else would speak as its person, who is told and remembered of; ScopeMissing where the
    key names others than who answers.
    """
    if not chat.external and chat.user_id != actor.user.pk:
        raise NotYours("What is said here a colleague says. Begin a chat with a `userId`, or one of your own.")
    name = chat.companion.type if chat.companion else chat.agent.slug if chat.agent else ""
    if not is_named(actor.key, name):
        needed = f": it needs `{WITH}{name}`" if name else ""
        raise ScopeMissing(f"The key's scopes do not name who answers here{needed}.")


def is_named(key: ApiKey | None, name: str) -> bool:
    """Whether the key names who answers by this name, or nobody; teams and models alone have none that it could."""
    named = {one.removeprefix(WITH) for one in key.scopes if one.startswith(WITH)} if key else set()
    return not named or name in named


def check_program(actor: Actor) -> None:
    """Raises SecretKeyNeeded for whoever is no program of the workspace, and so says nothing for the assistant."""
    if _kind(actor.key) != KeyKind.SECRET:
        raise SecretKeyNeeded("What the assistant said is said with a secret key alone.")


def _speaking(actor: Actor, user_id: str) -> dict[str, Any]:
    """Who speaks in a chat: the person themselves, or somebody from outside whom a server vouches for or not."""
    kind = _kind(actor.key)
    if actor.visitor and user_id not in ("", actor.visitor):
        raise VisitorMismatch
    if kind == KeyKind.PUBLISHABLE:
        return {"external": True, "external_user": actor.visitor or user_id, "vouched": bool(actor.visitor)}
    if user_id and kind != KeyKind.SECRET:
        raise SecretKeyNeeded("Who a user is, a server says with its secret key. Leave userId out to speak yourself.")
    return {"external": True, "external_user": user_id, "vouched": True} if user_id else {}


def _of_type(actor: Actor, agent_type: str) -> Q:
    """The chats with companions of this type, or with whoever is of this kind; the few are looked up by themselves."""
    companions = Companion.objects.filter(workspace=actor.workspace)
    named = companions.filter(Q(type=agent_type) | Q(agent__kind=agent_type)).values_list("pk", flat=True)
    agents = Agent.objects.visible_to(actor).filter(kind=agent_type).values_list("pk", flat=True)
    return Q(companion__in=list(named)) | Q(agent__in=list(agents))


def _answering(actor: Actor, name: str) -> Companion | Agent:
    """The companion or agent of this name; raises UnknownAgent, also where the key does not go so far."""
    found = _companion(actor, name) or _agent(actor, name)
    if found is None or not _open(actor.key, found):
        raise UnknownAgent(f"There is no agent {name[:60]!r} for this key.")
    return found


def _companion(actor: Actor, type_: str) -> Companion | None:
    try:
        return directory.find(actor, type_)
    except UnknownCompanion:
        return None


def _agent(actor: Actor, name: str) -> Agent | None:
    try:
        named = Q(pk=UUID(name))
    except ValueError:
        named = Q(slug=name)
    found: Agent | None = Agent.objects.visible_to(actor).filter(named, enabled=True).first()
    return found


def _open(key: ApiKey | None, found: Companion | Agent) -> bool:
    """Whether a key goes so far: a page's key reaches neither models alone nor who works for the workspace."""
    if key is None:
        return True
    agent = found.agent if isinstance(found, Companion) else found
    if key.kind == KeyKind.PUBLISHABLE and (agent.bare or agent.kind != AgentKind.COMPANION):
        return False
    return is_named(key, found.type if isinstance(found, Companion) else found.slug)


def _kind(key: ApiKey | None) -> str:
    return key.kind if key else ""
