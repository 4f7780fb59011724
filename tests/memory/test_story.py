"""Memory with real processes: told, known in another conversation, corrected, forgotten without a trace."""

import subprocess
from typing import Any

import httpx
import pytest

from core import embedded_home
from tests.servers.stack import Stack, eventually, running

pytestmark = pytest.mark.timeout(240)
PLACE = "Zanzibar"


@pytest.fixture(scope="module")
def live():
    with running(env={"EXTRACTION_IDLE_SECONDS": "0.1"}) as stack:
        yield stack


@pytest.fixture
def client(live: Stack):
    with httpx.Client(base_url=f"{live.base_url}/v1/ai/", headers=live.headers, timeout=60, trust_env=False) as one:
        yield one


def ask(client: httpx.Client, message: str, **more: Any) -> dict[str, Any]:
    """A message in a new conversation, or in the one that is named, and its answer."""
    answer = client.post("chat", json={"message": message, "companion": "smart-home", **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


def memories(client: httpx.Client, **query: Any) -> dict[str, dict[str, Any]]:
    """What is remembered, by its words."""
    found = client.get("memory", params={"limit": 100, **query})
    assert found.status_code == 200, found.text
    return {one["content"]: one for one in found.json()["memories"]}


def dump(stack: Stack) -> str:
    """The whole database, as pg_dump writes it."""
    program = embedded_home.programs(stack.home) / embedded_home.POSTGRES_PROGRAMS / "bin" / "pg_dump"
    done = subprocess.run([program, "--inserts", stack.home.database_url], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_is_told_is_known_corrected_and_forgotten_for_good(live, client):
    first = ask(
        client, f"Hello! I live in {PLACE}. I like black coffee. Yesterday my bicycle was stolen at the market."
    )
    learned = {f"Lives in {PLACE}.", "Likes black coffee."}
    eventually(lambda: learned <= set(memories(client)), "what was said is learned")
    assert set(memories(client, layer="identity")) == {f"Lives in {PLACE}."}

    known = ask(client, "What happened to my bicycle, and where do I live?")
    assert f"home: Lives in {PLACE}." in known["response"]
    assert "coffee" in known["response"]
    assert not [text for text in memories(client, layer="history") if text.startswith("This is a rehearsal")]
    assert "bicycle was stolen" in known["response"]
    run = client.get(f"runs/{known['run_id']}").json()
    assert memories(client)[f"Lives in {PLACE}."]["id"] in run["memories"]
    eventually(lambda: memories(client)[f"Lives in {PLACE}."]["last_recalled_at"], "that it was recalled is noted")

    old = memories(client)["Likes black coffee."]
    body = {"content": "Likes green tea.", "type": "coffee"}
    assert client.patch(f"memory/{old['id']}", json=body).json()["content"] == "Likes green tea."
    assert [one["content"] for one in client.get(f"memory/{old['id']}/versions").json()["revisions"]] == [
        "Likes black coffee."
    ]
    ask(client, "I moved to Oslo. It is cold.", session_id=first["session_id"])
    ask_oslo = eventually(lambda: memories(client, layer="identity").get("Lives in Oslo."), "the move is learned")
    superseded = client.get(f"memory/{ask_oslo['id']}/versions").json()["superseded"]
    assert [one["content"] for one in superseded] == [f"Lives in {PLACE}."]

    assert PLACE in dump(live)
    gone = client.delete(f"memory/{ask_oslo['id']}")
    assert gone.status_code == 204, gone.text
    assert PLACE not in dump(live)
    assert "Oslo" not in dump(live)
    assert "bicycle" in dump(live)
    assert not memories(client, layer="identity", status="all")
    again = ask(client, "Where do I live? Do you know the place?")
    assert PLACE not in again["response"]
    assert PLACE not in client.get(f"sessions/{first['session_id']}").text
    assert PLACE not in client.get(f"runs/{first['run_id']}/events").text
    assert PLACE not in client.get("memory/export").text
    assert PLACE not in client.get("memory", params={"q": PLACE}).text


def test_a_provider_that_may_not_know_is_not_told(live, client):
    ask(client, "My name is Bartholomew.")
    eventually(lambda: "Is called Bartholomew." in memories(client), "the name is learned")
    assert "Bartholomew" in ask(client, "Who am I?")["response"]
    client.put("memory/pause", json={"paused": True, "companion_type": "smart-home"})
    assert "Bartholomew" not in ask(client, "Who am I?")["response"]
    client.put("memory/pause", json={"paused": False, "companion_type": "smart-home"})


def test_a_message_that_is_said_otherwise_is_told_once_and_what_it_was_goes_with_it(live, client):
    first = ask(client, "My tandem is red.")
    (said, _) = client.get(f"sessions/{first['session_id']}").json()["messages"]
    ask(client, "My tandem is green.", session_id=first["session_id"], replaces=said["id"])
    told = ask(client, "What colour is my tandem?")["response"]
    assert told.count("you said: My tandem is") == 1
    assert "you said: My tandem is green." in told
    new = memories(client, layer="history")["My tandem is green."]
    before = client.get(f"memory/{new['id']}/versions").json()["superseded"]
    assert [one["content"] for one in before] == ["My tandem is red."]
    assert client.delete(f"memory/{new['id']}").status_code == 204
    assert not [line for line in dump(live).splitlines() if "tandem is" in line]
