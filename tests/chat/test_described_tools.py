"""A described tool from the call to its effect: asked for, approved, sent once, or not at all once it was changed."""

import asyncio

import pytest
from django.db.models.functions import Now

from agents.models import Agent, Tool
from agents.services import tools
from approvals.models import Approval
from chat import executor
from chat.models import Action
from chat.services import execution
from core.publicnet import Endpoint
from tests.chat.acting import approve, of, states, take
from tests.servers.receiver import Receiver, Reply
from tests.servers.threads import bridged

CANCEL = ("order_cancel", {"id": "7/../8"})
CANARY = "canary-0123456789-secret"


@pytest.fixture
def server(settings):
    with Receiver(Reply(200, {"Content-Type": "application/json"}, b'{"cancelled": true}')) as server:
        settings.TOOL_PRIVATE_ADDRESSES = (Endpoint("127.0.0.1", server.port),)
        yield server


@pytest.fixture
def tool(transactional_db, server, owner, devops):
    """The agent may cancel orders, which is destructive."""
    Agent.objects.filter(pk=devops.agent_id).update(tools=["order_cancel"])
    tools.keep_secret(by=owner, name="SHOP", value=CANARY, hosts=[f"127.0.0.1:{server.port}"])
    schema = {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]}
    return tools.create(
        by=owner, name="order_cancel", description="Cancel an order.", method="DELETE",
        url=server.url(path="/orders/{id}"), parameters=schema, headers={"Authorization": "Bearer {secret:SHOP}"},
    )  # fmt: skip


def test_a_destructive_tool_asks_and_is_sent_once_with_its_key(tool, step, manager, server):
    devops_run = step(CANCEL)
    [action] = of(devops_run)
    assert states(devops_run) == ["waiting"]
    assert not take()
    shown = Approval.objects.get(pk=action.approval_id).preview
    assert shown["details"]["request"] == f"DELETE {server.url(path='/orders/7%2F..%2F8')}"
    assert "{secret:SHOP}" in str(shown)
    approve(action, manager)
    [taken] = take()
    with bridged():
        outcome = asyncio.run(executor.call(taken, float("inf")))
    assert outcome.ok, outcome
    assert execution.settle(taken, outcome)
    assert not take()
    [sent] = server.received
    assert (sent.method, sent.path) == ("DELETE", "/orders/7%2F..%2F8")
    assert sent.headers["idempotency-key"] == str(action.pk)
    assert sent.headers["authorization"] == f"Bearer {CANARY}"
    assert CANARY not in str(Action.objects.values().get()) + str(shown)


def test_a_tool_that_was_changed_after_the_approval_is_not_sent(tool, step, manager, owner, server):
    [action] = of(step(CANCEL))
    approve(action, manager)
    tools.change(tool, by=owner, url=server.url(path="/accounts/{id}"))
    assert not take()
    action.refresh_from_db()
    assert (action.state, action.code) == ("refused", "tool_changed")
    assert not server.received


def test_a_tool_that_was_changed_after_the_last_gate_is_not_sent(tool, step, manager, owner, server):
    [action] = of(step(CANCEL))
    approve(action, manager)
    [taken] = take()
    tools.change(tool, by=owner, url=server.url(path="/accounts/{id}"))
    with bridged():
        outcome = asyncio.run(executor.call(taken, float("inf")))
    assert (outcome.code, outcome.sent) == ("tool_changed", "no")
    assert not server.received
    assert execution.settle(taken, outcome)
    Action.objects.update(not_before=Now())
    assert not take()
    action.refresh_from_db()
    assert (action.state, action.code) == ("refused", "tool_changed")


def test_an_approval_does_not_hold_for_another_secret(tool, step, manager, owner, server):
    [action] = of(step(CANCEL))
    approve(action, manager)
    tools.keep_secret(by=owner, name="SHOP", value="another-0123456789", hosts=[f"127.0.0.1:{server.port}"])
    assert not take()
    action.refresh_from_db()
    assert (action.state, action.code) == ("refused", "tool_changed")
    assert not server.received


def test_a_tool_that_is_gone_or_of_another_workspace_is_none(tool, step, other_workspace):
    Tool.objects.filter(pk=tool.pk).update(workspace=other_workspace)
    tool.delete()
    [action] = of(step(CANCEL))
    assert action.code == "unknown_tool"
