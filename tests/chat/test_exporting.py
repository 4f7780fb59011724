"""A person's export is read a page at a time, whichever thread goes on with it."""

import io
import json
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections

from approvals.services import audit
from chat.models import Conversation
from chat.services import conversations, exporting

pytestmark = pytest.mark.django_db(transaction=True)
SAID = [f"Said {number}" for number in range(7)]


@pytest.fixture
def talks(say, member, smart_home) -> list[Conversation]:
    """Conversations, one of which has several pages of messages."""
    first = conversations.create(smart_home, by=member, title="First")
    for text in SAID:
        say(text, into=first).conversation.runs.update(active=False)
    return [first, *(conversations.create(smart_home, by=member, title=f"No. {number}") for number in range(5))]


def by_turns(chunks: Iterator[bytes]) -> bytes:
    """All of it, each piece from another thread than the last, whose connection is closed by then."""
    found = []

    def some() -> bytes | None:
        try:
            return next(chunks, None)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as two:
        while (piece := (one if len(found) % 2 else two).submit(some).result()) is not None:
            found.append(piece)
    return b"".join(found)


def test_all_of_it_comes_in_order_though_threads_take_turns(talks, member, monkeypatch):
    monkeypatch.setattr(exporting, "PAGE", 2)
    data = by_turns(exporting.export(member.user, [member.membership], who=audit.person(member)))
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        assert file.testzip() is None
        told = {one.pk: json.loads(file.read(f"home/conversations/{one.pk}.json")) for one in talks}
        names = file.namelist()
    assert [message["content"] for message in told[talks[0].pk]["messages"]] == SAID
    assert [told[one.pk]["title"] for one in talks] == [one.title for one in talks]
    assert len([name for name in names if "/conversations/" in name]) == len(talks)
