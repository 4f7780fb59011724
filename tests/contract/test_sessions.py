"""The list of sessions and the pages of one: their order, their cursors, what they are searched by."""

from datetime import UTC, datetime, timedelta
from typing import Any

from chat.models import Conversation
from tests.contract.conftest import Someone, World, answered


def test_messages_come_in_pages_that_miss_and_repeat_nothing(world: World):
    for number in range(6):
        answered(world.me, f"Answer {number}")
    path, cursor, seen = f"/v1/ai/sessions/{world.me.session.pk}", None, []
    for _ in range(4):
        page = world.me.api.get(path, {"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        seen += [message["content"] for message in page["messages"]]
        cursor = page["next_cursor"]
    assert seen == ["A secret of me", *(f"Answer {number}" for number in range(6))]
    assert cursor is None


def sessions(one: Someone, count: int, day: int = 1, **fields: Any) -> list[str]:
    """New sessions of a person, the most recent first, each a minute after the one before."""
    begun = datetime.now(UTC) + timedelta(days=day)
    made = [
        Conversation(
            workspace=one.actor.workspace,
            user=one.actor.user,
            companion=one.companion,
            title=f"Number {number}",
            updated_at=begun + timedelta(minutes=number),
            **fields,
        )
        for number in range(count)
    ]
    return [str(row.pk) for row in reversed(Conversation.objects.bulk_create(made))]


def test_sessions_are_listed_most_recent_first_by_twenty(world: World):
    made = sessions(world.me, 24)
    first = world.me.api.get("/v1/ai/sessions").json()
    assert set(first) == {"sessions", "total", "limit", "offset", "next_cursor"}
    assert (first["total"], first["limit"], first["offset"]) == (25, 20, 0)
    assert [row["id"] for row in first["sessions"]] == made[:20]
    rest = world.me.api.get("/v1/ai/sessions", {"offset": 20}).json()
    assert [row["id"] for row in rest["sessions"]] == [*made[20:], str(world.me.session.pk)]
    assert (rest["offset"], rest["next_cursor"]) == (20, None)
    assert world.me.api.get("/v1/ai/sessions", {"limit": 100}).json()["limit"] == 100
    assert world.me.api.get("/v1/ai/sessions", {"offset": 25}).json()["sessions"] == []


def test_a_cursor_walks_the_list_whatever_is_added_meanwhile(world: World):
    made = [*sessions(world.me, 7), str(world.me.session.pk)]
    seen, cursor = [], None
    for _ in range(4):
        page = world.me.api.get("/v1/ai/sessions", {"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        seen += [row["id"] for row in page["sessions"]]
        cursor = page["next_cursor"]
        sessions(world.me, 9, day=2)  # more recent than all of them, so no part of what is still to come
    assert seen == made
    assert cursor is None


def test_sessions_of_one_moment_are_walked_by_their_ids(world: World):
    made = sessions(world.me, 9)
    Conversation.objects.filter(user=world.me.actor.user).update(updated_at=datetime(2030, 1, 1, tzinfo=UTC))
    seen, cursor = [], None
    for _ in range(5):
        page = world.me.api.get("/v1/ai/sessions", {"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        seen += [row["id"] for row in page["sessions"]]
        cursor = page["next_cursor"]
    assert seen == sorted([*made, str(world.me.session.pk)], reverse=True)


def test_sessions_are_found_by_companion_title_and_archive(world: World):
    wanted, other = sessions(world.me, 2)
    Conversation.objects.filter(pk=wanted).update(title="100% of the Heating_bill", archived=False)
    archived = sessions(world.me, 1, archived=True)

    def found(**query: Any) -> list[str]:
        return [row["id"] for row in world.me.api.get("/v1/ai/sessions", query).json()["sessions"]]

    assert found(q="heating") == found(q="100%") == found(q="heating_") == [wanted]
    assert found(q="%") == [wanted], "a wildcard of SQL is a character like any other"
    assert found(companion="smart-home") == [wanted, other, str(world.me.session.pk)]
    assert found(companion="no-such-type") == []
    assert found(archived="true") == archived
    Conversation.objects.filter(pk=archived[0]).update(title="Heating, long ago")
    both = found(q="heating", archived="true"), found(q="heating", archived="false")
    assert (set(found(q="heating")), both) == ({wanted, *archived}, (archived, [wanted])), "a search finds both"


def test_a_session_is_renamed_archived_and_brought_back(world: World):
    path = f"/v1/ai/sessions/{world.me.session.pk}"
    assert world.me.api.patch(path, {"title": "Renamed"}).json()["title"] == "Renamed"
    assert world.me.api.patch(path, {"archived": True}).json()["archived"] is True
    assert world.me.api.get("/v1/ai/sessions").json()["total"] == 0
    back = world.me.api.patch(path, {"archived": False, "title": ""}).json()
    assert (back["archived"], back["title"]) == (False, "")
    assert world.me.api.get("/v1/ai/sessions").json()["total"] == 1
