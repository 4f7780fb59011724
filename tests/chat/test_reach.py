"""Approvals of built-in tools are bound to what the workspace is connected to, and as whom."""

import asyncio

import pytest
from django.db import transaction

from agents.models import Agent, Connection, ConnectionKind, Tool, ToolSetting
from agents.services import connections, tools
from agents.tools import described, registry
from approvals.models import Approval, AuditEvent, Decision
from approvals.services import approvals
from approvals.services.admission import Outdated
from chat import executor
from chat.services import execution
from core import bridge
from tests.chat.acting import RESTART, approve, of, take
from tests.servers import inventory
from tests.servers.inventory import TOKEN
from tests.servers.threads import bridged

OTHER = "another-token-0123456789"


@pytest.fixture
def server(tmp_path):
    with inventory.running(tmp_path / "effects.jsonl") as server:
        yield server


@pytest.fixture
def connection(transactional_db, server, workspace, owner) -> Connection:
    """The workspace's connection to an inventory."""
    row = Connection(workspace=workspace, kind=ConnectionKind.INVENTORY, base_url=server.base_url, token=TOKEN)
    connections.save(row, by=owner)
    return row


def unsettled(connection: Connection, what: str, owner) -> None:
    """Change the connection and tell nobody who waits, as another process would in this very moment."""
    match what:
        case "address":
            Connection.objects.update(base_url=connection.base_url.replace("127.0.0.1", "localhost"))
        case "token":
            Connection.objects.update(token=OTHER)
        case "gone":
            Connection.objects.all().delete()


CHANGES = pytest.mark.parametrize("what", ["address", "token", "gone"])


@CHANGES
def test_what_was_approved_for_one_connection_does_not_run_on_another(connection, server, step, manager, owner, what):
    [action] = of(step(RESTART))
    approve(action, manager)
    unsettled(connection, what, owner)
    assert take() == []
    action.refresh_from_db()
    assert (action.state, action.code) == ("refused", "tool_changed")
    assert not server.done()


@CHANGES
@pytest.mark.parametrize("when", ["before the tool is looked up", "after it"])
def test_nor_where_it_was_changed_after_the_last_gate(
    connection, server, step, manager, owner, monkeypatch, what, when
):
    [action] = of(step(RESTART))
    approve(action, manager)
    [taken] = take()
    if when == "after it":
        execute = registry.execute

        async def later(*given):
            await bridge.in_thread(unsettled, connection, what, owner)
            return await execute(*given)

        monkeypatch.setattr(registry, "execute", later)
    else:
        unsettled(connection, what, owner)
    with bridged():
        outcome = asyncio.run(executor.call(taken, float("inf")))
    assert not outcome.ok
    assert "changed since the call was judged" in outcome.result
    assert not server.done()


def test_what_was_approved_runs_where_the_connection_is_the_same_still(connection, server, step, manager, owner):
    [action] = of(step(RESTART))
    connection.enabled = False
    connections.save(connection, by=owner)
    connection.enabled = True
    connections.save(connection, by=owner)
    approve(action, manager)
    [taken] = take()
    with bridged():
        outcome = asyncio.run(executor.call(taken, float("inf")))
    assert outcome.ok, outcome
    assert [one["key"] for one in server.done()] == [str(action.pk)]
    assert execution.settle(taken, outcome)


def test_what_was_asked_for_the_sandbox_does_not_run_for_real(transactional_db, server, step, manager, owner):
    [action] = of(step(RESTART))
    approve(action, manager)
    row = Connection(workspace=owner.workspace, kind=ConnectionKind.INVENTORY, base_url=server.base_url, token=TOKEN)
    connections.save(row, by=owner)
    assert take() == []
    assert not server.done()


def test_a_request_whose_connection_was_changed_ends_at_once_and_says_why(connection, step, manager, owner):
    run = step(RESTART)
    [action] = of(run)
    connection.token = OTHER
    connections.save(connection, by=owner)
    asked = Approval.objects.get(pk=action.approval_id)
    action.refresh_from_db()
    run.refresh_from_db()
    assert (asked.status, action.state, action.code, run.state) == ("superseded", "refused", "tool_changed", "queued")
    assert "have it propose the call again" in asked.reason
    assert OTHER not in str(list(AuditEvent.objects.values("payload__data"))) + asked.reason


def connected_elsewhere(owner) -> None:
    Connection.objects.update(token=OTHER)


def of_another_secret(owner) -> None:
    with transaction.atomic():
        row = described.ToolSecret.objects.get()
        row.value = "another-0123456789"
        row.save()


def defined_anew(owner) -> None:
    row = Tool.objects.get()
    row.url = row.url.replace("/orders/", "/accounts/")
    row.save()


def gone(owner) -> None:
    Tool.objects.get().delete()


ORDER = ("order_cancel", {"id": "7"})


@pytest.mark.parametrize("decision", [Decision.APPROVE, Decision.REJECT])
@pytest.mark.parametrize(
    ("call", "change"),
    [(RESTART, connected_elsewhere), (ORDER, of_another_secret), (ORDER, defined_anew), (ORDER, gone)],
)
def test_nobody_decides_on_what_would_not_run_as_it_was_shown(
    connection, devops, step, manager, owner, call, change, decision
):
    Agent.objects.filter(pk=devops.agent_id).update(tools=["order_cancel", "service_restart"])
    tools.keep_secret(by=owner, name="SHOP", value="first-0123456789", hosts=["shop.example"])
    schema = {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]}
    tools.create(
        by=owner, name="order_cancel", description="Cancel an order.", method="DELETE",
        url="https://shop.example/orders/{id}", parameters=schema, headers={"X-Key": "{secret:SHOP}"},
    )  # fmt: skip
    [action] = of(step(call))
    change(owner)
    with pytest.raises(Outdated) as refused:
        approvals.decide(action.approval_id, by=manager, decision=decision, reason="Well.")
    assert (refused.value.status, refused.value.code) == (409, "superseded")
    assert "have it propose the call again" in refused.value.detail
    assert refused.value.extra["approval"]["status"] == "superseded"
    action.refresh_from_db()
    assert (action.state, action.code) == ("refused", "tool_changed")
    assert not take()


def test_a_secret_that_is_kept_anew_ends_the_requests_that_would_use_it(connection, devops, step, owner):
    Agent.objects.filter(pk=devops.agent_id).update(tools=["order_cancel"])
    tools.keep_secret(by=owner, name="SHOP", value="first-0123456789", hosts=["shop.example"])
    tools.create(
        by=owner, name="order_cancel", description="Cancel orders.", method="DELETE",
        url="https://shop.example/orders", headers={"X-Key": "{secret:SHOP}"},
    )  # fmt: skip
    [action] = of(step(("order_cancel", {})))
    tools.keep_secret(by=owner, name="SHOP", value="other-0123456789", hosts=["shop.example"])
    assert Approval.objects.get(pk=action.approval_id).status == "superseded"


def test_another_workspaces_connection_and_another_kind_change_nothing(connection, other_workspace, workspace, step):
    before = registry.get("service_restart", workspace.pk)
    Connection.objects.create(
        workspace=other_workspace, kind=ConnectionKind.INVENTORY, base_url="http://x", token=OTHER
    )
    Connection.objects.create(workspace=workspace, kind=ConnectionKind.HOME_ASSISTANT, base_url="http://x", token=OTHER)
    ToolSetting.objects.create(workspace=workspace, tool="service_restart")
    assert registry.get("service_restart", workspace.pk).version == before.version
    assert TOKEN not in repr(before)


@pytest.mark.parametrize(
    ("tool", "kind"),
    [
        *((name, ConnectionKind.HOME_ASSISTANT) for name in ("device_list", "device_control", "door_unlock")),
        *((name, ConnectionKind.INVENTORY) for name in ("service_status", "service_logs")),
        *((f"service_{verb}", ConnectionKind.INVENTORY) for verb in ("restart", "stop", "start")),
        ("web_search", ConnectionKind.SEARXNG),
        ("web_search", ConnectionKind.TAVILY),
    ],
)
def test_every_tool_that_works_by_a_connection_is_bound_to_it(db, workspace, tool, kind):
    versions = [registry.get(tool, workspace.pk).version]
    row = Connection.objects.create(workspace=workspace, kind=kind, base_url="http://one.example", token=TOKEN)
    versions.append(registry.get(tool, workspace.pk).version)
    for name, value in (("base_url", "http://two.example"), ("token", OTHER)):
        setattr(row, name, value)
        row.save()
        versions.append(registry.get(tool, workspace.pk).version)
    assert len(set(versions)) == 4
    assert registry.get(tool, workspace.pk).version == versions[-1]
