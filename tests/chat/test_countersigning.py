"""The whole of it with real processes: somebody asks, an agent proposes, a manager countersigns, it runs once."""

import json
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.chat.asking import RESTART, Asking, Person, effects
from tests.servers.sse import Reader
from tests.servers.stack import Stack, running

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def live():
    with running(env={"RUN_SWEEP_SECONDS": "0.5"}) as stack:
        yield stack


@pytest.fixture(autouse=True)
def _fresh(live: Stack) -> None:
    live.sql("DELETE FROM agents_sandboxeffect")


@pytest.fixture
def people(live: Stack):
    """Signs people of the demo in."""
    signed_in: list[Person] = []

    def sign_in(name: str) -> Person:
        signed_in.append(Person(live, name))
        return signed_in[-1]

    yield sign_in
    for one in signed_in:
        one.http.close()


def test_an_approved_restart_runs_once_and_the_same_stream_goes_on(live, people):
    asking = Asking(live, RESTART)
    asked = asking.wait_for("approval_required")
    member, manager = people("member"), people("manager")
    assert asking.named("tool_call")[0]["name"] == "service_restart"
    assert member.decide(asked["approval_id"], decision="approve").status_code == 403
    shown = manager.approval(asked["approval_id"])
    assert shown["arguments"] == {"service": "web"}
    answer = manager.decide(asked["approval_id"], decision="approve", digest=shown["digest"])
    assert answer.status_code == 200, answer.text
    reader = asking.end()
    names = [event.name for event in reader.events]
    assert names.index("approval_required") < names.index("approval_decided") < names.index("tool_result")
    assert asking.named("tool_result")[0]["ok"] is True
    assert reader.end.data["status"] == "completed"
    assert reader.text == reader.end.data["response"]
    assert names.count("done") == 1
    assert "restart" not in names
    assert [(tool, calls) for tool, _, calls in effects(live)] == [("service_restart", 1)]


def test_a_rejection_tells_the_model_why(live, people):
    asking = Asking(live, RESTART)
    asked = asking.wait_for("approval_required")
    manager = people("manager")
    assert manager.decide(asked["approval_id"], decision="reject").status_code == 400
    assert manager.decide(asked["approval_id"], decision="reject", reason="Not in office hours").status_code == 200
    reader = asking.end()
    assert reader.end.data["status"] == "completed"
    assert "Not in office hours" in reader.text
    assert effects(live) == []


def test_what_was_edited_is_what_runs_and_the_model_is_told(live, people):
    asking = Asking(live, RESTART)
    asked = asking.wait_for("approval_required")
    manager = people("manager")
    wrong = manager.decide(asked["approval_id"], decision="approve", arguments={"service": 5})
    assert wrong.status_code == 400, wrong.text
    digest = manager.approval(asked["approval_id"])["digest"]
    answer = manager.decide(asked["approval_id"], decision="approve", arguments={"service": "api"}, digest=digest)
    assert answer.status_code == 200, answer.text
    assert asking.end().end.data["status"] == "completed"
    decided = asking.named("approval_decided")[0]
    assert (decided["by"], decided["deciders"]) == ("Manager", ["Manager"])
    assert decided["edited"] == {"by": "Manager", "arguments": {"service": "api"}}
    assert [arguments for _, arguments, _ in effects(live)] == [{"service": "api"}]
    assert "api" in asking.reader.text


def test_an_answer_in_place_of_running_is_the_tools_result(live, people):
    asking = Asking(live, RESTART)
    asked = asking.wait_for("approval_required")
    said = "I restarted it by hand already."
    assert people("manager").decide(asked["approval_id"], decision="respond", response=said).status_code == 200
    assert said in asking.end().text
    assert effects(live) == []


def test_a_request_that_nobody_decides_expires(live, people):
    asking = Asking(live, RESTART)
    asked = asking.wait_for("approval_required")
    live.sql("UPDATE approvals_approval SET expires_at = now() WHERE id = %s", asked["approval_id"])
    reader = asking.end()
    assert reader.end.data["status"] == "completed"
    assert asking.named("approval_decided")[0]["decision"] == "expired"
    late = people("manager").decide(asked["approval_id"], decision="approve")
    assert late.status_code == 409
    assert effects(live) == []


def test_of_two_managers_at_once_one_decides_and_the_other_is_told(live, people):
    asking = Asking(live, RESTART)
    asked = asking.wait_for("approval_required")
    both = [people("manager"), people("manager2")]
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda one: one.decide(asked["approval_id"], decision="approve"), both))
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    asking.end()
    assert len(effects(live)) == 1


def test_who_does_not_wait_gets_the_state_and_comes_back_for_the_rest(live, people):
    with httpx.Client(base_url=live.base_url, headers=live.headers, timeout=60, trust_env=False) as client:
        answer = client.post("/v1/ai/chat", json={"message": RESTART, "companion": "devops"})
        assert answer.status_code == 202, answer.text
        told = answer.json()
        assert told["status"] == "awaiting_approval"
        [approval_id] = told["approvals"]
        assert client.get(f"/v1/ai/runs/{told['run_id']}").json()["status"] == "waiting_approval"
        assert people("manager").decide(approval_id, decision="approve").status_code == 200
        reader = Reader()
        with client.stream("GET", f"/v1/ai/runs/{told['run_id']}/events") as response:
            reader.read(response)
        assert reader.end.data["status"] == "completed"
        session = client.get(f"/v1/ai/sessions/{told['session_id']}").json()
    kinds = [part["type"] for part in session["messages"][-1]["parts"]]
    assert kinds.count("tool_call") == kinds.count("tool_result") == 1
    assert len(effects(live)) == 1


def test_a_message_that_interrupts_takes_the_request_back(live, people):
    with httpx.Client(base_url=live.base_url, headers=live.headers, timeout=60, trust_env=False) as client:
        told = client.post("/v1/ai/chat", json={"message": RESTART, "companion": "devops"}).json()
        follow = {"message": "Never mind, hello", "session_id": told["session_id"]}
        assert client.post("/v1/ai/chat", json=follow).status_code == 409
        assert client.post("/v1/ai/chat", json={**follow, "on_conflict": "interrupt"}).status_code == 200
        assert client.get(f"/v1/ai/runs/{told['run_id']}").json()["status"] == "cancelled"
    manager = people("manager")
    assert manager.approval(told["approvals"][0])["status"] == "cancelled"
    assert manager.decide(told["approvals"][0], decision="approve").status_code == 409
    assert effects(live) == []


def test_where_two_must_agree_one_is_not_enough(live, people):
    rule = {"name": "Two for a restart", "tool": "service_restart", "quorum_approve": 2}
    live.manage("policy", "import", "--workspace", "demo", "--by", "admin@demo.example", "-", stdin=json.dumps(rule))
    asking = Asking(live, RESTART)
    asked = asking.wait_for("approval_required")
    first, second = people("manager"), people("manager2")
    assert first.decide(asked["approval_id"], decision="approve").json()["status"] == "pending"
    assert first.decide(asked["approval_id"], decision="approve").status_code == 409
    assert effects(live) == []
    assert second.decide(asked["approval_id"], decision="approve").json()["status"] == "approved"
    assert asking.end().end.data["status"] == "completed"
    assert len(effects(live)) == 1
    rule["enabled"] = False
    live.manage("policy", "import", "--workspace", "demo", "--by", "admin@demo.example", "-", stdin=json.dumps(rule))
