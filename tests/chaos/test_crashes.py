"""What dies in the middle of an answer, and what a client that comes back ends with: exactly the stored answer.

Real processes, real signals. The upstream speaks one token every few milliseconds, long enough to be caught in it.
"""

import json

import httpx
import pytest

from tests.servers.openai_server import OpenAIServer, running
from tests.servers.sse import Reader, ask, resume
from tests.servers.stack import eventually

pytestmark = pytest.mark.timeout(240)

TOKENS = 150
MODEL = f"t{TOKENS}-i20"
BODY = {"message": "Tell me a long story", "companion": "smart-home", "model": MODEL}


@pytest.fixture
def upstream():
    with running() as server:
        yield server


@pytest.fixture
def chaos(stack, upstream: OpenAIServer):
    """Makes a stack that answers from the upstream, with short leases."""
    env = {
        "OPENAI_BASE_URL": upstream.base_url,
        "RUN_LEASE_SECONDS": "4",
        "RUN_SWEEP_SECONDS": "0.5",
        "RUN_CHECKPOINT_SECONDS": "0.5",
    }
    return lambda **options: stack(**{"env": env, **options})


def stored(stack, reader: Reader) -> str:
    """The answer as it stands in the session."""
    url = f"{stack.urls[-1]}/v1/ai/sessions/{reader.session_id}"
    messages = httpx.get(url, headers=stack.headers, trust_env=False).json()["messages"]
    answers = [message["content"] for message in messages if message["role"] == "assistant"]
    assert len(answers) == 1, messages
    return answers[0]


OF_PEOPLE = "FROM chat_run WHERE companion_type <> ''"  # the guard may wake by its schedule meanwhile


def states(stack) -> set[str]:
    return {row[0] for row in stack.sql(f"SELECT DISTINCT state {OF_PEOPLE}")}


def key(stack) -> str:
    return stack.demo["keys"]["secret"]


def whole_answer(stack, reader: Reader) -> None:
    """The reader has the stored answer, which is what the upstream said."""
    assert reader.end is not None
    assert reader.end.name == "done", reader.end
    assert reader.text == reader.end.data["response"] == stored(stack, reader)
    assert reader.ids == sorted(reader.ids)
    assert states(stack) == {"completed"}


def test_a_worker_killed_in_mid_answer_is_replaced_and_nothing_is_doubled(chaos):
    stack = chaos(workers=2)
    reader = Reader()
    with (
        httpx.Client(timeout=60, trust_env=False) as client,
        client.stream(
            "POST", f"{stack.base_url}/v1/ai/chat", json={**BODY, "stream": True}, headers=stack.headers
        ) as response,
    ):
        reader.read(response, until=40)
        [(pid,)] = stack.sql(f"SELECT split_part(worker, ':', 2)::int {OF_PEOPLE}")
        holder = next(name for name in ("worker1", "worker2") if stack.pid(name) == pid)
        stack.kill(holder)
    resume(stack.base_url, key(stack), reader)
    whole_answer(stack, reader)
    assert reader.restarts == 1


@pytest.mark.long
def test_a_watcher_who_stays_sees_the_restart_on_the_same_connection(chaos):
    stack = chaos(workers=2)
    with (
        httpx.Client(timeout=60, trust_env=False) as client,
        client.stream(
            "POST", f"{stack.base_url}/v1/ai/chat", json={**BODY, "stream": True}, headers=stack.headers
        ) as response,
    ):
        lines = response.iter_lines()
        for line in lines:
            if line.startswith("data: ") and "tok" in line:
                break
        [(pid,)] = stack.sql(f"SELECT split_part(worker, ':', 2)::int {OF_PEOPLE}")
        stack.kill(next(name for name in ("worker1", "worker2") if stack.pid(name) == pid))
        rest = list(lines)
    assert "event: restart" in rest
    done = json.loads(rest[rest.index("event: done") + 1].removeprefix("data: "))
    texts = [json.loads(line[6:])["text"] for line in rest[rest.index("event: restart") :] if '{"text":' in line]
    assert "".join(texts) == done["response"]


def test_a_web_process_killed_in_mid_stream_loses_no_word(chaos):
    stack = chaos(webs=2)
    reader = Reader()
    with (
        httpx.Client(timeout=60, trust_env=False) as client,
        client.stream(
            "POST", f"{stack.base_url}/v1/ai/chat", json={**BODY, "stream": True}, headers=stack.headers
        ) as response,
    ):
        reader.read(response, until=40)
        stack.kill("web1")
    resume(stack.urls[1], key(stack), reader)
    whole_answer(stack, reader)
    assert reader.restarts == 0


def test_a_valkey_killed_in_mid_stream_costs_no_word(chaos):
    stack = chaos()
    reader = Reader()
    ask(stack.base_url, key(stack), BODY, reader, until=40)
    stack.restart("valkey")
    resume(stack.base_url, key(stack), reader)
    whole_answer(stack, reader)


def test_a_valkey_that_forgot_everything_costs_no_word(chaos):
    stack = chaos()
    reader = Reader()
    ask(stack.base_url, key(stack), BODY, reader, until=40)
    with stack.valkey() as valkey:
        valkey.flushall()
    resume(stack.base_url, key(stack), reader)
    whole_answer(stack, reader)


def test_a_reader_whose_log_is_gone_is_given_the_stored_answer(chaos):
    stack = chaos()
    reader = Reader()
    ask(stack.base_url, key(stack), BODY, reader, until=40)
    ended = resume(stack.base_url, key(stack), Reader(run_id=reader.run_id))
    with stack.valkey() as valkey:
        valkey.flushall()
    resume(stack.base_url, key(stack), reader)
    whole_answer(stack, reader)
    again = resume(stack.base_url, key(stack), Reader(run_id=reader.run_id))
    assert again.text == ended.text == reader.text


def test_a_postgres_restarted_in_mid_stream_ends_the_run_once(chaos):
    stack = chaos()
    reader = Reader()
    ask(stack.base_url, key(stack), BODY, reader, until=40)
    stack.restart("postgres")
    resume(stack.base_url, key(stack), reader)
    assert reader.end is not None
    eventually(lambda: states(stack) <= {"completed", "failed"}, "the run ends")
    if reader.end.name == "done":
        whole_answer(stack, reader)


def test_every_doorbell_lost_the_sweep_finds_the_run(chaos):
    stack = chaos()
    with stack.valkey() as valkey:
        valkey.set("bell:chat.execute_run", "1")  # as if somebody had rung already: no bell is sent
        reader = ask(stack.base_url, key(stack), BODY)
        valkey.delete("bell:chat.execute_run")
    whole_answer(stack, reader)


def test_a_worker_that_slept_past_its_lease_says_nothing_more(chaos):
    stack = chaos(workers=2)
    reader = Reader()
    ask(stack.base_url, key(stack), BODY, reader, until=40)
    [(pid,)] = stack.sql(f"SELECT split_part(worker, ':', 2)::int {OF_PEOPLE}")
    holder = next(name for name in ("worker1", "worker2") if stack.pid(name) == pid)
    stack.freeze(holder)
    eventually(lambda: stack.sql(f"SELECT attempt {OF_PEOPLE}") == [(2,)], "another worker takes the run")
    stack.thaw(holder)
    resume(stack.base_url, key(stack), reader)
    whole_answer(stack, reader)
    assert reader.restarts == 1
