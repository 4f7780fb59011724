"""What a person said lately: their conversations with how much is in each, and the last messages of one."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Count, Exists, F, Func, IntegerField, OuterRef, Q, Sum
from django.db.models.functions import Length

from accounts.models import Actor
from chat.compaction import BYTES_PER_TOKEN
from chat.models import Conversation, Message, Run
from chat.services.conversations import PAGE_CHARACTERS
from core.errors import Invalid


@dataclass(frozen=True, slots=True)
class Listed:
    """A conversation, how many messages it has, and about how many tokens a model would take for them."""

    conversation: Conversation
    messages: int
    tokens: int


def conversations(*, by: Actor, limit: int, channel: str = "") -> list[Listed]:
    """The caller's conversations in which something was said, most recently active first, without what is archived.

    Where a `channel` is named, those that began there.
    """
    said = Message.objects.filter(conversation=OuterRef("pk"))
    rows = Conversation.objects.visible_to(by).filter(Exists(said), archived=False, quoted=False)
    if channel:
        rows = rows.filter(channel=channel)
    found = list(rows.order_by("-updated_at", "-id")[:limit])
    size = Func(F("content"), function="octet_length", output_field=IntegerField())
    said_there = Message.objects.filter(conversation__in=found).order_by().values("conversation")
    counted = said_there.annotate(count=Count("pk"), size=Sum(size)).values_list("conversation", "count", "size")
    sizes = {pk: (count, total // BYTES_PER_TOKEN) for pk, count, total in counted}
    return [Listed(one, *sizes[one.pk]) for one in found if one.pk in sizes]


def messages(conversation: Conversation, *, limit: int, before: UUID | None = None) -> tuple[list[Message], bool]:
    """The last messages, oldest first: at most `limit`, fewer where a page were too large; and whether there is more.

    Those `before` a message where one is named; raises Invalid where it is none of the conversation's.
    """
    rows = conversation.messages.order_by("-turn_at", "-created_at")
    if before is not None:
        first = rows.filter(pk=before).first()
        if first is None:
            raise Invalid.field("cursor", "names no message of this session")
        rows = rows.filter(Q(turn_at__lt=first.turn_at) | Q(turn_at=first.turn_at, created_at__lt=first.created_at))
    sizes = list(rows.values_list("pk", Length("content"))[: limit + 1])
    page: list[UUID] = []
    characters = 0
    for pk, length in sizes[:limit]:
        characters += length
        if page and characters > PAGE_CHARACTERS:
            break
        page.append(pk)
    return list(conversation.messages.filter(pk__in=page).order_by("turn_at", "created_at")), len(sizes) > len(page)


def runs(conversation: Conversation, said: Sequence[Message]) -> list[Run]:
    """The runs that these messages asked for, or that gave them, oldest first."""
    shown = [message.pk for message in said]
    rows = Run.objects.filter(conversation=conversation).filter(Q(message__in=shown) | Q(answer_id__in=shown))
    return list(rows.defer("draft", "given", "client_tools").order_by("id"))
