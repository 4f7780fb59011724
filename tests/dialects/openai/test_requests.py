"""What the OpenAI-compatible dialect takes and refuses, row by row, and whom it tells of what."""

import pytest
from django.conf import settings as configured

from accounts.models import Role
from accounts.services import keys
from agents.models import Agent, AgentKind, AgentTeam, TeamMember
from agents.services import bare, switches
from chat.models import Conversation, Message, Run
from chat.services import conversations
from core import ids
from core.publicnet import Endpoint
from tests.cast import Api, person
from tests.contract.operations import DOCUMENT
from tests.pictures import encoded, picture, saved
from tests.servers.receiver import Reply, receiving

CHAT = "/v1/chat/completions"
HELLO = {"role": "user", "content": "Hello"}
TOOL = {"type": "function", "function": {"name": "getLocation", "parameters": {"type": "object"}}}
PNG = saved(picture())


MANY = [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{encoded(PNG)}"}}] * 9


@pytest.fixture(autouse=True)
def kept(tmp_path, settings):
    """The folder of attachments."""
    backend = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": tmp_path}}
    settings.STORAGES = {**settings.STORAGES, "attachments": backend}


@pytest.fixture
def send(api, smart_home):
    """Sends a request whose answer is streamed, and not read."""

    def post(*messages: dict, by: Api = api, headers: dict | None = None, **more):
        body = {"model": "companion/smart-home", "messages": list(messages) or [HELLO], "stream": True, **more}
        return by.post(CHAT, body, headers=headers or {})

    return post


def refused(answer, status: int = 400) -> dict:
    """The error that an answer is; fails unless it is a whole one."""
    assert answer.status_code == status, answer.content
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["X-Request-Id"]
    assert set(answer.json()) == {"error"}
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    return error


def image(url: str) -> dict:
    return {
        "role": "user",
        "content": [{"type": "text", "text": "Look"}, {"type": "image_url", "image_url": {"url": url}}],
    }


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"model": None}, "model"),
        ({"model": 5}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": "Hello"}, "messages"),
        ({"messages": [{"role": "user"}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": " "}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages.0.content"),
        ({"messages": [{"role": "wizard", "content": "Hi"}]}, "messages.0.role"),
        ({"messages": [{"content": "Hi"}]}, "messages.0"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "messages.0.content.0.type"),
        ({"messages": [{"role": "system", "content": "Hi"}]}, "messages"),
        ({"messages": [HELLO, {"role": "assistant", "content": "Hi"}]}, "messages"),
        ({"messages": [HELLO, {"role": "tool", "content": "Hi"}]}, "messages.1.tool_call_id"),
        ({"messages": [HELLO] * 1001}, "messages"),
        ({"messages": [{"role": "user", "content": "x" * (configured.MESSAGE_LIMIT + 1)}]}, "messages.0.content"),
        ({"stream": "yes"}, "stream"),
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"temperature": 2.5}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": -1}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_completion_tokens": 1.5}, "max_completion_tokens"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"stop": [""]}, "stop"),
        ({"stop": {"a": 1}}, "stop"),
        ({"stream_options": {"include_usage": "yes"}}, "stream_options.include_usage"),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools.0.type"),
        ({"tools": [{"type": "function", "function": {"name": "no good"}}]}, "tools.0.name"),
        ({"tools": [TOOL, TOOL]}, "tools.1.name"),
        ({"tools": [TOOL], "tool_choice": "perhaps"}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "other"}}}, "tool_choice"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"metadata": {"session_id": "mine"}}, "metadata.session_id"),
        ({"metadata": {"session_id": 5}}, "metadata.session_id"),
        ({"metadata": {"x": "y" * 20_000}}, "metadata"),
        ({"messages": [image("data:image/png;base64,AAAA")]}, "messages"),
        ({"messages": [image("data:text/html;base64,AAAA")]}, "messages.0.content"),
        ({"messages": [image("data:image/png,AAAA")]}, "messages.0.content"),
        ({"messages": [image("http://127.0.0.1:1/x.png")]}, "messages"),
        ({"messages": [image("file:///etc/passwd")]}, "messages"),
        ({"messages": [image("nothing")]}, "messages"),
        ({"messages": [{"role": "user", "content": MANY}]}, "messages"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_named(send, change, param):
    error = refused(send(**change))
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert not Run.objects.exists()


@pytest.mark.parametrize("arguments", ['{"a": ' * 50_000 + "1" + "}" * 50_000, '{"a": "\\u0000"}', "[1]", "{", ""])
def test_arguments_that_cannot_be_read_are_none(send, arguments):
    call = {"id": "c-1", "type": "function", "function": {"name": "getLocation", "arguments": arguments}}
    told = [HELLO, {"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "c-1", "content": "x"}]
    assert send(*told, tools=[TOOL]).status_code == 200
    quoted = Run.objects.get().given["after"][0]["parts"]
    assert [part["arguments"] for part in quoted if part["type"] == "tool_call"] == [{}]


@pytest.mark.parametrize(
    "extra",
    [
        {"user": "ada", "seed": 5, "store": True, "parallel_tool_calls": False, "logit_bias": {}, "unheard_of": [1]},
        {
            "temperature": None,
            "stop": None,
            "tools": None,
            "tool_choice": None,
            "stream_options": None,
            "metadata": None,
        },
        {"n": 1, "logprobs": False, "response_format": {"type": "text"}, "tools": [], "stop": "END", "top_p": 0.5},
    ],
)
def test_what_clients_send_beside_is_passed_over(send, extra):
    assert send(**extra).status_code == 200


@pytest.mark.parametrize("path", [CHAT, f"{CHAT}/"])
def test_a_path_works_with_and_without_a_slash(api, smart_home, path):
    assert api.post(path, {"model": "companion/smart-home", "messages": [HELLO], "stream": True}).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", CHAT, 405),
        ("DELETE", CHAT, 405),
        ("POST", "/v1/models", 405),
        ("DELETE", "/v1/models/companion/smart-home", 405),
        ("GET", "/v1/chat", 404),
        ("POST", "/v1/chat/more", 404),
        ("POST", "/v1/responses", 404),
        ("POST", "/v1/embeddings", 404),
        ("GET", "/v1/models/nothing", 404),
        ("GET", "/v1/models/companion/", 404),
    ],
)
def test_other_methods_and_paths_are_errors_of_this_dialect(api, smart_home, method, path, status):
    refused(api.generic(method, path, b"{}", "application/json"), status)


def test_bodies_that_are_no_json_are_errors_of_this_dialect(api):
    assert refused(api.post(CHAT, b"{"))["type"] == "invalid_request_error"
    refused(api.post(CHAT, b"x=1", "application/x-www-form-urlencoded"), 415)
    refused(api.post(CHAT, b'{"model": "\\u0000"}'))


def test_whoever_is_unknown_is_told_in_this_dialect(smart_home, member):
    for headers in ({}, {"Authorization": "Bearer nonsense"}):
        for path in (CHAT, "/v1/models", "/v1/models/companion/smart-home"):
            answer = Api().generic("POST" if path == CHAT else "GET", path, b"{}", "application/json", headers=headers)
            assert refused(answer, 401)["type"] == "authentication_error"
    _, other = keys.create(workspace=member.workspace, user=member.user, name="Files", scopes=["memory"])
    assert refused(Api(other).get("/v1/models"), 403)["type"] == "permission_error"


@pytest.mark.parametrize("wait", ["-1", "601", "soon", "nan", ""])
def test_a_wait_is_a_number_of_seconds(send, wait):
    assert refused(send(headers={"X-Countersign-Wait": wait}))["param"] == "X-Countersign-Wait"
    assert send(headers={"X-Countersign-Wait": "2.5"}).status_code == 200


@pytest.mark.proves("GET /v1/models", "GET /v1/models/{model}", client="Django's test client")
def test_a_key_lists_whom_it_may_talk_to(api, smart_home, workspace, owner, client_of, stranger):
    quiet = Agent.objects.create(workspace=workspace, slug="watch", name="Watch", kind=AgentKind.MANAGER)
    Agent.objects.create(workspace=workspace, slug="gone", name="Gone", enabled=False)
    team = AgentTeam.objects.create(workspace=workspace, slug="all", name="All", lead=smart_home.agent)
    TeamMember.objects.create(team=team, agent=smart_home.agent)
    listed = api.get("/v1/models").json()
    assert listed["object"] == "list"
    assert all(set(one) == {"id", "object", "created", "owned_by"} for one in listed["data"])
    assert [one["id"] for one in listed["data"]] == [
        "companion/smart-home",
        "agent/smart-home",
        "team/all",
        "rehearsal",
        "rehearsal-reasoning",
    ]
    for one in listed["data"]:
        for path in (f"/v1/models/{one['id']}", f"/v1/models/{one['id']}/"):
            assert api.get(path).json() == one
    assert api.get("/v1/models/companion%2Fsmart-home").status_code == 200
    others = [one["id"] for one in client_of(stranger).get("/v1/models").json()["data"]]
    assert others == ["rehearsal", "rehearsal-reasoning"]
    for name in (f"agent/{quiet.slug}", "agent/gone", "companion/none", "team/none"):
        assert refused(api.get(f"/v1/models/{name}"), 404)["code"] == "model_not_found"


@pytest.mark.parametrize("model", ["companion/none", "agent/none", "agent/watch", "team/none", "gpt-none", "agent/"])
def test_a_model_that_there_is_not_is_not_found(send, workspace, model):
    Agent.objects.create(workspace=workspace, slug="watch", name="Watch", kind=AgentKind.MANAGER)
    error = refused(send(model=model), 404)
    assert (error["code"], error["param"]) == ("model_not_found", "model")
    assert not Conversation.objects.exists()


def test_another_workspaces_models_are_as_those_that_are_not_there(send, smart_home, stranger, client_of):
    theirs = client_of(stranger)
    told = [
        refused(send(by=theirs, model=f"companion/{name}"), 404)["message"] for name in ("smart-home", "smart-home")
    ]
    assert told[0].replace("smart-home", "") == told[1].replace("smart-home", "")


def test_anothers_session_is_as_one_that_does_not_exist(send, api, smart_home, workspace, stranger, client_of):
    colleague = person(workspace, "colleague", Role.ADMIN)
    mine = send(by=client_of(colleague)).headers["X-Session-Id"]
    unknown = str(ids.new())
    for by in (api, client_of(stranger)):
        told = [refused(send(by=by, metadata={"session_id": one}), 404) for one in (mine, unknown)]
        assert told[0]["message"].replace(mine, "") == told[1]["message"].replace(unknown, "")
        assert {one["code"] for one in told} == {"unknown_session"}


def test_a_session_that_is_busy_is_told_so(send):
    session = send().headers["X-Session-Id"]
    assert refused(send(metadata={"session_id": session}), 409)["code"] == "conversation_busy"


def test_a_request_that_came_before_is_answered_with_its_run(send):
    answers = [send(headers={"Idempotency-Key": "once"}) for _ in range(2)]
    assert answers[0].headers["X-Session-Id"] == answers[1].headers["X-Session-Id"]
    assert Run.objects.count() == 1


def test_a_key_of_one_request_answers_none_in_another_session(send):
    here = send().headers["X-Session-Id"]
    Run.objects.update(state="completed", active=False)
    send(headers={"Idempotency-Key": "once"})
    answer = send(headers={"Idempotency-Key": "once", "X-Session-Id": here})
    assert refused(answer, 409)["code"] == "idempotency_mismatch"


def test_who_holds_a_conversation_has_it_in_no_list_and_unread_nowhere(send, api, member):
    session = send().headers["X-Session-Id"]
    assert api.get("/v1/ai/sessions").json()["total"] == 0
    row = conversations.get(session, by=member)
    assert (row.quoted, row.unread_from) == (True, None)
    assert api.get(f"/v1/ai/sessions/{session}").status_code == 200


def test_a_model_alone_has_an_agent_that_an_admin_may_switch_off(send, workspace, owner):
    assert send(model="rehearsal").status_code == 200
    agent = Agent.objects.get(workspace=workspace, bare=True)
    assert Run.objects.get().agent == agent
    assert send(model="rehearsal").status_code == 200
    assert Agent.objects.filter(bare=True).count() == 1
    switches.change_agent(agent, by=owner, enabled=False)
    assert refused(send(model="rehearsal"), 409)["code"] == "agent_disabled"
    assert send().status_code == 200, "companions go on"


def test_a_slug_that_is_taken_is_told(send, workspace):
    Agent.objects.create(workspace=workspace, slug=bare.SLUG, name="Mine")
    assert bare.SLUG in refused(send(model="rehearsal"), 409)["message"]


def test_a_team_takes_no_tools_of_the_client(send, workspace, smart_home):
    team = AgentTeam.objects.create(workspace=workspace, slug="all", name="All", lead=smart_home.agent)
    TeamMember.objects.create(team=team, agent=smart_home.agent)
    assert send(model="team/all").status_code == 200
    assert refused(send(model="team/all", tools=[TOOL]))["param"] == "tools"


def test_images_at_public_addresses_are_fetched(send, settings):
    with receiving(Reply(200, {"Content-Type": "image/png"}, PNG)) as server:
        settings.TOOL_PRIVATE_ADDRESSES = (Endpoint("127.0.0.1", server.port),)
        assert send(image(server.url(path="/a.png"))).status_code == 200
    [part, _] = Message.objects.get().parts
    assert (part["type"], part["media_type"], part["width"]) == ("image", "image/png", 64)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(404, {"Content-Type": "image/png"}, PNG),
        Reply(200, {"Content-Type": "text/html"}, b"<p>"),
        Reply(200, {"Content-Type": "image/png"}, b"\x89PNG\r\n\x1a\nno"),
        Reply(302, {"Location": "http://169.254.169.254/latest"}),
        Reply(cut=True),
    ],
    ids=["gone", "page", "broken", "inside", "cut"],
)
def test_an_address_without_an_image_is_refused_and_an_older_one_is_left_out(send, settings, reply):
    with receiving(reply) as server:
        settings.TOOL_PRIVATE_ADDRESSES = (Endpoint("127.0.0.1", server.port),)
        there = image(server.url(path="/a.png"))
        assert refused(send(there))["param"] == "messages"
        assert not Message.objects.exists()
        if reply.body[:4] != b"\x89PNG" or reply.status != 200:
            assert send(there, {"role": "assistant", "content": "A cat."}, HELLO).status_code == 200
            [first, _] = Run.objects.get().given["past"]
            assert [part["text"] for part in first["parts"]] == ["[an image was here]\nLook"]


def test_of_many_images_the_newest_are_told(send):
    one = f"data:image/png;base64,{encoded(PNG)}"
    past = [part for _ in range(10) for part in (image(one), {"role": "assistant", "content": "Red."})]
    assert send(*past, HELLO).status_code == 200
    run = Run.objects.get()
    kinds = ["".join(part["type"][0] for part in entry["parts"]) for entry in run.given["past"]]
    assert kinds == ["t", "t"] * 2 + ["it", "t"] * 8
    assert run.conversation.attachments.count() == 8
    assert run.message.parts == [{"type": "text", "text": "Hello"}]


@pytest.mark.parametrize("path", [CHAT, "/v1/models", "/v1/models/{model}"])
def test_the_schema_tells_what_comes(path):
    [told] = [spec for one, spec in DOCUMENT["paths"].items() if one.rstrip("/") == path]
    [operation] = [spec for method, spec in told.items() if method in ("get", "post")]
    assert operation["tags"] == ["openai"]
    errors = {status for status in operation["responses"] if status >= "400"}
    assert {"401", "403", "429"} <= errors
    shapes = [operation["responses"][one]["content"]["application/json"]["schema"] for one in errors]
    assert all(one == {"$ref": "#/components/schemas/OpenAIError"} for one in shapes)
