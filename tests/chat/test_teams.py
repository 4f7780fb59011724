"""Teams with real processes: every mode, members that fail or ask for approval, and workers that die in the middle."""

import json
import threading

import httpx
import pytest

from tests.chat.asking import Person, effects
from tests.servers.sse import Reader
from tests.servers.stack import Stack, eventually, running

pytestmark = pytest.mark.timeout(240)

SETUP = """
from agents.models import Agent, AgentTeam, TeamMember
from accounts.models import Workspace
home = Workspace.objects.get(slug="demo")
def agent(slug, name, **more):
    return Agent.objects.create(workspace=home, slug=slug, name=name, **more)
def team(slug, *members, **more):
    made = AgentTeam.objects.create(workspace=home, slug=slug, name=slug, lead=members[0], **more)
    for place, one in enumerate(members):
        TeamMember.objects.create(team=made, agent=one, place=place)
ada = agent("ada", "Ada", description="Mathematics and proofs.", capabilities=["algebra"])
bob = agent("bob", "Bob", description="Cooking and wine.")
cyd = agent("cyd", "Cyd", description="Gardens.")
ops = agent("ops", "Ops", tools=["service_restart"])
dot, eli = agent("dot", "Dot"), agent("eli", "Eli")
asker = agent("asker", "Asker", tools=["ask_agent"], may_ask=["ops", "ada", "asker", "loop"])
agent("loop", "Loop", tools=["ask_agent"], may_ask=["loop2"])
agent("loop2", "Loop2", tools=["ask_agent"], may_ask=["loop"])
agent("shy", "Shy", tools=["service_restart"], autonomy="autonomous")
agent("watcher", "Watcher", tools=["ask_agent"], may_ask=["shy"], autonomy="observer")
team("three", ada, bob, cyd)
team("acting", ada, ops)
team("five", ada, bob, cyd, dot, eli)
from companions.models import Companion
for slug in ("asker", "watcher"):
    Companion.objects.create(workspace=home, type=slug, name=slug.title(), agent=Agent.objects.get(slug=slug))
"""
RESTART = 'Hello [[rehearse: as=Ops call=service_restart {"service": "web"}]]'


def begin(stack: Stack) -> None:
    stack.manage("shell", "-c", SETUP)


@pytest.fixture(scope="module")
def live():
    with running(env={"RUN_SWEEP_SECONDS": "0.5"}) as stack:
        begin(stack)
        yield stack


@pytest.fixture(autouse=True)
def _fresh(request):
    if "live" in request.fixturenames:
        request.getfixturevalue("live").sql("DELETE FROM agents_sandboxeffect")


@pytest.fixture
def client(live: Stack):
    with httpx.Client(base_url=live.base_url, headers=live.headers, timeout=60, trust_env=False) as one:
        yield one


@pytest.fixture
def manager(live: Stack):
    one = Person(live, "manager")
    yield one
    one.http.close()


def team_id(stack: Stack, slug: str) -> str:
    [(found,)] = stack.sql("SELECT id FROM agents_agentteam WHERE slug = %s", slug)
    return str(found)


def url(stack: Stack, slug: str) -> str:
    return f"/v1/ai/teams/{team_id(stack, slug)}/chat"


def ask(client: httpx.Client, stack: Stack, slug: str, message: str, **more) -> httpx.Response:
    return client.post(url(stack, slug), json={"message": message, **more})


class Asking:
    """A message to a team, whose stream is read in the background."""

    def __init__(self, stack: Stack, path: str, message: str, **more) -> None:
        self.reader = Reader()
        self._stack, self._path, self._body = stack, path, {"message": message, "stream": True, **more}
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with (
            httpx.Client(timeout=90, trust_env=False, base_url=self._stack.base_url) as client,
            client.stream("POST", self._path, json=self._body, headers=self._stack.headers) as response,
        ):
            self.reader.read(response)

    def named(self, name: str) -> list[dict]:
        return [event.data for event in list(self.reader.events) if event.name == name]

    def wait_for(self, name: str) -> dict:
        return eventually(lambda: self.named(name), f"the stream says {name}")[0]

    def end(self) -> Reader:
        self._thread.join(60)
        assert self.reader.end is not None, [event.name for event in self.reader.events]
        return self.reader


def answer_of(stack: Stack, session_id: str) -> tuple[str, list[dict]]:
    [found] = stack.sql(
        "SELECT content, parts FROM chat_message WHERE conversation_id = %s AND role = 'assistant'", session_id
    )
    return found


def test_in_a_brainstorm_all_answer_and_the_lead_sums_up(live, client):
    told = ask(client, live, "three", "How do we save energy?", mode="brainstorm")
    assert told.status_code == 200, told.text
    body = told.json()
    assert (body["status"], body["mode"]) == ("completed", "brainstorm")
    assert [one["agent_name"] for one in body["responses"]] == ["Ada", "Bob", "Cyd"]
    assert all("rehearsal" in one["content"] and "error" not in one for one in body["responses"])
    assert body["summary"]
    rows = live.sql("SELECT role, state FROM chat_run WHERE root_id = %s ORDER BY role", body["run_id"])
    assert rows == [("member", "completed")] * 3 + [("summary", "completed")]
    text, parts = answer_of(live, body["session_id"])
    assert text == body["response"]
    assert max(text.index(f"**{name}**") for name in ("Ada", "Bob", "Cyd")) < text.index("**Ada sums up**")


def test_a_stream_says_who_speaks_and_its_text_is_the_stored_answer(live):
    asking = Asking(live, url(live, "three"), "How do we save energy?", mode="brainstorm")
    reader = asking.end()
    assert reader.text == reader.end.data["response"] == answer_of(live, reader.session_id)[0]
    assert asking.named("team")[0]["mode"] == "brainstorm"
    spoken = {one["agent_name"] for one in asking.named("delta") if "agent_name" in one}
    assert spoken == {"Ada", "Bob", "Cyd"}
    ended = [one["agent_name"] for one in asking.named("member")]
    assert (sorted(ended[:3]), ended[3]) == (["Ada", "Bob", "Cyd"], "Ada")


@pytest.mark.parametrize(
    ("mode", "roles", "responses"),
    [
        ("debate", {"member": 6, "summary": 1}, 3),
        ("sequential", {"member": 3}, 3),
        ("expert", {"member": 1}, 1),
        ("consensus", {"member": 3, "vote": 3, "summary": 1}, 3),
    ],
)
def test_every_mode_asks_as_many_as_it_should(live, client, mode, roles, responses):
    message = "What is algebra? [[rehearse: vote=2]]"
    body = ask(client, live, "three", message, mode=mode).json()
    found = live.sql("SELECT role, count(*)::int FROM chat_run WHERE root_id = %s GROUP BY role", body["run_id"])
    assert (dict(found), len(body["responses"])) == (roles, responses), body
    assert body["summary"]
    if mode == "expert":
        assert body["responses"][0]["agent_name"] == "Ada"
    if mode == "consensus":
        prompts = live.sql(
            "SELECT content FROM chat_message JOIN chat_run ON message_id = chat_message.id"
            " WHERE root_id = %s AND chat_run.role = 'summary'", body["run_id"],
        )  # fmt: skip
        assert "The vote: Bob 3" in prompts[0][0]


def test_auto_chooses_by_the_message_and_says_so(live, client):
    assert ask(client, live, "three", "Debate this: tea or coffee").json()["mode"] == "debate"
    assert ask(client, live, "three", "Explain algebra").json()["mode"] == "expert"


def test_a_member_that_fails_does_not_sink_the_others(live, client):
    body = ask(client, live, "three", "Hello [[rehearse: as=Bob fail=error after=3]]", mode="brainstorm").json()
    assert body["status"] == "completed"
    by_name = {one["agent_name"]: one for one in body["responses"]}
    assert by_name["Bob"]["error"] == "provider_error"
    assert "error" not in by_name["Ada"]
    assert body["summary"]


def test_a_team_of_which_nobody_answers_fails(live, client):
    told = ask(client, live, "three", "Hello [[rehearse: fail=error]]", mode="brainstorm")
    assert (told.status_code, told.json()["code"]) == (502, "team_failed")


def test_a_members_call_is_countersigned_on_the_teams_run(live, manager):
    asking = Asking(live, url(live, "acting"), RESTART, mode="brainstorm")
    asked = asking.wait_for("approval_required")
    run_id = asking.reader.run_id
    stands = "SELECT state, worker, lease_until FROM chat_run WHERE id = %s"
    eventually(lambda: live.sql(stands, run_id)[0][0] == "waiting_approval", "the team's run waits")
    assert live.sql(stands, run_id)[0][2] is None
    member = Person(live, "member")
    assert member.decide(asked["approval_id"], decision="approve").status_code == 403
    member.http.close()
    assert manager.decide(asked["approval_id"], decision="approve").status_code == 200
    reader = asking.end()
    assert reader.end.data["status"] == "completed"
    assert reader.text == reader.end.data["response"] == answer_of(live, reader.session_id)[0]
    assert len(asking.named("approval_decided")) == 1
    assert [(tool, calls) for tool, _, calls in effects(live)] == [("service_restart", 1)]
    assert "restart" not in [event.name for event in reader.events]


def test_who_does_not_wait_is_given_the_members_approvals(live, client, manager):
    told = ask(client, live, "acting", RESTART, mode="brainstorm")
    assert told.status_code == 202, told.text
    body = told.json()
    assert (body["status"], len(body["approvals"])) == ("awaiting_approval", 1)
    assert [one["agent_name"] for one in body["responses"]] == ["Ada"]
    assert manager.decide(body["approvals"][0], decision="reject", reason="Not now").status_code == 200
    eventually(lambda: client.get(f"/v1/ai/runs/{body['run_id']}").json()["status"] == "completed", "it goes on")
    assert effects(live) == []


def test_a_cancelled_team_cancels_its_members_and_takes_back_what_they_asked(live, client, manager):
    body = ask(client, live, "acting", RESTART, mode="brainstorm").json()
    assert client.post(f"/v1/ai/runs/{body['run_id']}/cancel").status_code == 202
    states = "SELECT state FROM chat_run WHERE root_id = %s AND state NOT IN ('completed', 'cancelled')"
    eventually(lambda: not live.sql(states, body["run_id"]), "all members stop")
    assert manager.approval(body["approvals"][0])["status"] == "cancelled"
    assert effects(live) == []


def test_a_cancel_in_mid_answer_stops_all_members(live, client):
    asking = Asking(live, url(live, "three"), "Hello [[rehearse: tokens=3000 interval=20]]", mode="brainstorm")
    asking.wait_for("delta")
    client.post(f"/v1/ai/runs/{asking.reader.run_id}/cancel")
    reader = asking.end()
    assert reader.end.data["status"] == "cancelled"
    states = "SELECT DISTINCT state FROM chat_run WHERE root_id = %s"
    eventually(lambda: live.sql(states, reader.run_id) == [("cancelled",)], "all members stop")


def test_a_follow_up_tells_the_members_what_was_said_before(live, client):
    first = ask(client, live, "three", "My cat is called Mog", mode="expert").json()
    again = ask(client, live, "three", "And now?", mode="expert", session_id=first["session_id"]).json()
    assert again["session_id"] == first["session_id"]
    [(said,)] = live.sql(
        "SELECT content FROM chat_message JOIN chat_run ON message_id = chat_message.id WHERE root_id = %s",
        again["run_id"],
    )
    assert "Mog" in said
    listed = client.get("/v1/ai/sessions").json()["sessions"]
    assert first["session_id"] in {row["id"] for row in listed}
    assert all(row["team_id"] or row["companion"] for row in listed)


def test_deleting_the_session_deletes_what_its_members_said(live, client):
    body = ask(client, live, "acting", RESTART, mode="brainstorm").json()
    assert client.delete(f"/v1/ai/sessions/{body['session_id']}").status_code == 204
    assert live.sql("SELECT 1 FROM chat_conversation WHERE parent_id = %s", body["session_id"]) == []
    assert live.sql("SELECT status FROM approvals_approval WHERE id = %s", body["approvals"][0]) == [("cancelled",)]


def test_unknown_modes_teams_and_sessions_are_refused(live, client):
    assert ask(client, live, "three", "Hello", mode="shout").status_code == 400
    assert (
        client.post("/v1/ai/teams/01890a5d-ac96-774b-bcce-b302099a8057/chat", json={"message": "x"}).status_code == 404
    )
    other = client.post("/v1/ai/sessions", json={"companion": "devops"}).json()["id"]
    assert ask(client, live, "three", "Hello", session_id=other).status_code == 400


def test_an_agent_asks_another_and_is_told_its_answer(live, client):
    call = json.dumps({"agent": "ada", "message": "What is algebra?"})
    body = client.post("/v1/ai/chat", json={"message": f"[[rehearse: call=ask_agent {call}]]", "companion": "asker"})
    assert body.status_code == 200, body.text
    told = body.json()
    assert "You asked: “What is algebra?”" in told["response"]
    assert live.sql("SELECT state, tool FROM chat_action WHERE run_id = %s", told["run_id"]) == [
        ("succeeded", "ask_agent")
    ]
    assert live.sql("SELECT role, depth, companion_type FROM chat_run WHERE parent_id = %s", told["run_id"]) == [
        ("delegate", 1, "asker")
    ]


def delegated() -> str:
    inner = '[[rehearse: call=service_restart {\\"service\\": \\"web\\"}]]'
    return f'[[rehearse: call=ask_agent {{"agent": "ops", "message": "{inner}"}}]]'


def test_what_an_asked_agent_wants_is_countersigned_while_both_wait(live, manager):
    asking = Asking(live, "/v1/ai/chat", delegated(), companion="asker")
    asked = asking.wait_for("approval_required")
    run_id = asking.reader.run_id
    states = "SELECT state, lease_until FROM chat_run WHERE id = %s OR root_id = %s"
    eventually(lambda: live.sql(states, run_id, run_id) == [("waiting_approval", None)] * 2, "both wait")
    member = Person(live, "member")
    assert member.decide(asked["approval_id"], decision="approve").status_code == 403
    member.http.close()
    assert manager.decide(asked["approval_id"], decision="approve").status_code == 200
    reader = asking.end()
    assert reader.end.data["status"] == "completed"
    assert [(tool, calls) for tool, _, calls in effects(live)] == [("service_restart", 1)]
    assert len(asking.named("approval_decided")) == 1
    assert reader.text == reader.end.data["response"]


def test_an_agent_that_only_observes_gets_nothing_done_through_another(live, client):
    inner = '[[rehearse: call=service_restart {\\"service\\": \\"web\\"}]]'
    message = f'[[rehearse: call=ask_agent {{"agent": "shy", "message": "{inner}"}}]]'
    body = client.post("/v1/ai/chat", json={"message": message, "companion": "watcher"}).json()
    assert body["status"] == "completed", body
    assert live.sql(
        "SELECT code FROM chat_action JOIN chat_run ON run_id = chat_run.id WHERE root_id = %s", body["run_id"]
    ) == [("observed",)]
    assert effects(live) == []


@pytest.mark.parametrize("who", ["asker", "shy", "no-such-agent"])
def test_nobody_asks_itself_or_who_is_not_on_its_list(live, client, who):
    call = json.dumps({"agent": who, "message": "Hello"})
    body = client.post(
        "/v1/ai/chat", json={"message": f"[[rehearse: call=ask_agent {call}]]", "companion": "asker"}
    ).json()
    assert live.sql("SELECT state, code FROM chat_action WHERE run_id = %s", body["run_id"]) == [
        ("refused", "invalid_arguments")
    ]
    assert live.sql("SELECT 1 FROM chat_run WHERE parent_id = %s", body["run_id"]) == []


def test_agents_that_ask_one_another_in_a_circle_come_to_an_end(live, client):
    message = "Go"
    for who in ("loop", "loop2", "loop"):
        message = f"[[rehearse: call=ask_agent {json.dumps({'agent': who, 'message': message})}]]"
    body = client.post("/v1/ai/chat", json={"message": message, "companion": "asker"}).json()
    assert body["status"] == "completed", body
    assert live.sql("SELECT max(depth)::int, count(*)::int FROM chat_run WHERE root_id = %s", body["run_id"]) == [
        (2, 2)
    ]


@pytest.mark.long
def test_a_worker_killed_in_mid_answer_costs_no_word_and_asks_nobody_twice():
    env = {"RUN_SWEEP_SECONDS": "0.5", "RUN_LEASE_SECONDS": "3", "RUN_CHECKPOINT_SECONDS": "0.5"}
    with running(env=env, workers=2) as stack:
        begin(stack)
        message = "Hello [[rehearse: tokens=150 interval=20]]"
        asking = Asking(stack, url(stack, "three"), message, mode="brainstorm")
        asking.wait_for("delta")
        [(pid,)] = stack.sql("SELECT split_part(worker, ':', 2)::int FROM chat_run WHERE team IS NOT NULL")
        stack.kill(next(name for name in ("worker1", "worker2") if stack.pid(name) == pid))
        reader = asking.end()
        assert reader.end.data["status"] == "completed", reader.end
        assert reader.text == reader.end.data["response"] == answer_of(stack, reader.session_id)[0]
        assert stack.sql("SELECT count(*)::int FROM chat_run WHERE root_id = %s", reader.run_id) == [(4,)]
        assert reader.restarts >= 1


def test_five_members_speak_at_the_same_time(live, client):
    body = ask(client, live, "five", "Hello [[rehearse: tokens=50 interval=20]]", mode="brainstorm").json()
    members = live.sql(
        "SELECT started_at, ended_at FROM chat_run WHERE root_id = %s AND role = 'member'", body["run_id"]
    )
    assert max(start for start, _ in members) < min(end for _, end in members)
