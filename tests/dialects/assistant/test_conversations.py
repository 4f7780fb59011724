"""The assistant's conversations and folders: listed, read, deleted and put in order by their own person only."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import KeyKind
from accounts.services import keys
from chat.models import Conversation, Folder, Message
from chat.services import conversations, folders
from core import ids
from tests.cast import Api

LIST, MESSAGES, FOLDERS = "/api/chat/conversations", "/api/chat/messages", "/api/chat/folders"
ENTRY = ["id", "title", "created_at", "last_active", "folder_id", "message_count", "approx_tokens"]


NOBODY = "01900000-0000-7000-8000-000000000000"


def refused(answer, status: int, field: str = "") -> dict:
    problem = answer.json()
    assert (answer.status_code, answer["Content-Type"]) == (status, "application/problem+json"), problem
    assert not field or [one["field"] for one in problem["errors"]] == [field]
    return problem


def alike(api, method: str, paths: list[str], status: int, **body) -> None:
    """The answers are refusals, and the same but for the ids in them."""
    told = []
    for path in paths:
        problem = refused(getattr(api, method)(path, **body), status)
        told.append((problem["code"], problem["title"], problem["detail"].replace(path.split("/")[4], "")))
    assert len(set(told)) == 1, told


@pytest.fixture
def folder(member) -> Folder:
    return folders.create(by=member, name="Home", color="#2f6fed")


@pytest.mark.proves("GET /api/chat/conversations", client="Django's test client")
def test_conversations_are_listed_by_activity_with_how_much_is_in_them(api, member, talk, folder):
    older = talk(member, 2, "äöü" * 10, title="Older", folder=folder)
    newer = talk(member, 1)
    Conversation.objects.filter(pk=newer.pk).update(updated_at=older.updated_at.replace(year=2099))
    answer = api.get(LIST)
    assert (answer.status_code, list(answer.json())) == (200, ["conversations"])
    first, second = answer.json()["conversations"]
    assert (list(first), first["id"], first["folder_id"], first["message_count"]) == (ENTRY, str(newer.pk), None, 2)
    assert second["created_at"].endswith("Z")
    assert second["last_active"].endswith("Z")
    told = {name: second[name] for name in ("id", "title", "folder_id", "message_count", "approx_tokens")}
    counts = {"message_count": 4, "approx_tokens": 4 * 60 // 3}
    assert told == {"id": str(older.pk), "title": "Older", "folder_id": str(folder.pk), **counts}


def test_empty_archived_and_other_peoples_conversations_are_left_out(api, member, manager, talk):
    talk(member, 0), talk(member, archived=True), talk(manager)
    assert api.get(LIST).json() == {"conversations": []}


def test_a_channel_and_a_limit_narrow_the_list(api, member, talk):
    web, mobile, _ = talk(member, channel="web"), talk(member, channel="mobile"), talk(member)
    found = {
        channel: api.get(f"{LIST}?channel={channel}").json()["conversations"] for channel in ("web", "mobile", "x")
    }
    assert [[one["id"] for one in rows] for rows in found.values()] == [[str(web.pk)], [str(mobile.pk)], []]
    assert len(api.get(f"{LIST}/?limit=2").json()["conversations"]) == 2
    assert len(api.get(f"{LIST}?extra=1").json()["conversations"]) == 3


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "limit=1&limit=2", "channel=" + "c" * 41])
@pytest.mark.parametrize("path", [LIST, MESSAGES])
def test_a_query_that_does_not_fit_is_named(api, member, query, path):
    if path == MESSAGES:
        query = f"{query.replace('channel=', 'conversation_id=')}"
    refused(api.get(f"{path}?{query}"), 400)


def test_a_long_list_costs_no_more_queries_than_a_short_one(api, member, talk):
    def cost() -> int:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert api.get(LIST).status_code == 200
        return len(queries)

    talk(member)
    cost()
    before = cost()
    for _ in range(5):
        talk(member, 2)
    assert cost() == before


@pytest.mark.proves("GET /api/chat/messages", client="Django's test client")
def test_the_last_messages_come_oldest_first(api, member, talk):
    mine = talk(member, 3)
    whole = api.get(f"{MESSAGES}?conversation_id={mine.pk}").json()
    assert (list(whole), whole["conversation_id"]) == (["conversation_id", "messages"], str(mine.pk))
    said = [f"{word} {number}" for number in (1, 2, 3) for word in ("question", "answer")]
    assert whole["messages"] == [
        {"role": "user" if "question" in text else "assistant", "content": text} for text in said
    ]
    some = api.get(f"{MESSAGES}/?conversation_id={mine.pk}&limit=3").json()["messages"]
    assert [one["content"] for one in some] == said[3:]


def test_messages_need_a_conversation(api, member):
    refused(api.get(MESSAGES), 400, "conversation_id")
    refused(api.get(f"{MESSAGES}?conversation_id=x"), 400, "conversation_id")


def test_anothers_messages_are_as_those_of_none(member, manager, stranger, client_of, talk):
    mine = talk(member)
    for other in (manager, stranger):
        told = []
        for pk in (mine.pk, ids.new()):
            problem = refused(client_of(other).get(f"{MESSAGES}?conversation_id={pk}"), 404)
            told.append(problem["detail"].replace(str(pk), ""))
        assert told[0] == told[1]


@pytest.mark.proves("DELETE /api/chat/conversations/{conversation_id}", client="Django's test client")
def test_a_conversation_is_deleted_with_what_was_said(api, member, talk):
    mine, kept = talk(member), talk(member)
    assert api.delete(f"{LIST}/{mine.pk}").json() == {"ok": True}
    assert list(Conversation.objects.all()) == [kept]
    assert Message.objects.count() == 2
    refused(api.delete(f"{LIST}/{mine.pk}"), 404)


@pytest.mark.parametrize("act", ["delete", "truncate"])
def test_a_colleagues_conversation_is_403_and_a_strangers_is_not_there(member, manager, stranger, client_of, talk, act):
    mine, below = talk(member), talk(member)
    Conversation.objects.filter(pk=below.pk).update(parent=mine, agent=mine.companion.agent, companion=None)
    background = Conversation.objects.create(workspace=member.workspace, agent=mine.companion.agent)

    def at(who, pk):
        path = f"{LIST}/{pk}"
        return client_of(who).delete(path) if act == "delete" else client_of(who).post(f"{path}/truncate", {})

    assert refused(at(manager, mine.pk), 403)["code"] == "not_yours"
    for pk in (below.pk, background.pk, ids.new()):
        refused(at(manager, pk), 404)
    refused(at(stranger, mine.pk), 404)
    assert Message.objects.count() == 4


@pytest.mark.proves(
    "GET /api/chat/folders",
    "POST /api/chat/folders",
    "PATCH /api/chat/folders/{folder_id}",
    "DELETE /api/chat/folders/{folder_id}",
    client="Django's test client",
)
def test_folders_are_made_listed_changed_and_deleted(api, member):
    made = api.post(FOLDERS, {"name": " Home ", "color": "#2f6fed", "extra": 1}).json()
    assert (made["ok"], made["folders"]) == (True, [made["folder"]])
    api.post(f"{FOLDERS}/", {"name": "Away"})
    first, second = api.get(FOLDERS).json()["folders"]
    assert [(one["name"], one["color"]) for one in (first, second)] == [("Away", ""), ("Home", "#2f6fed")]
    assert list(first) == ["id", "name", "color", "created_at"]
    assert api.patch(f"{FOLDERS}/{first['id']}", {"name": "Work", "color": "blue"}).json() == {"ok": True}
    assert api.delete(f"{FOLDERS}/{second['id']}").json() == {"ok": True}
    [left] = api.get(FOLDERS).json()["folders"]
    assert (left["name"], left["color"]) == ("Work", "blue")


@pytest.mark.parametrize(
    "body", [{}, {"name": ""}, {"name": "  "}, {"name": 5}, {"name": "n" * 101}, {"name": "a", "color": "c" * 31}]
)
def test_a_folder_that_does_not_fit_is_400(api, folder, body):
    refused(api.post(FOLDERS, body), 400)
    refused(api.patch(f"{FOLDERS}/{folder.pk}", body), 400)
    assert Folder.objects.get().name == "Home"


def test_a_person_has_so_many_folders_and_no_more(api, member, monkeypatch):
    monkeypatch.setattr(folders, "MOST", 2)
    assert [api.post(FOLDERS, {"name": "a"}).status_code for _ in range(3)] == [200, 200, 409]


def test_a_folder_that_is_made_twice_with_one_key_is_one(api, member):
    for _ in range(2):
        api.post(FOLDERS, {"name": "a"}, headers={"Idempotency-Key": "k"})
    assert Folder.objects.count() == 1


@pytest.mark.proves("PUT /api/chat/conversations/{conversation_id}/folder", client="Django's test client")
def test_a_conversation_is_put_into_a_folder_and_out_of_it(api, member, talk, folder):
    mine = talk(member)
    path = f"{LIST}/{mine.pk}/folder"
    for folder_id in (str(folder.pk), None, str(folder.pk)):
        assert api.put(path, {"folder_id": folder_id}).json() == {"ok": True}
        [told] = api.get(LIST).json()["conversations"]
        assert told["folder_id"] == folder_id
    assert api.delete(f"{FOLDERS}/{folder.pk}").status_code == 200
    assert api.get(LIST).json()["conversations"][0]["folder_id"] is None


@pytest.mark.parametrize("body", [{}, {"folder_id": 5}, {"folder_id": "x"}])
def test_a_folder_id_that_is_none_is_400(api, member, talk, body):
    refused(api.put(f"{LIST}/{talk(member).pk}/folder", body), 400, "folder_id")


def test_anothers_folders_and_conversations_are_as_those_that_do_not_exist(
    member, manager, stranger, client_of, talk, folder, api
):
    mine, none = talk(member), str(ids.new())
    theirs = folders.create(by=manager, name="Theirs")
    for other in map(client_of, (manager, stranger)):
        assert str(folder.pk) not in other.get(FOLDERS).text
        alike(other, "patch", [f"{FOLDERS}/{pk}" for pk in (folder.pk, none)], 404, data={"name": "x"})
        alike(other, "delete", [f"{FOLDERS}/{pk}" for pk in (folder.pk, none)], 404)
        alike(other, "put", [f"{LIST}/{pk}/folder" for pk in (mine.pk, none)], 404, data={"folder_id": None})
    details = []
    for pk in (theirs.pk, none):
        problem = refused(api.put(f"{LIST}/{mine.pk}/folder", {"folder_id": str(pk)}), 404)
        details.append(problem["detail"].replace(str(pk), ""))
    assert details[0] == details[1]
    assert (Folder.objects.get(pk=folder.pk).name, conversations.get(mine.pk, by=member).folder) == ("Home", None)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", LIST), ("get", MESSAGES), ("get", FOLDERS), ("post", FOLDERS), ("delete", f"{LIST}/{NOBODY}"),
        ("post", f"{LIST}/{NOBODY}/truncate"), ("put", f"{LIST}/{NOBODY}/folder"),
        ("patch", f"{FOLDERS}/{NOBODY}"), ("delete", f"{FOLDERS}/{NOBODY}"),
    ],
)  # fmt: skip
def test_without_a_credential_nothing_is_told(client, db, method, path):
    refused(getattr(client, method)(path), 401)


def test_a_key_that_every_page_shows_opens_none_of_it(member, talk):
    mine = talk(member)
    _, text = keys.create(
        workspace=member.workspace, user=member.user, name="Page", kind=KeyKind.PUBLISHABLE,
        origins=["https://page.example"],
    )  # fmt: skip
    page = Api(text)
    origin = {"Origin": "https://page.example"}
    for answer in (
        page.post("/api/chat", {"text": "Hello"}, headers=origin),
        page.post("/api/chat/stream", {"text": "Hello"}, headers=origin),
        page.get(LIST, headers=origin),
        page.get(f"{MESSAGES}?conversation_id={mine.pk}", headers=origin),
        page.get(FOLDERS, headers=origin),
        page.delete(f"{LIST}/{mine.pk}", headers=origin),
        page.post(f"{LIST}/{mine.pk}/truncate", {}, headers=origin),
    ):
        refused(answer, 403)
    assert Message.objects.count() == 2
