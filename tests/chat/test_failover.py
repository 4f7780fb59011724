"""A provider that fails before its first token: the next in line answers, and everybody is told who it was."""

import httpx
import pytest

from agents import brain
from agents.events import ProviderChanged, RunStarted, Status, TextDelta
from agents.models import Agent, Provider
from chat.models import Message, Run, RunState
from chat.services import conversations, runs
from companions.models import Companion
from tests.chat.attempting import attempt, end, told
from tests.servers import openai_server
from tests.servers.sse import Reader
from tests.servers.stack import Stack, eventually, running
from tests.servers.threads import bridged

FALLBACK = "t2-i0"


@pytest.fixture
def servers(transactional_db, workspace):
    """Two providers, `one` before `two`; the workspace lets the second answer for the first."""
    with openai_server.running(["t9-i0"]) as first, openai_server.running([FALLBACK]) as second, bridged():
        for priority, (name, server) in enumerate([("one", first), ("two", second)]):
            Provider.objects.create(
                workspace=workspace, name=name, kind="openai", base_url=server.base_url, api_key="k",
                any_model=name == "one", priority=priority,
            )  # fmt: skip
        workspace.allow_fallback = True
        workspace.save()
        yield first, second
    brain.forget()


@pytest.fixture
def ask(servers, workspace, smart_home, member):
    """Starts a run with the first provider's model of this name, and lets a worker answer it."""

    def asked(model: str, **options) -> Run:
        choice = brain.Choice(brain.spec(workspace.pk, "one"), model)
        return runs.start(conversations.new(smart_home, by=member), text="Hello", by=member, choice=choice, **options)

    return asked


@pytest.mark.parametrize("model", ["status:503", "status:401", "quota", "status:429:60", "hang-up"])
def test_the_next_in_line_answers_and_run_message_and_readers_name_it(ask, servers, model):
    run = ask(model)
    outcome = attempt()
    assert outcome is not None
    assert (outcome.state, outcome.text) == (RunState.COMPLETED, "tok 0 tok 1 ")

    run.refresh_from_db()
    answer = Message.objects.get(pk=run.answer_id)
    for one in (run, answer, end(outcome)):
        assert (one.provider, one.model) == ("two", FALLBACK)
    events = told(run.pk)
    [changed] = [event for event in events if isinstance(event, ProviderChanged)]
    assert (changed.provider, changed.model) == ("two", FALLBACK)
    assert changed.label.startswith("one: ")
    assert changed.label.endswith("two answers with t2-i0")
    assert [type(e) for e in events if not isinstance(e, Status)][:3] == [RunStarted, ProviderChanged, TextDelta]


@pytest.mark.parametrize("model", ["cut:2", "status:400", "missing"])
def test_nobody_takes_over_in_mid_answer_or_where_the_request_is_at_fault(ask, servers, model):
    run = ask(model)
    outcome = attempt()
    assert outcome is not None
    assert (outcome.state, outcome.provider) == (RunState.FAILED, "one")
    assert servers[1].chats == []
    assert not any(isinstance(event, ProviderChanged) for event in told(run.pk))


def test_a_workspace_that_does_not_allow_it_gets_the_failure(ask, servers, workspace):
    workspace.allow_fallback = False
    workspace.save()
    ask("status:503")
    outcome = attempt()
    assert outcome is not None
    assert (outcome.state, outcome.error_code, outcome.provider) == (RunState.FAILED, "provider_unavailable", "one")
    assert servers[1].chats == []


def test_the_chain_ends_where_everybody_failed_and_the_rehearsal_stays_silent(ask, servers, workspace):
    servers[1].stop()
    ask("status:503")
    outcome = attempt()
    assert outcome is not None
    assert (outcome.state, outcome.error_code) == (RunState.FAILED, "provider_unavailable")
    assert outcome.text == ""


def test_a_provider_that_was_taken_away_meanwhile_is_replaced_too(ask, workspace):
    ask("t3-i0")
    Provider.objects.filter(name="one").delete()
    brain.forget()
    outcome = attempt()
    assert outcome is not None
    assert (outcome.state, outcome.provider) == (RunState.COMPLETED, "two")


def test_one_that_is_left_alone_is_not_asked_at_all(ask, servers, settings):
    settings.PROVIDER_BREAKER_FAILURES = 3
    ask("status:503")
    attempt()
    asked = len(servers[0].chats)
    assert asked == 3
    ask("t9-i0")
    outcome = attempt()
    assert outcome is not None
    assert (outcome.provider, len(servers[0].chats)) == ("two", asked)


def test_a_run_that_waited_goes_on_with_the_one_that_took_over(servers, workspace, member):
    agent = Agent.objects.create(workspace=workspace, slug="devops", name="Argus", tools=["service_restart"])
    argus = Companion.objects.create(workspace=workspace, type="devops", name="Argus", agent=agent)
    workspace.fallback_models = ["rehearsal"]
    workspace.save()
    choice = brain.Choice(brain.spec(workspace.pk, "one"), "status:503")
    text = 'Do it [[rehearse: call=service_restart {"service": "web"}]]'
    run = runs.start(conversations.new(argus, by=member), text=text, by=member, choice=choice)
    assert attempt() is None
    run.refresh_from_db()
    assert (run.state, run.provider, run.model) == (RunState.WAITING_APPROVAL, "rehearsal", "rehearsal")
    waits = told(run.pk)[-1]
    assert (waits.provider, waits.model) == ("rehearsal", "rehearsal")


@pytest.fixture(scope="module")
def live():
    """The whole of it, with two real providers of which the second lists what the first does not have."""
    with openai_server.running(["t9-i0"]) as first, openai_server.running([FALLBACK]) as second:
        env = {"OPENAI_BASE_URL": first.base_url, "VLLM_BASE_URL": second.base_url, "PROVIDER_BREAKER_FAILURES": "6"}
        with running(env=env) as stack:
            stack.sql("UPDATE accounts_workspace SET allow_fallback = true, fallback_models = %s", f'["{FALLBACK}"]')
            yield stack


def body(**more) -> dict:
    return {"message": "Hello", "companion": "smart-home", **more}


def told_end(stack: Stack, model: str) -> tuple[dict, list]:
    reader = Reader()
    with (
        httpx.Client(base_url=stack.base_url, timeout=60, trust_env=False, headers=stack.headers) as http,
        http.stream("POST", "/v1/ai/chat", json=body(model=model, stream=True)) as response,
    ):
        reader.read(response)
    return reader.end.data, reader.events


@pytest.mark.timeout(240)
def test_the_answer_as_json_and_as_a_stream_names_who_gave_it(live):
    headers = {"timeout": 60, "trust_env": False, "headers": live.headers}
    answer = httpx.post(f"{live.base_url}/v1/ai/chat", json=body(model="status:503"), **headers).json()
    assert (answer["provider"], answer["model"], answer["response"]) == ("vllm", FALLBACK, "tok 0 tok 1 ")
    run = httpx.get(f"{live.base_url}/v1/ai/runs/{answer['run_id']}", **headers).json()
    assert (run["provider"], run["model"]) == ("vllm", FALLBACK)

    done, events = told_end(live, "status:503")
    assert (done["provider"], done["model"], done["status"]) == ("vllm", FALLBACK, "completed")
    begun = next(event.data for event in events if event.name == "session")
    assert begun["provider"] == "openai"
    assert [e.data["provider"] for e in events if e.name == "status" and "provider" in e.data] == ["vllm"]

    # Six failures in a row: the web process hears of it, chooses another at once, and lists it.
    eventually(lambda: told_end(live, "t9-i0")[1][0].data["provider"] == "vllm", "the provider is passed over")
    info = httpx.get(f"{live.base_url}/v1/ai/info", **headers).json()
    assert [one["provider"] for one in info["unavailable"]] == ["openai"]
