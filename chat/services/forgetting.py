"""Taking what a person had forgotten out of their transcripts, and out of all that quotes these.

Messages keep their place, and say `(forgotten)` where nothing is left of them. Summaries of their conversations go, to
be made anew; so do logs of events, which are there for speed alone. What goes where: memory/services/forgetting.py.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, TypeVar
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet

from agents.providers import rehearsal
from agents.tools.registry import Risk
from approvals.services import erasing
from chat import eventlog
from chat.models import (
    SETTLED,
    Action,
    ActionState,
    Attachment,
    Compaction,
    Conversation,
    Message,
    MessageRole,
    Run,
    RunState,
)
from chat.models.runs import WAITING
from chat.services.runs import title_of
from chat.transcript import Part
from core import commits
from core.errors import Conflict
from memory.models import Owner
from memory.scrub import FORGOTTEN, Scrub, blanked
from memory.services import forgetting
from memory.services.entries import By
from memory.services.forgetting import Cut
from memory.tools import NAMES

AT_ONCE = 500  # rows that are held in memory together
_Row = TypeVar("_Row", Action, Message)
_STRUCTURE = frozenset({"type", "call_id", "name", "ok", "attachment_id", "media_type", "url", "kept", "place"})
_SAID = ("result", "summary", "late_result")


class StillTold(Conflict):
    """An answer is under way that was told what is to be forgotten."""

    code = "still_told"
    default_detail = "An answer that was told of this is under way. Wait for it or cancel it, then forget again."


@dataclass(frozen=True, slots=True)
class _Reach:
    """Where it may be found: runs that were `near` it with their messages, runs whose message is forgotten `whole`."""

    near: frozenset[UUID]
    messages: frozenset[UUID]
    whole: frozenset[UUID]
    conversations: frozenset[UUID]


@forgetting.transcript
def scrub(owner: Owner, what: Scrub, by: By) -> list[Cut]:
    """Take it out of the owner's conversations; gives what went from which messages. Raises StillTold."""
    theirs = Conversation.objects.filter(workspace=owner.workspace_id, user=owner.user_id)
    what = replace(what, messages=what.messages | _rehearsed(theirs, what))
    told = _told_by_tools(owner, what)
    ids = _conversations(theirs, what, _reach(theirs, what, told))
    locked = Conversation.objects.select_for_update(no_key=True).filter(pk__in=ids).order_by("pk")
    conversations = list(locked)
    runs = Run.objects.filter(conversation__in=ids)
    # Nobody takes a run that is locked; one that was taken before is found running. What runs is its worker's to lock.
    waiting = list(runs.filter(state__in=[RunState.QUEUED, *WAITING]).select_for_update().order_by("-depth", "pk"))
    if runs.filter(state=RunState.RUNNING).exists():
        raise StillTold
    reach = _reach(theirs, what, told)  # as it is now that nothing there changes
    _actions(_of(owner).filter(Q(conversation__in=ids) | Q(conversation=None) | Q(pk__in=told)), reach, what, by)
    cuts, titled = _messages(conversations, reach, what)
    said = set(Message.objects.filter(pk__in=what.touched).values_list("conversation_id", flat=True))
    for conversation in conversations:
        # Where it was only told, a title shares a word with it by chance.
        if conversation.pk in titled or what.own.tells(conversation.title, near=conversation.pk in said):
            Conversation.objects.filter(pk=conversation.pk).update(title=_new_title(conversation))
    Compaction.objects.filter(conversation__in=ids).delete()
    for run in waiting:
        run.given = what.json(run.given, near=True) if run.given else None
        run.draft = [_part(one, what, whole=run.pk in reach.whole) for one in run.draft]
        run.save(update_fields=["draft", "given"])
    for run_id in runs.values_list("pk", flat=True):
        commits.after(eventlog.drop, run_id)
    return cuts


def _new_title(conversation: Conversation) -> str:
    """A title of the first message of the person's of which anything is left; none where nothing is."""
    said = conversation.messages.filter(role=MessageRole.USER).exclude(content__in=["", FORGOTTEN])
    return title_of(said.order_by("turn_at", "created_at").values_list("content", flat=True).first() or "")


def forget_actions(conversation: Conversation, *, by: By) -> None:
    """Empty what tools were told and gave in a conversation that is deleted, save what is evidence."""
    for some in _pages(_forgettable(_in(conversation))):
        for action in some:
            _blank(action)
        _store(some, by)


def _in(conversation: Conversation) -> "QuerySet[Action]":
    return Action.objects.filter(Q(conversation=conversation) | Q(conversation__parent=conversation))


def _of(owner: Owner) -> "QuerySet[Action]":
    theirs = Q(person=owner.user_id) | Q(conversation__user=owner.user_id)
    return Action.objects.filter(theirs, workspace=owner.workspace_id)


def _forgettable(actions: "QuerySet[Action]") -> "QuerySet[Action]":
    """Those that are no evidence: they had no effect but on memories, or none at all and nobody was asked."""
    return actions.filter(Q(tool__in=NAMES, client=False) | Q(risk=Risk.READ, approval_id=None))


def _rehearsed(theirs: "QuerySet[Conversation]", what: Scrub) -> set[UUID]:
    """The rehearsal's answers that say all of it: they are not kept as memories, where others are found."""
    rows = Message.objects.filter(conversation__in=theirs, role=MessageRole.ASSISTANT, model__in=rehearsal.MODELS)
    texts = rows.values_list("pk", "content").iterator(AT_ONCE) if what.facts else ()
    return {pk for pk, text in texts if what.tells(text, near=False)}


def _told_by_tools(owner: Owner, what: Scrub) -> dict[UUID, UUID | None]:
    """The actions by which one of these memories was written, found or forgotten, each with its run."""
    found: dict[UUID, UUID | None] = {}
    rows = _of(owner).filter(tool__in=NAMES, client=False)
    for pk, run_id, arguments, result in rows.values_list("pk", "run_id", "arguments", "result").iterator(AT_ONCE):
        texts = [*map(str, arguments.values()), result]
        if any(what.names(text) or what.tells(text, near=False) for text in texts):
            found[pk] = run_id
    return found


def _reach(theirs: "QuerySet[Conversation]", what: Scrub, tools: dict[UUID, UUID | None]) -> _Reach:
    runs = Run.objects.filter(conversation__in=theirs)
    columns = ("pk", "root_id", "conversation_id", "message_id", "answer_id")
    asked = (
        Q(message__in=what.touched) | Q(answer_id__in=what.touched) | Q(pk__in=[one for one in tools.values() if one])
    )
    rows = list(runs.filter(asked | Q(memories__has_any_keys=[str(one) for one in what.entries])).values_list(*columns))
    gone = {row[1] or row[0] for row in rows if what.whole & {*row[3:]}}
    rows += runs.filter(root_id__in={row[1] or row[0] for row in rows}).values_list(*columns)
    return _Reach(
        near=frozenset(row[0] for row in rows),
        messages=frozenset(one for row in rows for one in row[3:] if one),
        whole=frozenset(row[0] for row in rows if (row[1] or row[0]) in gone),
        conversations=frozenset(row[2] for row in rows),
    )


def _conversations(theirs: "QuerySet[Conversation]", what: Scrub, reach: _Reach) -> set[UUID]:
    """The conversations in which it was said or told, with all that were had for them."""
    said = set(
        Message.objects.filter(conversation__in=theirs, pk__in=what.touched).values_list("conversation_id", flat=True)
    )
    found = said | reach.conversations
    # What a client quotes is no message: what runs have of it, as long as they go on, is looked through.
    quoting = Run.objects.filter(conversation__in=theirs, ended_at=None, given__isnull=False)
    given = quoting.values_list("conversation_id", "given")
    found |= {one for one, quoted in given if what.json(quoted, near=True) != quoted}
    found |= {one for one in theirs.filter(pk__in=found).values_list("parent_id", flat=True) if one}
    return found | set(Conversation.objects.filter(parent__in=found).values_list("pk", flat=True))


def _messages(conversations: Iterable[Conversation], reach: _Reach, what: Scrub) -> tuple[list[Cut], set[UUID]]:
    """Scrub the messages that say it, the answers to them, and those near it; gives what went, and whose title goes."""
    titles = {one.pk: one.title.rstrip("…") for one in conversations if one.title}
    below = {one.pk for one in conversations if one.parent_id}
    # What was asked of other agents in a turn whose message is gone is gone with it.
    lost = set(Run.objects.filter(pk__in=reach.whole, conversation__in=below).values_list("conversation_id", flat=True))
    near = what.touched | reach.messages
    turn = Message.objects.filter(pk__in=near, conversation=OuterRef("conversation"), turn_at=OuterRef("turn_at"))
    answers = Q(Exists(turn), role=MessageRole.ASSISTANT)
    rows = Message.objects.filter(conversation__in=[one.pk for one in conversations])
    rows = rows.filter(Q(pk__in=near) | Q(conversation__in=below) | answers)
    cuts: list[Cut] = []
    titled: set[UUID] = set()
    gone: list[UUID] = []
    for some in _pages(rows):
        stored = []
        for message in some:
            before, title = message.content, titles.get(message.conversation_id)
            whole = message.pk in what.whole or message.conversation_id in lost
            theirs = message.role == MessageRole.USER and message.conversation_id not in below
            went = [before]
            if whole:
                gone.append(message.pk)
            else:
                words = what.own if theirs else what
                changed, went = _scrub_message(message, words)
                stored += [message] if changed else []
            if whole or message.content != before:
                cuts.append(_cut(message, went, FORGOTTEN if whole else message.content, by_person=theirs))
            if title and _begins(before, title) and (whole or not _begins(message.content, title)):
                titled.add(message.conversation_id)
        Message.objects.bulk_update(stored, ["content", "parts", "metadata"])
    left = [{"type": "text", "text": FORGOTTEN}]
    Message.objects.filter(pk__in=gone).update(content=FORGOTTEN, parts=left, metadata={"forgotten": True})
    Attachment.objects.filter(message__in=gone).delete()
    return cuts, titled


def _cut(message: Message, sentences: Sequence[str], left: str, *, by_person: bool) -> Cut:
    return Cut(
        message_id=message.pk,
        conversation_id=message.conversation_id,
        by_person=by_person,
        sentences=sentences,
        left=left,
    )


def _begins(content: str, title: str) -> bool:
    """Whether a message begins with a title, which was made of it then."""
    return content.lstrip().startswith(title)


def _pages(rows: "QuerySet[_Row]") -> Iterator[list[_Row]]:
    """The rows, as many at a time as are held together."""
    left = rows.order_by("pk").iterator(AT_ONCE)
    while some := list(islice(left, AT_ONCE)):
        yield some


def _scrub_message(message: Message, what: Scrub) -> tuple[bool, list[str]]:
    """Take it out of a message; whether that changed it, and the sentences that went from what it says."""
    before, spans = (message.content, message.parts, message.metadata), what.spans.get(message.pk, ())
    message.content, went = what.parted(message.content, near=True, spans=spans)
    message.parts = [_part(part, what, spans=spans) for part in message.parts]
    message.metadata = what.json(message.metadata, near=False)
    if (message.content, message.parts, message.metadata) == before:
        return False, went
    message.metadata = {**message.metadata, "forgotten": True}
    return True, went


def _part(part: Part, what: Scrub, *, spans: Iterable[tuple[int, int]] = (), whole: bool = False) -> Part:
    """A part of a message or of a draft without what is forgotten."""
    if part["type"] == "text" and not whole:
        return {**part, "text": what.text(part["text"], near=True, spans=[*spans])}
    told = {name: value for name, value in part.items() if name not in _STRUCTURE}
    left = blanked(told) if whole else what.json(told, near=True)
    kept = part if left == told else {name: value for name, value in part.items() if name != "kept"}
    return {**kept, **left}


def _actions(actions: "QuerySet[Action]", reach: _Reach, what: Scrub, by: By) -> None:
    """Scrub what tools were told and gave, save what is evidence, with the log's copies. Raises StillTold."""
    asked = actions.exclude(approval_id=None).exclude(state__in=[*SETTLED, ActionState.UNKNOWN])
    for action in asked:
        if _is_told(action.arguments, what.own, near=action.tool in NAMES):
            raise StillTold
    for some in _pages(_forgettable(actions)):
        stored = []
        for action in some:
            before = [action.arguments, *(getattr(action, name) for name in _SAID)]
            if action.run_id in reach.whole:
                _blank(action)
            else:
                told = action.run_id in reach.near
                near, words = told or action.tool in NAMES, what if told else what.own
                action.arguments = words.json(action.arguments, near=near)
                for name in _SAID:
                    setattr(action, name, words.text(getattr(action, name), near=near))
            if before != [action.arguments, *(getattr(action, name) for name in _SAID)]:
                stored.append(action)
        if any(action.state not in SETTLED for action in stored):
            raise StillTold
        _store(stored, by)


def _is_told(arguments: Any, what: Scrub, *, near: bool) -> bool:
    return bool(what.json(arguments, near=near) != arguments)


def _blank(action: Action) -> None:
    action.arguments = blanked(action.arguments)
    for name in _SAID:
        setattr(action, name, blanked(getattr(action, name)))


def _store(actions: Iterable[Action], by: By) -> None:
    stored = list(actions)
    if stored:
        Action.objects.bulk_update(stored, ["arguments", *_SAID])
        erasing.blank([one.pk for one in stored], workspace_id=stored[0].workspace_id, by=by.who)
