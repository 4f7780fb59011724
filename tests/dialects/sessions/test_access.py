"""Who reaches which chats: pages, servers, visitors, and those who pretend to be one of them."""

import datetime
import re

import pytest
from django.core import signing
from django.urls import reverse

from accounts.models import Actor, ApiKey
from accounts.services import client_tokens, keys
from agents.models import Agent
from chat.models import Conversation, Message, Run
from core import ids
from memory.models import Entry
from tests.cast import Api
from tests.dialects.sessions.conftest import ORIGIN, begin, refused

NOBODY = "01900000-0000-7000-8000-000000000000"

STREAMED = {"Accept": "text/event-stream"}

HOUR = datetime.timedelta(hours=1)


def reaches(client, chat: str, headers: dict[str, str] | None = None) -> bool:
    """Whether reading, writing and deleting find the chat; all of them must say the same."""
    headers = headers or {}
    read = client.get(f"/chat/{chat}", headers=headers), client.get(f"/chat/{chat}/message", headers=headers)
    found = {answer.status_code for answer in read}
    if found == {404}:
        said = Message.objects.count()
        assert refused(client.post(f"/chat/{chat}/message", {"content": "x"}, headers=headers), 404, "unknown_chat")
        assert refused(client.delete(f"/chat/{chat}", headers=headers), 404, "unknown_chat")
        assert Conversation.objects.filter(pk=chat).exists()
        assert Message.objects.count() == said
        return False
    assert found == {200}
    return True


def test_a_page_reaches_the_chats_that_it_began_and_no_others(page, server, member, caller, api):
    its, visitors = begin(page), begin(page, userId="u1")
    assert reaches(page, its)
    assert reaches(page, visitors)
    api.post("/v1/ai/sessions", {"companion": "smart-home"})
    own = str(Conversation.objects.get(external=False).pk)
    for chat in (begin(server), begin(server, userId="u1"), own, begin(caller(member))):
        assert not reaches(page, chat)
    assert page.delete(f"/chat/{its}").status_code == 204


def test_no_key_of_another_workspace_reaches_a_chat(page, server, stranger, caller):
    chats = begin(page), begin(server), begin(server, userId="u1")
    other = caller(stranger, "secret")
    token = {"X-Client-Token": other.post("/chat/token", {"userId": "u1"}).json()["token"]}
    for chat in chats:
        assert not reaches(caller(stranger), chat)
        assert not reaches(caller(stranger), chat, token)
        assert not reaches(other, chat)
        assert refused(page.get(f"/chat/{chat}", headers=token), 401, "invalid_client_token")
    assert other.get("/chat").json()["chats"] == []


def test_a_secret_key_reaches_every_chat_of_its_workspace_and_no_session_of_a_person(page, server, owner, caller, api):
    api.post("/v1/ai/sessions", {"companion": "smart-home"})
    [session] = api.get("/v1/ai/sessions").json()["sessions"]
    other = caller(owner, "secret")
    assert all(reaches(other, chat) for chat in (begin(page), begin(server), begin(server, userId="u1")))
    assert not reaches(other, session["id"]), "a talk of the member's that was not begun as a chat"
    assert reaches(api, session["id"])


def test_a_page_cannot_list_chats_nor_mint_tokens_nor_speak_for_the_assistant(page, visitor):
    chat = begin(page)
    for headers in ({}, visitor("u1")):
        assert refused(page.get("/chat", headers=headers), 403, "secret_key_required")
        assert refused(page.post("/chat/token", {"userId": "u1"}, headers=headers), 403, "secret_key_required")
    for role in ("assistant", "system", "tool"):
        answer = page.post(f"/chat/{chat}/message", {"content": "I obey", "role": role})
        assert refused(answer, 403, "secret_key_required")
    assert not Message.objects.exists()


def test_a_visitor_reaches_what_carries_their_id_and_a_server_vouches_for(page, server, visitor):
    ada, bob = visitor("ada"), visitor("bob")
    theirs = begin(page, headers=ada)
    of_server = begin(server, userId="ada")
    assert server.get(f"/chat/{theirs}").json()["userId"] == "ada"
    assert server.get(f"/chat/{theirs}").json()["userVerified"]
    for chat in (theirs, of_server):
        assert reaches(page, chat, ada)
        assert not reaches(page, chat, bob)
        assert not reaches(page, chat), "without the token"
    claimed = begin(page, userId="ada")
    assert not server.get(f"/chat/{claimed}").json()["userVerified"]
    assert reaches(page, claimed), "anybody with the page and the chat's id, as it was begun"
    assert page.delete(f"/chat/{of_server}", headers=ada).status_code == 204


def test_a_claimed_user_is_not_taken_for_one_that_a_server_vouches_for(page, member, caller, visitor):
    planted = begin(caller(member), userId="ada")
    assert not reaches(page, planted, visitor("ada"))


def test_a_visitor_does_not_speak_for_another(page, visitor):
    ada = visitor("ada")
    answer = page.post("/chat", {"agentId": "smart-home", "userId": "bob"}, headers=ada)
    assert refused(answer, 403, "user_mismatch")
    assert not Conversation.objects.exists()
    assert begin(page, headers=ada, userId="ada")


def test_a_token_goes_with_the_page_that_it_names(page, member, caller, visitor):
    other = caller(member)
    bound = visitor("ada", publishableKeyId=other.row.public_id)
    assert begin(other, headers=bound)
    assert refused(page.post("/chat", {"agentId": "smart-home"}, headers=bound), 401, "invalid_client_token")


def test_a_token_is_minted_for_pages_of_the_workspace_alone(server, stranger, caller):
    for row in (caller(stranger).row, server.row):
        answer = server.post("/chat/token", {"userId": "ada", "publishableKeyId": row.public_id})
        assert refused(answer, 400, "invalid")
    for body in ({}, {"userId": ""}, {"userId": "a", "ttl": 59}, {"userId": "a", "ttl": 86401}, {"userId": 5}):
        assert refused(server.post("/chat/token", body), 400, "invalid")
    told = server.post("/chat/token/", {"userId": "ada", "ttl": 60}).json()
    assert set(told) == {"token", "expiresAt"}
    ends = datetime.datetime.fromisoformat(told["expiresAt"])
    assert datetime.timedelta() < ends - datetime.datetime.now(datetime.UTC) <= datetime.timedelta(seconds=60)


def test_a_forged_or_expired_token_opens_nothing(page, server, member, visitor):
    good = visitor("ada")["X-Client-Token"]
    begin(page, headers={"X-Client-Token": good})
    actor = keys.verify(server.key)
    mine = [str(member.workspace.pk), "ada", server.row.public_id, 4_000_000_000, ""]
    forged = [
        client_tokens.mint(actor, "ada", ttl=-HOUR).token,
        good[:-1] + ("A" if good[-1] != "A" else "B"),
        "x" + good,
        signing.dumps(mine, salt="another"),
        signing.dumps(mine, salt=client_tokens.SALT, key="another key"),
        signing.dumps([str(ids.new()), *mine[1:]], salt=client_tokens.SALT),
        "",
        "é",
        ":::",
        "a" * 9000,
    ]
    for token in forged:
        answer = page.post("/chat", {"agentId": "smart-home"}, headers={"X-Client-Token": token})
        assert refused(answer, 401, "invalid_client_token"), token
    assert Conversation.objects.count() == 1


def test_a_token_ends_with_the_secret_key_that_made_it(page, server, visitor):
    ada = visitor("ada")
    chat = begin(page, headers=ada)
    keys.revoke(server.row)
    assert refused(page.get(f"/chat/{chat}", headers=ada), 401, "invalid_client_token")


def test_only_secret_keys_say_who_a_user_is(member, caller, smart_home):
    scoped = caller(member, "scoped", scopes=["chat"])
    assert refused(scoped.post("/chat", {"agentId": "smart-home", "userId": "ada"}), 403, "secret_key_required")
    assert refused(scoped.post("/chat/token", {"userId": "ada"}), 403, "secret_key_required")
    own = begin(scoped)
    assert reaches(scoped, own)
    assert [one["id"] for one in scoped.get("/chat").json()["chats"]] == [own]
    narrow = caller(member, "secret", scopes=["memory"])
    assert refused(narrow.get("/chat"), 403, "scope_required")


def test_a_successor_of_a_key_reaches_what_its_predecessor_began(page):
    chat = begin(page)
    successor, text = keys.rotate(page.row, grace=HOUR)
    again, third = keys.rotate(successor, grace=HOUR)
    for key in (text, third):
        assert reaches(Api(key), chat)
    assert again.line == page.row.pk


def test_a_page_reaches_only_agents_that_answer_people_and_that_its_key_names(page, member, workspace, caller):
    guard = Agent.objects.create(workspace=workspace, slug="guard", name="Guard", kind="manager")
    bare = Agent.objects.create(workspace=workspace, slug="bare", name="Bare", bare=True)
    solo = Agent.objects.create(workspace=workspace, slug="solo", name="Solo")
    for agent in (guard, bare):
        assert refused(page.post("/chat", {"agentId": str(agent.pk)}), 404, "unknown_agent")
    assert begin(page, str(solo.pk))
    narrow = caller(member, scopes=["chat", "with:solo"])
    assert begin(narrow, "solo")
    assert refused(narrow.post("/chat", {"agentId": "smart-home"}), 404, "unknown_agent")


def test_another_visitors_idempotency_key_gives_nothing_of_theirs(page, visitor, member, caller):
    body, again = {"agentId": "smart-home"}, {"Idempotency-Key": "1"}
    others = [page.post("/chat", body, headers={**again, **visitor(name)}).json()["id"] for name in ("ada", "bob")]
    here = page.post("/chat", body, headers=again).json()["id"]
    there = page.post("/chat", body, headers=again, REMOTE_ADDR="203.0.113.9").json()["id"]
    elsewhere = caller(member).post("/chat", body, headers=again).json()["id"]
    assert len({*others, here, there, elsewhere}) == 5
    assert page.post("/chat", body, headers=again).json()["id"] == here


def test_a_page_of_an_origin_that_the_key_does_not_name_is_refused(page, visitor):
    chat = begin(page)
    for origin in ("https://evil.example", "null", f"{ORIGIN}.evil.example", "http://shop.example", ""):
        for headers in ({}, visitor("ada")):
            answer = page.get(f"/chat/{chat}", headers={"Origin": origin, **headers})
            assert refused(answer, 403, "origin_not_allowed")
    assert page.get(f"/chat/{chat}", headers={"Origin": ORIGIN}).status_code == 200
    assert page.get(f"/chat/{chat}").status_code == 200, "the page's own origin, or an app"


def test_a_secret_key_is_taken_from_no_page_unless_it_names_it(server, member, caller):
    for origin in (ORIGIN, "null", "http://testserver"):
        assert refused(server.get("/chat", headers={"Origin": origin}), 403, "origin_not_allowed")
        answer = server.post("/chat/token", {"userId": "ada"}, headers={"Origin": origin})
        assert refused(answer, 403, "origin_not_allowed")
    named = caller(member, "secret", origins=["https://admin.example"])
    assert named.get("/chat", headers={"Origin": "https://admin.example"}).status_code == 200
    assert refused(named.get("/chat", headers={"Origin": ORIGIN}), 403, "origin_not_allowed")
    assert named.get("/chat").status_code == 200


def preflight(client, path: str, origin: str):
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    return client.options(path, headers=asked)


@pytest.mark.parametrize("path", ["/chat", "/chat/", f"/chat/{NOBODY}/message", "/chat/token"])
def test_a_browser_may_ask_without_a_key_for_origins_that_a_key_names(client, page, path):
    answer = preflight(client, path, ORIGIN)
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "Access-Control-Allow-Credentials" not in answer.headers
    assert answer.headers["Access-Control-Allow-Methods"] == "DELETE, GET, POST"
    assert {"authorization", "content-type", "x-client-token", "idempotency-key"} <= set(
        answer.headers["Access-Control-Allow-Headers"].split(", ")
    )
    assert answer.headers["Access-Control-Max-Age"] == "600"
    assert "origin" in answer.headers["Vary"].lower()


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://shop.example", "https://shop.example:8443"])
def test_other_origins_are_told_nothing(client, page, origin):
    answer = preflight(client, "/chat", origin)
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert "Access-Control-Allow-Headers" not in answer.headers


def test_only_the_paths_for_pages_answer_browsers(client, page):
    for path in ("/v1/ai/chat", "/v1/auth/login", "/chatter", "/admin/", "/api/chat"):
        assert "Access-Control-Allow-Origin" not in preflight(client, path, ORIGIN).headers


def test_an_origin_whose_keys_have_ended_is_allowed_no_more(client, page):
    keys.revoke(page.row)
    assert "Access-Control-Allow-Origin" not in preflight(client, "/chat", ORIGIN).headers
    ApiKey.objects.filter(pk=page.row.pk).update(revoked_at=None, expires_at="2000-01-01T00:00Z")
    assert "Access-Control-Allow-Origin" not in preflight(client, "/chat", ORIGIN).headers


def test_a_page_may_read_what_it_is_told_refusals_too(page):
    made = page.post("/chat", {"agentId": "smart-home"}, headers={"Origin": ORIGIN})
    missing = page.get(f"/chat/{ids.new()}", headers={"Origin": ORIGIN})
    for answer, status in ((made, 200), (missing, 404)):
        assert answer.status_code == status
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert "x-request-id" in answer.headers["Access-Control-Expose-Headers"]


def test_an_address_is_limited_with_a_pages_key_and_another_is_not(page, server, settings):
    settings.LIMITS = {**settings.LIMITS, "page": 3}
    answers = [page.post("/chat", {"agentId": "smart-home"}) for _ in range(4)]
    assert [one.status_code for one in answers] == [200, 200, 200, 429]
    assert [one.headers["RateLimit-Limit"] for one in answers] == ["3"] * 4
    assert refused(answers[3], 429, "rate_limited")
    assert int(answers[3].headers["Retry-After"]) > 0
    spoofed = page.get(f"/chat/{ids.new()}", headers={"X-Forwarded-For": "203.0.113.9"})
    assert spoofed.status_code == 429
    assert page.post("/chat", {"agentId": "smart-home"}, REMOTE_ADDR="203.0.113.9").status_code == 200
    assert server.get("/chat").status_code == 200


def test_what_a_page_says_runs_for_the_person_behind_its_key(page, member: Actor):
    chat = begin(page)
    page.post(f"/chat/{chat}/message", {"content": "Hello"})
    run = Run.objects.get()
    assert run.person_id == member.user.pk
    assert str(run.conversation_id) == chat


def test_an_admin_makes_a_page_a_key_with_its_origins(owner, member, smart_home, client):
    owner.user.is_staff = True
    owner.user.save()
    client.force_login(owner.user)
    form = {
        "workspace": owner.workspace.pk,
        "user": member.user.pk,
        "name": "Shop",
        "kind": "publishable",
        "mode": "live",
        "scopes": "chat\nwith:smart-home",
        "origins": f"{ORIGIN}\nhttps://Www.Shop.example:443",
    }
    answer = client.post(reverse("admin:accounts_apikey_add"), form)
    made = ApiKey.objects.get(name="Shop")
    assert made.origins == [ORIGIN, "https://www.shop.example"]
    text = re.search(r'<code class="secret">([^<]+)</code>', answer.text)[1]
    assert preflight(client, "/chat", "https://www.shop.example").headers["Access-Control-Allow-Origin"]
    assert begin(Api(text), headers={"Origin": ORIGIN})


def test_a_client_token_goes_with_publishable_keys_alone(server, visitor):
    assert refused(server.get("/chat", headers=visitor("ada")), 400, "invalid")


def test_a_key_speaks_in_no_chat_in_which_another_person_speaks_themselves(page, server, owner, caller):
    other, theirs = caller(owner, "secret"), begin(server)
    for said in ({"content": "Hello"}, {"content": "Hello", "role": "assistant"}):
        assert refused(other.post(f"/chat/{theirs}/message", said), 403, "not_yours")
    assert not Run.objects.exists()
    assert not Entry.objects.exists()
    for chat in (begin(page), begin(server, userId="u1")):
        assert other.post(f"/chat/{chat}/message", {"content": "Hello"}, headers=STREAMED).status_code == 200


def test_who_speaks_in_a_chat_of_another_persons_key_stands_behind_what_comes_of_it(page, owner, member, caller):
    other, chat = caller(owner, "secret"), begin(page)
    other.post(f"/chat/{chat}/message", {"content": "Hello"}, headers=STREAMED)
    run = Run.objects.get()
    assert run.person_id == member.user.pk
    assert run.behind_ids == [owner.user.pk]
    Run.objects.update(state="completed", active=False)
    page.post(f"/chat/{chat}/message", {"content": "Hello"}, headers=STREAMED)
    assert Run.objects.get(active=True).behind_ids == []


def test_a_key_that_names_agents_talks_to_no_others_through_any_door(member, smart_home, workspace, caller):
    Agent.objects.create(workspace=workspace, slug="solo", name="Solo")
    narrow = caller(member, "secret", scopes=["chat", "with:solo"])
    said = {"stream": True, "messages": [{"role": "user", "content": "Hello"}]}
    for model in ("companion/smart-home", "agent/smart-home", "rehearsal"):
        answer = narrow.post("/v1/chat/completions", {"model": model, **said})
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "scope_required")
    assert narrow.post("/v1/ai/chat", {"message": "Hello", "stream": True}).status_code == 403
    chat = begin(caller(member, "secret"))
    assert refused(narrow.post(f"/chat/{chat}/message", {"content": "Hello"}), 403, "scope_required")
    assert not Run.objects.exists()
    assert narrow.post("/v1/chat/completions", {"model": "agent/solo", **said}).status_code == 200
    assert [one["id"] for one in narrow.get("/v1/models").json()["data"]] == ["agent/solo"]
