"""/v1/ai/memory: what a person sees, writes, changes and forgets of what is remembered of them."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from accounts.services import keys
from agents.models import Agent
from approvals.models import AuditEvent
from companions.models import Companion
from core import ids
from memory.models import Author, Entry, Source
from memory.services import entries, keeping, owners
from memory.services.entries import By, New, Span
from memory.services.keeping import Told, Whose
from tests.cast import Api
from tests.contract.operations import check_answer, check_problem

MEMORY = "/v1/ai/memory"
HOME = {"layer": "identity", "type": "home", "content": "Lives in Rome.", "companion_type": "smart-home"}
TEA = {"layer": "preferences", "type": "drink", "content": "Likes green tea."}
NEVER = f"{MEMORY}/{ids.new()}"


def made(api: Api, **body: Any) -> dict[str, Any]:
    """A memory that is written down."""
    answer = api.post(MEMORY, body)
    assert answer.status_code == 201, answer.content
    told: dict[str, Any] = answer.json()
    return told


def told(api: Api, query: str = "") -> list[str]:
    """The contents of the list."""
    answer = api.get(f"{MEMORY}{query}")
    assert answer.status_code == 200, answer.content
    check_answer("GET /v1/ai/memory", 200, answer.json())
    return [one["content"] for one in answer.json()["memories"]]


@pytest.fixture
def other(workspace):
    """Another companion of the workspace."""
    agent = Agent.objects.create(workspace=workspace, slug="devops", name="Olaf")
    return Companion.objects.create(workspace=workspace, type="devops", name="Olaf", agent=agent)


def test_a_memory_is_written_read_and_listed(api, smart_home):
    body = {**HOME, "metadata": {"from": ["a", 1]}, "expires_at": "2190-01-01T00:00:00Z", "pinned": True}
    one = made(api, **body)
    check_answer("POST /v1/ai/memory", 201, one)
    assert {name: one[name] for name in body} == body
    assert (one["source"], one["status"], one["confidence"], one["sources"]) == ("person", "active", 1.0, [])
    assert one["last_recalled_at"] is one["valid_to"] is one["superseded_by"] is None
    assert api.get(f"{MEMORY}/{one['id']}").json() == one
    listed = api.get(MEMORY).json()
    assert listed == {"memories": [one], "total": 1, "limit": 20, "offset": 0}


def test_an_equal_live_one_is_given_back_with_200(api, smart_home):
    one = made(api, **HOME)
    again = api.post(MEMORY, {**HOME, "content": "lives  in ROME"})
    assert (again.status_code, again.json()) == (200, one)
    check_answer("POST /v1/ai/memory", 200, again.json())
    assert Entry.objects.count() == 1


def test_one_without_a_slot_says_what_kind_it_is(api):
    assert made(api, layer="history", content="Saw a whale.")["type"] == "note"


def test_the_list_is_paged_the_newest_first(api):
    for number in range(5):
        made(api, layer="history", content=f"Note {number}")
    assert told(api, "?limit=2") == ["Note 4", "Note 3"]
    assert told(api, "?limit=2&offset=4") == ["Note 0"]
    assert told(api, "?offset=5") == []
    assert api.get(f"{MEMORY}?limit=2").json()["total"] == 5


def test_the_list_is_narrowed_by_layer_companion_and_status(api, smart_home, other):
    made(api, **HOME)
    made(api, **HOME | {"content": "Lives in Oslo."})
    made(api, **TEA, companion_type="devops")
    made(api, **TEA)
    assert told(api, "?layer=identity") == ["Lives in Oslo."]
    assert told(api, "?companion_type=devops") == ["Likes green tea."]
    assert told(api, "?status=superseded") == ["Lives in Rome."]
    assert len(told(api, "?status=all")) == 4
    assert told(api, "?status=pending") == []


def test_the_list_is_narrowed_to_what_has_the_words_as_far_as_they_are_written(api):
    for content in ("Keeps a blue Kettle.", "Keeps a kettle-drum.", "Is 100% sure of tea."):
        made(api, layer="history", content=content)
    assert told(api, "?words=kett") == ["Keeps a kettle-drum.", "Keeps a blue Kettle."]
    assert told(api, "?words=KETT blu") == ["Keeps a blue Kettle."]
    assert told(api, "?words=0%25") == ["Is 100% sure of tea."]
    assert told(api, "?words=kettle&layer=identity") == []
    assert api.get(f"{MEMORY}?words=kettle&limit=1").json()["total"] == 2


def test_a_search_gives_the_best_first_and_live_ones_alone(api):
    made(api, layer="history", content="The garden has a shed.")
    made(api, layer="history", content="Painted the garden fence green with Ann.")
    late = made(api, layer="history", content="Green garden chairs are gone.", expires_at="2190-01-01T00:00:00Z")
    Entry.objects.filter(pk=late["id"]).update(expires_at=datetime.now(UTC) - timedelta(seconds=1))
    found = told(api, "?q=who painted the green garden fence")
    assert found == ["Painted the garden fence green with Ann.", "The garden has a shed."]
    assert told(api, "?q=garden&limit=1&offset=1") == told(api, "?q=garden")[1:2]
    assert told(api, "?q=garden&layer=identity") == []
    assert told(api, "?q=%3F%21") == []


def test_a_search_asks_as_many_queries_for_many_as_for_one(api, django_assert_max_num_queries):
    for number in range(20):
        made(api, layer="history", content=f"Garden {number}")
    told(api, "?q=garden")
    with django_assert_max_num_queries(8):
        assert len(told(api, "?q=garden")) == 20


def test_what_a_memory_comes_from_is_told(api, member, smart_home, mine):
    talk, message = ids.new(), ids.new()
    whose = Whose(member.workspace.pk, member.user.pk, smart_home.pk)
    keeping.keep([(whose, Told(talk, message, "person", "I live in Rome."))])
    new = New(layer="identity", slot="home", text="Lives in Rome.", sources=[Span(talk, message, 2, 14)])
    entries.write(mine, new, by=By(Author.EXTRACTOR, By.person(member).who))
    fact, said = api.get(MEMORY).json()["memories"]
    place = {"session_id": str(talk), "message_id": str(message)}
    assert (fact["source"], fact["sources"]) == ("extractor", [{**place, "start": 2, "end": 14}])
    assert (said["type"], said["sources"]) == ("message", [{**place, "start": 0, "end": 15}])
    assert check_problem(api.patch(f"{MEMORY}/{said['id']}", {"content": "x"}), 409)["code"] == "not_editable"
    assert api.patch(f"{MEMORY}/{said['id']}", {"pinned": True}).status_code == 200


def test_a_change_has_versions_and_is_undone(api):
    one = made(api, **TEA)
    path = f"{MEMORY}/{one['id']}"
    changed = api.patch(path, {"content": "Likes black tea.", "type": "", "metadata": {"a": 1}})
    check_answer("PATCH /v1/ai/memory/{memory_id}", 200, changed.json())
    assert (changed.json()["content"], changed.json()["type"]) == ("Likes black tea.", "note")
    versions = api.get(f"{path}/versions").json()
    check_answer("GET /v1/ai/memory/{memory_id}/versions", 200, versions)
    assert [(row["number"], row["content"], row["type"]) for row in versions["revisions"]] == [
        (1, "Likes green tea.", "drink")
    ]
    back = api.post(f"{path}/undo")
    assert {**back.json(), "updated_at": ""} == {**one, "updated_at": ""}
    assert check_problem(api.post(f"{path}/undo"), 409)["code"] == "nothing_to_undo"


def test_what_was_superseded_is_a_version_and_comes_back(api):
    first = made(api, layer="identity", type="home", content="Lives in Rome.")
    second = made(api, layer="identity", type="home", content="Lives in Oslo.")
    versions = api.get(f"{MEMORY}/{second['id']}/versions").json()
    assert [(row["id"], row["status"], row["superseded_by"]) for row in versions["superseded"]] == [
        (first["id"], "superseded", second["id"])
    ]
    assert api.post(f"{MEMORY}/{second['id']}/undo").json()["id"] == first["id"]
    assert told(api) == ["Lives in Rome."]


def test_what_waits_is_accepted_or_refused(api, mine):
    by = By(Author.EXTRACTOR, entries.audit.ledger.SYSTEM)
    for slot in ("home", "job"):
        entries.write(mine, New(layer="identity", slot=slot, text=f"Has a {slot}.", wait=True), by=by)
    job, home = api.get(f"{MEMORY}?status=pending").json()["memories"]
    assert told(api) == []
    accepted = api.post(f"{MEMORY}/{home['id']}/accept")
    check_answer("POST /v1/ai/memory/{memory_id}/accept", 200, accepted.json())
    assert api.delete(f"{MEMORY}/{job['id']}").status_code == 204
    assert told(api) == ["Has a home."]
    assert check_problem(api.post(f"{MEMORY}/{home['id']}/accept"), 409)["code"] == "not_pending"


def test_forgetting_gives_204_once(api):
    path = f"{MEMORY}/{made(api, **TEA)['id']}"
    assert api.delete(path).status_code == 204
    assert check_problem(api.delete(path), 404)["code"] == "unknown_memory"
    assert told(api, "?status=all") == []


def test_pausing_is_per_companion_or_for_all_and_is_told(api, smart_home):
    assert api.get(f"{MEMORY}/pause").json() == {"pauses": []}
    answer = api.put(f"{MEMORY}/pause", {"paused": True, "companion_type": "smart-home"})
    assert answer.json() == {"companion_type": "smart-home", "paused": True}
    api.put(f"{MEMORY}/pause", {"paused": False})
    assert api.get(f"{MEMORY}/pause").json()["pauses"] == [
        {"companion_type": "smart-home", "paused": True}, {"companion_type": None, "paused": False},
    ]  # fmt: skip
    api.put(f"{MEMORY}/pause", {"paused": True, "companion_type": "smart-home"})
    api.put(f"{MEMORY}/pause", {"paused": False, "companion_type": "smart-home"})
    told_of = AuditEvent.objects.filter(type__in=["memory.paused", "memory.unpaused"]).order_by("pk")
    assert list(told_of.values_list("type", flat=True)) == ["memory.paused", "memory.unpaused"]


def test_a_paused_memory_is_still_shown_searched_and_forgotten(api):
    one = made(api, **TEA)
    api.put(f"{MEMORY}/pause", {"paused": True})
    assert told(api) == told(api, "?q=tea") == ["Likes green tea."]
    assert api.delete(f"{MEMORY}/{one['id']}").status_code == 204


@pytest.mark.parametrize(
    "body",
    [
        {}, {"layer": "identity"}, {"content": "x"}, {**TEA, "layer": "dreams"}, {**TEA, "layer": ""},
        {**TEA, "layer": 1}, {**TEA, "content": ""}, {**TEA, "content": " \n "}, {**TEA, "content": "x" * 4_001},
        {**TEA, "content": "\x01\x02"}, {**TEA, "content": ["x"]}, {**TEA, "content": None},
        {**TEA, "type": "No Slot!"}, {**TEA, "type": "x" * 61}, {**TEA, "type": None},
        {**HOME, "type": "shoe"}, {**TEA, "metadata": []}, {**TEA, "metadata": {"a": "x" * 4_001}},
        {**TEA, "metadata": {str(n): n for n in range(60_000)}},
        {**TEA, "expires_at": "2001-01-01T00:00:00Z"}, {**TEA, "expires_at": "tomorrow"}, {**TEA, "expires_at": 5},
        {**TEA, "expires_at": "0001-01-01T00:00:00+23:59"}, {**TEA, "expires_at": "9999-12-31T23:59:59-23:59"},
        {**TEA, "pinned": "yes"}, {**TEA, "companion_type": ""}, {**TEA, "companion_type": "no such"},
        {**TEA, "status": "active"}, {**TEA, "author": "manager"}, {**TEA, "confidence": 1},
        {**TEA, **{f"k{n}": n for n in range(60_000)}},
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_and_nothing_written(api, smart_home, body):
    check_problem(api.post(MEMORY, body), 400)
    if body.get("layer") == "preferences":
        path = f"{MEMORY}/{made(api, **TEA)['id']}"
        before = api.get(path).json()
        check_problem(api.patch(path, {name: value for name, value in body.items() if value != TEA.get(name)}), 400)
        assert api.get(path).json() == before
    assert Entry.objects.count() == (body.get("layer") == "preferences")


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"\x00\xff\xfe", b"[]", b'{"layer": "identity", "content": "a\\u0000"}', b'{"content": "\\ud800"}',
        b'{"layer": "history", "content": "x", "metadata": ' + b'{"a":' * 65 + b"1" + b"}" * 65 + b"}",
        b'{"layer": "history", "content": "x", "metadata": {"a": NaN}}', b"{" * 100_000, b'{"x": "' + b"x" * 3_000_000,
    ],
    ids=["empty", "binary", "list", "nul", "surrogate", "deep", "nan", "open", "huge"],
)  # fmt: skip
def test_what_is_no_body_is_refused(api, raw):
    for path in (MEMORY, f"{MEMORY}/import", f"{MEMORY}/forget"):
        assert check_problem(api.post(path, raw))["status"] in (400, 413)
    assert not Entry.objects.exists()


def test_what_is_too_large_is_refused_before_it_is_read(api):
    for path in (MEMORY, f"{MEMORY}/import", f"{MEMORY}/forget"):
        check_problem(api.post(path, {f"k{number}": number for number in range(200_000)}), 413)


def test_control_characters_and_odd_texts_are_kept_as_text(api):
    odd = "Ann \x1b[31m\x07 <script>alert(1)</script> \u202e 'x'; DROP TABLE memory_entry; -- 🏳️‍🌈 {{7*7}}"
    one = made(api, layer="history", content=odd)
    assert one["content"] == odd.replace("\x1b", "").replace("\x07", "").replace("\u202e", "")
    assert told(api, "?q=DROP TABLE") == [one["content"]]


@pytest.mark.parametrize(
    "query",
    [
        "?layer=dreams", "?limit=0", "?limit=101", "?limit=x", "?offset=-1", "?offset=9999999999", "?status=gone",
        "?companion_type=nobody", "?q=" + "x" * 251, "?q=a&q=b", "?nothing=1", "?q=a%00b", "?q=tea&status=all",
        "?q=tea&status=pending", "?limit=1e3", "?q=tea&words=tea",
    ],
)  # fmt: skip
def test_a_query_that_does_not_fit_is_refused(api, query):
    assert check_problem(api.get(f"{MEMORY}{query}"))["status"] in (400, 404)


@pytest.mark.parametrize(
    "query", ["", " ", "%", "\\", "'", '"', "a & b | !c", "*:*", "(((", "🏳️‍🌈", "x" * 250, "\ufffe"]
)
def test_any_text_can_be_searched_for(api, query):
    made(api, **TEA)
    assert api.get(MEMORY, {"q": query}).status_code in (200, 400)


def test_a_layer_that_the_companion_does_not_keep_is_refused(api, smart_home):
    smart_home.memory_layers = ["history"]
    smart_home.save()
    problem = check_problem(api.post(MEMORY, HOME), 400)
    assert problem["errors"][0]["code"] == "layer_not_kept"


def test_nobody_reaches_anothers_memory(api, client_of, manager, owner, stranger, smart_home):
    one = made(api, **HOME)
    path = f"{MEMORY}/{one['id']}"
    for who in (manager, owner, stranger):
        theirs = client_of(who)
        assert told(theirs, "?status=all") == told(theirs, "?q=Rome") == []
        for method, where in (
            ("get", path), ("delete", path), ("get", f"{path}/versions"), ("post", f"{path}/undo"),
            ("post", f"{path}/accept"),
        ):  # fmt: skip
            mine = check_problem(getattr(theirs, method)(where), 404)
            none = check_problem(getattr(theirs, method)(where.replace(path, NEVER)), 404)
            assert mine["detail"].replace(one["id"], "") == none["detail"].replace(NEVER[-36:], "")
        check_problem(theirs.patch(path, {"content": "Mine."}), 404)
    for call in (client_of(stranger).get, client_of(stranger).delete):
        assert call(f"{MEMORY}?companion_type=smart-home").status_code in (404, 405)
    foreign = check_problem(client_of(stranger).post(MEMORY, HOME), 404)
    assert foreign["code"] == "unknown_companion"
    assert told(api) == ["Lives in Rome."]


def test_one_companions_memory_is_not_another_companions(api, smart_home, other):
    made(api, **HOME)
    made(api, **HOME | {"companion_type": "devops", "content": "Lives in Rome, too."})
    assert told(api, "?companion_type=devops&q=Rome") == ["Lives in Rome, too."]
    assert told(api, "?companion_type=smart-home&q=Rome") == ["Lives in Rome."]


def test_a_key_needs_the_scope(member, smart_home):
    for scope, status in (("memory", 200), ("chat", 403)):
        _, secret = keys.create(workspace=member.workspace, user=member.user, name="k", kind="scoped", scopes=[scope])
        assert Api(secret).get(MEMORY).status_code == status


def forget(api: Api, session: str, query: str = "") -> None:
    assert api.delete(f"/v1/ai/sessions/{session}{query}").status_code == 204


@pytest.fixture
def session(api, member, smart_home):
    """A session in which a fact was said that was said elsewhere too, and one that was not."""
    one = api.post("/v1/ai/sessions", {"companion": "smart-home"}).json()["id"]
    whose, message, elsewhere = Whose(member.workspace.pk, member.user.pk, smart_home.pk), ids.new(), ids.new()
    keeping.keep([(whose, Told(one, message, "person", "I live in Rome and like tea."))])
    mine = owners.of(member, smart_home)
    by = By(Author.EXTRACTOR, By.person(member).who)
    here = Span(one, message, 0, 5)
    entries.write(mine, New(layer="identity", text="Lives in Rome.", sources=[here]), by=by)
    also = [here, Span(elsewhere, ids.new(), 0, 5)]
    entries.write(mine, New(layer="preferences", text="Likes tea.", sources=also), by=by)
    return one


@pytest.mark.parametrize("query", ["", "?forget=false"])
def test_what_is_remembered_of_a_deleted_session_stays(api, session, query):
    forget(api, session, query)
    assert set(told(api)) == {"I live in Rome and like tea.", "Lives in Rome.", "Likes tea."}


def test_with_forget_it_goes_unless_it_was_said_elsewhere_too(api, session):
    forget(api, session, "?forget=true")
    assert told(api, "?status=all") == ["Likes tea."]
    assert Source.objects.count() == 1
    assert AuditEvent.objects.filter(type="memory.forgotten").count() == 1


def test_with_forget_a_session_without_memories_goes_too(api, smart_home):
    forget(api, api.post("/v1/ai/sessions", {"companion": "smart-home"}).json()["id"], "?forget=true")


def test_forgetting_is_narrowed_and_says_how_many_went(api, session, smart_home):
    assert check_problem(api.post(f"{MEMORY}/forget", {"session_id": str(ids.new())}), 404)["code"] == "unknown_session"
    assert api.post(f"{MEMORY}/forget", {"until": "2001-01-01T00:00:00Z"}).json() == {"forgotten": 0}
    answer = api.post(f"{MEMORY}/forget", {"session_id": session, "companion_type": "smart-home"})
    check_answer("POST /v1/ai/memory/forget", 200, answer.json())
    assert answer.json() == {"forgotten": 2}
    assert told(api) == ["Likes tea."]
    assert api.post(f"{MEMORY}/forget", {"companion_type": "smart-home"}).json() == {"forgotten": 1}
    assert json.loads(api.post(f"{MEMORY}/forget", {"all": True}).content) == {"forgotten": 0}
