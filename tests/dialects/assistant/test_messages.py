"""A message through the assistant's door: each field of the contract, taken and refused."""

from typing import Any

import pytest
from django.core.files.storage import FileSystemStorage

from agents import brain
from agents.models import Agent, AgentKind, AgentTeam, Provider, TeamMember
from chat.models import Attachment, Conversation, Run
from chat.services import conversations, leases
from companions.models import Companion
from core import ids
from tests.cast import Api
from tests.pictures import encoded, picture, saved
from tests.servers import openai_server

CHAT, STREAM = "/api/chat", "/api/chat/stream"
PNG = encoded(saved(picture()))


NOBODY = "01900000-0000-7000-8000-000000000000"


@pytest.fixture
def say(api, smart_home):
    """Sends a message; a stream that is begun is not read."""

    def post(path: str = STREAM, *, by=api, **body: Any):
        return by.post(path, {"text": "Hello", **body})

    return post


@pytest.fixture(scope="module")
def upstream():
    with openai_server.running() as server:
        yield server


@pytest.fixture
def set_up(workspace, upstream):
    """Sets a provider up at a server that answers."""

    def make(name: str, kind: str = "openai", **fields: Any) -> Provider:
        given = {"base_url": upstream.base_url, "api_key": "k", "model_names": ["one", "two"]}
        made = Provider.objects.create(workspace=workspace, name=name, kind=kind, **{**given, **fields})
        brain.forget()
        return made

    yield make
    brain.forget()


def refused(answer, status: int, field: str = "") -> dict:
    problem = answer.json()
    assert (answer.status_code, answer["Content-Type"]) == (status, "application/problem+json"), problem
    assert not field or [one["field"] for one in problem["errors"]] == [field]
    return problem


def test_a_message_begins_a_conversation_with_the_first_companion(say, smart_home, member):
    answer = say()
    assert (answer.status_code, answer["Content-Type"]) == (200, "text/event-stream; charset=utf-8")
    run = Run.objects.select_related("conversation", "message").get()
    assert (run.conversation.companion, run.conversation.user) == (smart_home, member.user)
    assert (run.conversation.channel, run.message.content, run.mood, run.web) == ("web", "Hello", "", False)


@pytest.mark.parametrize("path", [CHAT, f"{CHAT}/", STREAM, f"{STREAM}/"])
def test_a_stream_is_served_at_both_paths_with_and_without_a_slash(say, path):
    answer = say(path, headers={})
    assert answer.status_code == 200


def test_the_stream_is_chosen_by_the_accept_header(api, smart_home):
    answer = api.post(CHAT, {"text": "Hello"}, headers={"Accept": "text/event-stream"})
    assert answer["Content-Type"] == "text/event-stream; charset=utf-8"
    assert api.post(CHAT, {"text": "Hello"})["Content-Type"] == "application/json"


def test_other_names_empty_fields_and_extras_are_taken(say):
    body = {"text": None, "message": "Hi", "web_enabled": True, "mood": "", "conversation_id": "", "agent_id": None}
    assert say(**body, image_base64="", image_mime=None, extra=1, provider=None).status_code == 200
    run = Run.objects.get()
    assert (run.message.content, run.web) == ("Hi", True)


def test_mood_channel_and_web_are_kept(say):
    assert say(mood="serious", channel="mobile", web=True).status_code == 200
    run = Run.objects.get()
    assert (run.mood, run.conversation.channel, run.web) == ("serious", "mobile", True)


def test_whoever_wants_the_web_has_the_model_told_and_gets_no_other_tools(say, smart_home):
    say(web=True)
    [claim] = leases.claim("test", limit=1)
    assert "asks you to look at the web" in claim.system
    assert claim.tools == ()
    say()
    [claim] = leases.claim("test", limit=1)
    assert "the web" not in claim.system


@pytest.mark.parametrize(
    "body",
    [
        {"text": None}, {"text": "  "}, {"text": 5}, {"text": ["a"]}, {"text": "a" * 200_001}, {"web": "yes"},
        {"conversation_id": "x"}, {"channel": "c" * 41}, {"agent_id": 5}, {"on_conflict": "maybe"}, {"text": "\x00"},
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(say, body):
    refused(say(**body), 400, next(iter(body)))
    assert not Conversation.objects.exists()


@pytest.mark.parametrize("body", [b"", b"[]", b"5", b"null", b"{", b'{"text": "a", "text": "b"}', b"\xff"])
def test_a_body_that_is_no_message_is_400(api, smart_home, body):
    refused(api.post(CHAT, body), 400)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"provider": "gpt"}, "provider"),
        ({"provider": "anthropic"}, "provider"),
        ({"provider": 5}, "provider"),
        ({"mood": "angry"}, "mood"),
        ({"image_base64": "!!", "image_mime": "image/png"}, "image_base64"),
        ({"image_base64": encoded(b"<html>"), "image_mime": "image/png"}, "image_base64"),
        ({"image_base64": PNG[:40], "image_mime": "image/png"}, "image_base64"),
        ({"image_base64": PNG, "image_mime": "image/jpeg"}, "image_mime"),
        ({"image_base64": PNG, "image_mime": "image/svg+xml"}, "image_mime"),
        ({"image_base64": PNG}, "image_mime"),
        ({"image_base64": "A" * 10_666_700, "image_mime": "image/png"}, "image_base64"),
    ],
)
def test_an_unknown_provider_or_mood_or_an_image_that_is_none_is_422(say, body, field):
    refused(say(**body), 422, field)
    assert not Conversation.objects.exists()


def test_an_image_is_kept_with_its_message(say, set_up, tmp_path, settings):
    backend = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": tmp_path}}
    settings.STORAGES = {**settings.STORAGES, "attachments": backend}
    assert say(image_base64=PNG, image_mime="image/png").status_code == 200
    image = Attachment.objects.get()
    assert (image.media_type, image.width) == ("image/png", 64)
    assert FileSystemStorage(tmp_path).exists(image.file)
    assert [part["type"] for part in Run.objects.get().message.parts] == ["image", "text"]


@pytest.mark.parametrize(
    ("provider", "name", "kind"),
    [
        ("openai", "openai", "openai"),
        ("openrouter", "openrouter", "openai"),
        ("claude", "anthropic", "anthropic"),
        ("claude", "work", "anthropic"),
        ("claude", "claude", "openai"),
        ("google", "gemini", "google"),
        ("ollama", "box", "ollama"),
    ],
)
def test_a_provider_is_asked_for_its_default_model(say, set_up, provider, name, kind):
    set_up("other", priority=1)
    set_up(name, kind, default_model="two", priority=200)
    assert say(provider=provider).status_code == 200
    run = Run.objects.get()
    assert (run.provider, run.model) == (name, "two")


def test_default_is_what_the_person_prefers(say, set_up, member):
    set_up("other", default_model="one")
    set_up("preferred", model_names=["mine"])
    member.membership.preferred_model = "mine"
    member.membership.save()
    assert say(provider="default").status_code == 200
    assert Run.objects.get().provider == "preferred"


@pytest.mark.parametrize("provider", ["ollama", "groq", "google", "claude", "openai", "openrouter"])
def test_a_provider_that_is_not_set_up_is_503_and_named(say, set_up, provider):
    set_up("elsewhere")
    problem = refused(say(provider=provider), 503)
    assert problem["code"] == "provider_not_configured"
    assert repr(provider) in problem["detail"]
    assert not Conversation.objects.exists()


def test_a_provider_that_is_switched_off_is_not_set_up(say, set_up):
    set_up("groq", enabled=False)
    assert refused(say(provider="groq"), 503)["code"] == "provider_not_configured"


def test_a_provider_that_does_not_answer_is_replaced_only_where_the_workspace_allows_it(say, set_up, workspace):
    set_up("groq", base_url="http://127.0.0.1:9/v1")
    set_up("spare", default_model="one")
    assert refused(say(provider="groq"), 503)["code"] == "brain_unavailable"
    workspace.allow_fallback = True
    workspace.save()
    brain.forget()
    assert say(provider="groq").status_code == 200
    assert Run.objects.get().provider == "spare"


def test_an_agent_or_a_companion_is_picked_by_id_or_name(say, workspace, smart_home):
    agent = Agent.objects.create(workspace=workspace, slug="writer", name="Writer")
    second = Companion.objects.create(workspace=workspace, type="devops", name="Argus", agent=agent)
    for whom, companion in (("devops", second), (str(second.pk), second), ("writer", None), (str(agent.pk), None)):
        assert say(agent_id=whom).status_code == 200, whom
        made = Conversation.objects.latest("created_at")
        assert (made.companion, made.agent) == (companion, None if companion else agent)


@pytest.mark.parametrize("whom", ["nobody", NOBODY, "../x", "watcher", "asleep"])
def test_who_does_not_answer_people_cannot_be_picked(say, workspace, whom):
    Agent.objects.create(workspace=workspace, slug="watcher", name="W", kind=AgentKind.MANAGER)
    Agent.objects.create(workspace=workspace, slug="asleep", name="A", enabled=False)
    refused(say(agent_id=whom), 404)


def test_a_conversation_goes_on_with_whom_it_is(say, smart_home, member):
    mine = conversations.create(smart_home, by=member)
    assert say(conversation_id=str(mine.pk), agent_id="smart-home", channel="mobile").status_code == 200
    run = Run.objects.get()
    assert (run.conversation_id, run.conversation.channel) == (mine.pk, "")
    refused(say(conversation_id=str(mine.pk), agent_id="devops"), 400, "agent_id")


def test_anothers_conversation_is_as_one_that_does_not_exist(say, smart_home, member, manager, stranger, client_of):
    mine = conversations.create(smart_home, by=member)
    Companion.objects.create(
        workspace=stranger.workspace,
        type="x",
        name="X",
        agent=Agent.objects.create(workspace=stranger.workspace, slug="x", name="X"),
    )
    for other in (manager, stranger):
        told = []
        for pk in (mine.pk, ids.new()):
            problem = refused(say(by=client_of(other), conversation_id=str(pk)), 404)
            told.append({**problem, "detail": problem["detail"].replace(str(pk), ""), "request_id": ""})
        assert told[0] == told[1]


def test_a_busy_conversation_is_409_unless_the_message_says_what_to_do(say):
    say()
    [busy] = Conversation.objects.all()
    assert "run_id" in refused(say(conversation_id=str(busy.pk)), 409)
    assert say(conversation_id=str(busy.pk), on_conflict="queue").status_code == 200
    assert busy.runs.count() == 2


def test_a_repeated_request_is_answered_by_the_first_run(say, api):
    first, second, other = (
        api.post(STREAM, {"text": text}, headers={"Idempotency-Key": "k"}) for text in ("Hi", "Hi", "Ho")
    )
    assert (first.status_code, second["Idempotency-Replayed"]) == (200, "true")
    refused(other, 409)
    assert Run.objects.count() == 1


@pytest.mark.parametrize("path", [CHAT, STREAM])
def test_without_a_credential_nothing_is_said(path, db):

    answer = Api().post(path, {"text": "Hello"})
    refused(answer, 401)
    assert answer["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.proves("GET /api/health", client="Django's test client")
def test_health_needs_no_credential(client):
    assert client.get("/api/health").json() == client.get("/api/health/").json() == {"ok": True}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("get", CHAT, 405), ("put", CHAT, 405), ("get", STREAM, 405), ("get", "/api/chat/none", 404),
        ("post", "/api/chat/conversations", 405), ("get", "/api/chat/conversations/none", 404),
        ("post", "/api/health", 405), ("patch", "/api/chat/folders", 405),
    ],
)  # fmt: skip
def test_unknown_paths_and_methods_are_problems(api, method, path, status):
    answer = getattr(api, method)(path)
    refused(answer, status)
    assert (status == 405) == answer.has_header("Allow")


def test_a_team_is_asked_for_the_default_model_of_a_provider(say, set_up, workspace, member, smart_home):
    team = AgentTeam.objects.create(workspace=workspace, slug="all", name="All", lead=smart_home.agent)
    TeamMember.objects.create(team=team, agent=smart_home.agent)
    mine = Conversation.objects.create(workspace=workspace, user=member.user, team=team)
    set_up("groq", default_model="two")
    assert say(conversation_id=str(mine.pk), provider="groq").status_code == 200
    run = Run.objects.get()
    assert (run.provider, run.model, run.team["model"]) == ("groq", "two", "two")
    assert refused(say(conversation_id=str(mine.pk), provider="claude"), 503)["code"] == "provider_not_configured"
