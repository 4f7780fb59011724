"""A tool of a public MCP server from call to effect: asked for, approved, run once, or refused."""

import asyncio

import pytest

from agents.models import Agent, McpServer, McpTool
from agents.services import mcp
from agents.tools import mcp as source
from agents.tools import registry
from approvals.services.endings import AlreadyDecided
from chat import executor
from chat.services import execution
from core.errors import Forbidden
from tests.agents.test_mcp import filesystem  # noqa: F401  a fixture
from tests.chat.acting import approve, of, states, take
from tests.servers.threads import bridged


@pytest.fixture
def server(transactional_db, filesystem, settings, owner, devops, tmp_path):  # noqa: F811
    """The agent may read and write files by the reference server of the npm registry."""
    settings.MCP_STDIO_SERVERS = {"files": {"command": [*filesystem, str(tmp_path)], "env": []}}
    server = McpServer(workspace=owner.workspace, name="files", transport="stdio", program="files")
    server = mcp.refresh(mcp.save(server, by=owner), by=owner)
    assert not server.problem
    for name in ("files__read_text_file", "files__write_file"):
        tool = server.tools.get(name=name)
        risk, retry = mcp.proposed(tool)
        mcp.accept(tool, by=owner, definition=tool.offered_hash, risk=risk, retry=retry)
    Agent.objects.filter(pk=devops.agent_id).update(tools=["files__read_text_file", "files__write_file"])
    source._rows.clear()
    yield server
    source._rows.clear()


def write(folder):
    return "files__write_file", {"path": str(folder / "b.txt"), "content": "written"}


def carried_out(action):
    with bridged():
        outcome = asyncio.run(executor.call(action, float("inf")))
    assert execution.settle(action, outcome)
    return outcome


def test_what_destroys_asks_and_runs_once_after_its_approval(server, step, manager, tmp_path):
    run = step(write(tmp_path))
    assert states(run) == ["waiting"]
    assert not take()
    assert not (tmp_path / "b.txt").exists()
    [action] = of(run)
    approve(action, manager)
    [taken] = take()
    outcome = carried_out(taken)
    assert outcome.ok, outcome
    assert (tmp_path / "b.txt").read_text() == "written"
    assert not take()
    assert states(run) == ["succeeded"]


def test_what_reads_does_not_ask(server, step, tmp_path):
    (tmp_path / "a.txt").write_text("hello from a file")
    run = step(("files__read_text_file", {"path": str(tmp_path / "a.txt")}))
    [action] = of(run)
    assert action.approval_id is None
    [taken] = take()
    outcome = carried_out(taken)
    assert outcome.ok, outcome
    assert "hello from a file" in outcome.result


def test_a_definition_that_changed_after_the_approval_is_not_called(server, step, manager, tmp_path):
    [action] = of(step(write(tmp_path)))
    approve(action, manager)
    tool = server.tools.get(name="files__write_file")
    tool.offered_hash = "0" * 64  # as the server has it by now
    tool.save()
    assert not take()
    action.refresh_from_db()
    assert action.state == "refused"
    assert not (tmp_path / "b.txt").exists()


def test_who_waits_for_an_approval_does_not_release_the_call_by_its_tool(server, step, owner, manager, tmp_path):
    [action] = of(step(write(tmp_path)))
    tool = server.tools.get(name="files__write_file")
    said = {"definition": tool.offered_hash, "retry": tool.retry}
    with pytest.raises(Forbidden, match="lower risk"):
        mcp.accept(tool, by=manager, risk="read", **said)
    mcp.accept(tool, by=owner, risk="read", **said)
    action.refresh_from_db()
    assert (action.state, action.code) == ("refused", "tool_changed")
    assert not take()


@pytest.mark.parametrize("approved", [True, False])
def test_an_approval_does_not_hold_for_other_secrets(server, step, owner, manager, settings, approved):
    settings.MCP_STDIO_SERVERS["files"]["env"] = ["TOKEN"]
    [action] = of(step(("files__write_file", {"path": "/nowhere/b.txt", "content": "x"})))
    if approved:
        approve(action, manager)
    mcp.save(server, by=owner, secrets={"TOKEN": "another-0123456789"})
    if not approved:
        with pytest.raises(AlreadyDecided, match="superseded"):
            approve(action, manager)
    assert not take()
    action.refresh_from_db()
    assert (action.state, action.code) == ("refused", "tool_changed")


def test_a_definition_that_changed_unseen_after_the_approval_is_found_by_the_call(server, step, manager, tmp_path):
    tool = server.tools.get(name="files__write_file")
    McpTool.objects.filter(pk=tool.pk).update(offered_hash="0" * 64, accepted_hash="0" * 64)  # as it was accepted once
    source._rows.clear()
    [action] = of(step(write(tmp_path)))
    approve(action, manager)
    [taken] = take()
    outcome = carried_out(taken)
    assert not outcome.ok
    assert not (tmp_path / "b.txt").exists()
    tool.refresh_from_db()
    assert tool.state == "changed"
    assert registry.get("files__write_file", server.workspace_id) is None
