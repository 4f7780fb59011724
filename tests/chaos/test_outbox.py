"""What goes into the outbox comes out of it, with workers that are killed and doorbells that nobody hears."""

import random
from collections.abc import Callable

import httpx
import pytest
from standardwebhooks import Webhook

from approvals import delivery
from core import ids
from tests.servers.receiver import Receiver, Reply, receiving
from tests.servers.stack import Stack, eventually

CONFIG = "/v1/ai/webhooks/config"
ROWS = 300


def configure(stack: Stack, receiver: Receiver) -> str:
    """Set the demo's webhook as its admin does; gives the secret."""
    admin = stack.demo["users"]["admin"]
    with httpx.Client(base_url=stack.base_url, trust_env=False) as http:
        login = {"email": admin["email"], "password": admin["password"]}
        token = http.post("/v1/auth/login", json=login).json()["access"]
        answer = http.put(CONFIG, json={"url": receiver.url()}, headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 200, answer.text
        return answer.json()["secret"]


def fill(stack: Stack, count: int) -> set[str]:
    """Rows as transactions leave them whose doorbells are lost."""
    made = {str(ids.new()) for _ in range(count)}
    for one in made:
        stack.sql(
            "INSERT INTO approvals_outboxitem (id, workspace_id, topic, type, target, payload, attempts, error) "
            "VALUES (%s, %s, 'webhook', 'action.finished', '', '{\"tool\": \"x\"}', 0, '')",
            one,
            stack.demo["workspace_id"],
        )
    return made


def lapse(stack: Stack) -> None:
    """Let the claims of dead workers lapse now."""
    stack.sql("UPDATE approvals_outboxitem SET claimed_until = NULL")


def hurry(stack: Stack) -> None:
    """Let what has failed be due now."""
    stack.sql("UPDATE approvals_outboxitem SET not_before = now() WHERE claimed_until IS NULL")
    stack.sql("UPDATE approvals_webhookendpoint SET paused_until = NULL")


def open_rows(stack: Stack) -> int:
    [(count,)] = stack.sql("SELECT count(*) FROM approvals_outboxitem WHERE done_at IS NULL")
    return count


@pytest.mark.long
def test_workers_that_are_killed_lose_no_delivery(stack: Callable[..., Stack]):
    with receiving() as receiver:
        one = stack(workers=2, env={"WEBHOOK_PRIVATE_ADDRESSES": "127.0.0.0/8"})
        secret = configure(one, receiver)
        made = fill(one, ROWS)
        for _ in range(2):
            enough = min(len(receiver.received) + random.randint(5, 60), ROWS)
            eventually(lambda: len(receiver.received) >= enough, "deliveries go out")  # noqa: B023  used at once
            one.kill("worker1")
            one.kill("worker2")
            lapse(one)
            one.start("worker1")
            one.start("worker2")
        eventually(lambda: open_rows(one) == 0, "all are delivered")
        arrived = [request.headers["webhook-id"] for request in receiver.received]
        assert set(arrived) == made
        assert len(arrived) - len(made) <= 2 * 2 * delivery.SLOTS, "twice at most what was under way at the kills"
        for request in receiver.received:
            Webhook(secret).verify(request.body, request.headers)


def test_a_receiver_that_comes_and_goes_gets_everything(stack: Callable[..., Stack]):
    with receiving(*[Reply(500), Reply(cut=True), Reply(429, {"Retry-After": "1"}), Reply(204)] * 20) as receiver:
        one = stack(env={"WEBHOOK_PRIVATE_ADDRESSES": "127.0.0.0/8"})
        configure(one, receiver)
        made = fill(one, 60)
        eventually(lambda: hurry(one) or open_rows(one) == 0, "all are delivered")
        assert {request.headers["webhook-id"] for request in receiver.received} == made
        done = one.sql("SELECT count(*) FROM approvals_outboxitem WHERE status_code = 204 AND error = ''")
        assert done == [(60,)]
