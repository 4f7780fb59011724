"""The images of a conversation as its model is told them: read when it is asked, the newest that fit."""

import base64
import threading
from collections import OrderedDict
from collections.abc import Sequence
from uuid import UUID

import msgspec

from agents.providers import abilities
from agents.providers.base import ChatMessage, ChatRequest, ProviderSpec
from chat.models import Attachment
from chat.services import attachments
from core import bridge

MOST = 20  # images of one request
MOST_CHARACTERS = 14_000_000  # of their base64: the strictest provider takes 20 MB in all
REMEMBERED = 64_000_000  # characters of base64 that a process keeps for the next turn
NOTE = "[an image was here]"

_kept: OrderedDict[str, str] = OrderedDict()
_lock = threading.Lock()


async def told(spec: ProviderSpec, request: ChatRequest) -> ChatRequest:
    """The request with its images read in; a note stands for each that is too old, or gone.

    To a model that surely sees nothing a note stands for all: it may have been told of them by one that sees.
    """
    if not any(message.images for message in request.messages):
        return request
    blind = abilities.has(spec, request.model, abilities.VISION) is False
    chosen = {} if blind else await bridge.in_slow_thread(read, _newest(request.messages))
    messages = tuple(_with(message, chosen) if message.images else message for message in request.messages)
    return msgspec.structs.replace(request, messages=messages)


def read(sources: Sequence[str]) -> dict[str, str]:
    """The base64 of these images, by source: the first that fit into a request, without those that are gone."""
    found = _remembered(sources)
    room = MOST_CHARACTERS
    missing = [UUID(source) for source in sources if source not in found]
    files = dict(Attachment.objects.filter(pk__in=missing).values_list("pk", "file")) if missing else {}
    chosen: dict[str, str] = {}
    for source in sources:
        data = found.get(source) or _read_in(source, files.get(UUID(source)))
        room -= len(data)
        if room < 0:
            break
        if data:
            chosen[source] = data
    return chosen


def forget() -> None:
    """Forget all images that are remembered."""
    with _lock:
        _kept.clear()


def _newest(messages: Sequence[ChatMessage]) -> list[str]:
    """The sources of the newest images; those of one message in its order."""
    return [image.source for message in reversed(messages) for image in message.images][:MOST]


def _with(message: ChatMessage, chosen: dict[str, str]) -> ChatMessage:
    shown = [one for one in message.images if one.source in chosen]
    notes = [NOTE] * (len(message.images) - len(shown))
    return msgspec.structs.replace(
        message,
        images=tuple(msgspec.structs.replace(one, data=chosen[one.source]) for one in shown),
        content="\n".join([*notes, message.content]),
    )


def _remembered(sources: Sequence[str]) -> dict[str, str]:
    with _lock:
        found = {source: _kept[source] for source in sources if source in _kept}
        for source in found:
            _kept.move_to_end(source)
    return found


def _read_in(source: str, file: str | None) -> str:
    """The base64 of a file, remembered; empty where it is gone."""
    data = attachments.contents(file) if file else None
    if data is None:
        return ""
    text = base64.b64encode(data).decode("ascii")
    with _lock:
        _kept[source] = text
        while sum(map(len, _kept.values())) > REMEMBERED:
            _kept.popitem(last=False)
    return text
