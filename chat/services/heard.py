"""Where an agent may have an address from without asking: what a person wrote, and what a search found for it."""

from collections.abc import Iterator
from uuid import UUID

import msgspec

from chat.models import Action, ActionState, Conversation, Message, MessageRole, Run

SEARCH = "web_search"
MESSAGES = 50
RUNS = SEARCHES = 20
MOST_ABOVE = 10
CHARACTERS = 20_000  # of each message


class _Hit(msgspec.Struct):
    url: str = ""


class _Results(msgspec.Struct):
    results: list[_Hit]


_results = msgspec.json.Decoder(_Results)


def texts(conversation_id: UUID | None) -> Iterator[str]:
    """What the person of a conversation wrote, and what was found by searches in it, the latest first.

    What wakes an agent in the background was not written by a person who talks with it, and neither were the orders
    that a model gives to another: these do not count, but what was heard in the conversation above does.
    """
    within = _chain(conversation_id)
    runs = Run.objects.filter(conversation_id__in=within).order_by("-id").values("pk")[:RUNS]
    found = Action.objects.filter(run__in=runs, tool=SEARCH, client=False, state=ActionState.SUCCEEDED).order_by("-id")
    people = Message.objects.filter(conversation__parent=None, conversation__user__isnull=False, role=MessageRole.USER)
    said = people.filter(conversation_id__in=within).order_by("-turn_at", "-created_at")
    for result in found.values_list("result", flat=True)[:SEARCHES]:
        yield from _addresses(result)
    yield from (text[:CHARACTERS] for text in said.values_list("content", flat=True)[:MESSAGES])


def _addresses(result: str) -> list[str]:
    """The addresses that a search found. Its titles and texts are pages' words, and may name any other address."""
    try:
        return [one.url for one in _results.decode(result).results]
    except msgspec.DecodeError:  # it was cut, or is no list of results: nothing in it counts
        return []


def _chain(conversation_id: UUID | None) -> list[UUID]:
    """The conversation and those above it."""
    found: list[UUID] = []
    while conversation_id is not None and len(found) < MOST_ABOVE:
        found.append(conversation_id)
        above = Conversation.objects.filter(pk=conversation_id).values_list("parent_id", flat=True)
        conversation_id = above.first()
    return found
