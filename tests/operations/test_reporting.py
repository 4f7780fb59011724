"""Faults told to Sentry: what broke where, and nothing of what anybody said or brought."""

import httpx
import pytest

from config import reporting
from tests.operations.collecting import events
from tests.servers.receiver import Reply, receiving
from tests.servers.stack import eventually, running

CANARY = "canary-4711-hunter2"


@pytest.fixture(scope="module")
def told():
    """A web that tells its faults, with a page that breaks; and who is told."""
    with receiving(Reply(200, body=b"{}")) as sentry:
        dsn = f"http://public@127.0.0.1:{sentry.port}/1"
        env = {"SENTRY_DSN": dsn, "EXTRA_APPS": "tests.operations.breaking", "REHEARSAL": "1"}
        with running(workers=0, env=env) as stack:
            yield stack, sentry


def test_a_fault_is_told_by_its_type_and_place_and_by_nothing_that_was_sent(told):
    stack, sentry = told
    answer = httpx.post(
        f"{stack.base_url}/v1/ai/break?token={CANARY}",
        json={"message": CANARY, "password": CANARY},
        headers={**stack.headers, "Cookie": f"sessionid={CANARY}", "X-Api-Key": CANARY},
    )
    assert answer.status_code == 500
    assert CANARY not in answer.text
    [event] = eventually(lambda: events(sentry), "it is told")
    error = event["exception"]["values"][-1]
    assert error["type"] == "ValueError"
    places = [(frame["module"], frame["function"]) for frame in error["stacktrace"]["frames"]]
    assert places[-1] == ("tests.operations.breaking.views", "breaks")
    assert event["tags"]["process"] == "web"
    assert event["tags"]["request_id"] == answer.json()["request_id"]
    everything = b"".join(request.body for request in sentry.received) + str(event).encode()
    for secret in (CANARY, stack.demo["keys"]["secret"]):
        assert secret.encode() not in everything
    assert not {"request", "user", "breadcrumbs", "extra", "modules", "contexts"} & set(event)
    assert not [frame for frame in error["stacktrace"]["frames"] if "vars" in frame or "context_line" in frame]
    assert "value" not in error


def test_a_refusal_is_nobodys_fault(told):
    stack, sentry = told
    before = len(sentry.received)
    assert httpx.get(f"{stack.base_url}/v1/ai/sessions").status_code == 401
    assert httpx.post(f"{stack.base_url}/v1/ai/break", headers=stack.headers).status_code == 500
    eventually(lambda: len(sentry.received) > before, "the fault after it is told")
    assert len(sentry.received) == before + 1, "once, though more than one line of the log speaks of it"


def test_words_of_other_libraries_lines_are_not_told_and_ours_are():
    line = {"logger": "chat.engine", "logentry": {"message": "a run broke", "params": [CANARY], "formatted": CANARY}}
    assert reporting.told(line, "worker")["logentry"] == {"message": "a run broke"}
    foreign = line | {"logger": "celery.app.trace", "logentry": {"message": f"Task got {CANARY}"}}
    assert reporting.told(foreign, "worker")["logentry"] == {"message": "a line of celery.app.trace"}
    extra = {"run_id": "01998f7e-0000-7000-8000-000000000000", "error": CANARY, "code": CANARY, "tool": "web_fetch"}
    tags = {"process": "worker", "run_id": extra["run_id"], "tool": "web_fetch"}
    assert reporting.told(line | {"extra": extra}, "worker")["tags"] == tags
