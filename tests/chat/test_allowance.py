"""An allowance against a crowd, over real HTTP: a stack of its own, with two workers."""

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.servers import openai_scripts, openai_server
from tests.servers.openai_server import OpenAIServer
from tests.servers.openai_wire import Wire
from tests.servers.stack import Stack, eventually, running

ANSWER = (
    100_000  # tokens that are held back for an answer: so many more than a question has that ten fit, and no eleven
)


@pytest.fixture(scope="module")
def gate() -> Iterator[threading.Event]:
    """Shut, until a test opens it: no model answers before."""
    opened = threading.Event()

    async def wait(wire: Wire) -> None:
        await asyncio.to_thread(opened.wait, 60)
        await openai_scripts.tokens(wire, 3, 0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(openai_scripts.SCRIPTS, "gated", wait)
        yield opened


@pytest.fixture(scope="module")
def upstream() -> Iterator[OpenAIServer]:
    with openai_server.running(["gated"]) as server:
        yield server


@pytest.fixture(scope="module")
def stack(upstream: OpenAIServer) -> Iterator[Stack]:
    env = {
        "OPENAI_BASE_URL": upstream.base_url,
        "TIER_TOKENS_SELF_HOSTED": str(10 * ANSWER + ANSWER // 2),
        "BUDGET_ANSWER_TOKENS": str(ANSWER),
    }
    with running(env=env, workers=2) as stack:
        yield stack


def test_fifty_at_once_against_an_allowance_for_ten_let_exactly_ten_through(stack, upstream, gate):
    def ask(_: int) -> tuple[int, str, bool]:
        body = {"message": "Hello", "model": "gated"}
        answer = httpx.post(
            f"{stack.base_url}/v1/ai/chat", json=body, headers=stack.headers, timeout=90, trust_env=False
        )
        told = answer.json()
        return answer.status_code, told.get("code", ""), told.get("budget", {"needed": None})["needed"] is not None

    answers: list[tuple[int, str, bool]] = []
    with ThreadPoolExecutor(50) as pool:
        asked = [pool.submit(ask, number) for number in range(50)]
        for one in asked:
            one.add_done_callback(lambda done: answers.append(done.result()))
        try:
            eventually(lambda: len(answers) >= 40, "all but those within the allowance are refused", 80)
            assert len(upstream.chats) == 10
        finally:
            gate.set()
    assert Counter(answers) == {(200, "", False): 10, (402, "budget_exceeded", True): 40}, "all are told what is needed"
    assert len(upstream.chats) == 10
    assert stack.sql("SELECT count(*), sum(input_tokens + output_tokens) FROM accounts_usageentry") == [(10, 130)]
    assert stack.sql("SELECT tokens FROM accounts_budgetuse") == [(130,)]
    assert stack.sql("SELECT count(*) FROM accounts_budgethold") == [(0,)]
    assert stack.sql("SELECT count(*) FROM chat_run WHERE state NOT IN ('completed', 'failed')") == [(0,)]
