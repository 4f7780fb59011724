"""MCP servers in the admin: asking one for its tools, seeing what changed, and accepting it or not."""

import json
from collections.abc import Callable

import pytest
from django.test import Client

from accounts.models import Role
from agents.models import McpServer, McpTool
from agents.services import mcp
from tests.admin.conftest import HOSTILE, PROVIDER_KEY, Home, url

Staff = Callable[[Role], Client]


def test_a_definition_is_shown_line_by_line_and_escaped_before_it_is_accepted(here: Home, staff: Staff) -> None:
    tool = here[McpTool]
    tool.accepted, tool.accepted_hash = {**tool.offered, "description": "Harmless."}, "1" * 64
    tool.save()
    page = staff(Role.MANAGER).get(url(McpTool, "accept", tool.pk)).text
    shown = page.partition("<pre")[2].partition("</pre>")[0]
    assert "- &quot;description&quot;: &quot;Harmless.&quot;,\n+ &quot;description&quot;: " in shown
    assert "&quot;parameters&quot;" not in shown, "it did not change"
    assert HOSTILE not in page


@pytest.mark.parametrize("role", [Role.MANAGER, Role.ADMIN])
def test_a_tool_is_accepted_as_it_was_shown_and_withdrawn(role: Role, here: Home, staff: Staff) -> None:
    client, tool = staff(role), here[McpTool]
    form = {"definition": tool.offered_hash, "risk": "destructive", "retry": "unknown"}
    assert (
        client.post(url(McpTool, "accept", tool.pk), {**form, "definition": "1" * 64}, follow=True).status_code == 200
    )
    tool.refresh_from_db()
    assert tool.state == "new"
    assert client.post(url(McpTool, "accept", tool.pk), form).status_code == 302
    tool.refresh_from_db()
    assert (tool.state, tool.risk, tool.accepted) == ("accepted", "destructive", tool.offered)
    assert client.post(url(McpTool, "withdraw", tool.pk)).status_code == 302
    tool.refresh_from_db()
    assert tool.state == "new"


def test_an_auditor_accepts_nothing(here: Home, staff: Staff) -> None:
    client, tool = staff(Role.AUDITOR), here[McpTool]
    form = {"definition": tool.offered_hash, "risk": "read", "retry": "idempotent"}
    for page in ("accept", "withdraw"):
        assert client.post(url(McpTool, page, tool.pk), form).status_code == 403
    tool.refresh_from_db()
    assert tool.state == "new"


def test_a_server_is_connected_asked_and_disconnected(here: Home, staff: Staff, settings) -> None:
    client = staff(Role.ADMIN)
    settings.MCP_STDIO_SERVERS = {"none": {"command": ["/nowhere/none"], "env": ["TOKEN"]}}
    form = {
        "workspace": str(here[McpServer].workspace_id), "name": "made", "transport": "stdio", "url": "",
        "program": "none", "enabled": "on", "secrets": json.dumps({"TOKEN": PROVIDER_KEY}),
    }  # fmt: skip
    assert client.post(url(McpServer, "add"), form).status_code == 302
    made = McpServer.objects.get(name="made")
    assert PROVIDER_KEY in str(made.secrets)
    assert PROVIDER_KEY not in client.get(url(McpServer, "change", made.pk)).text
    page = client.post(url(McpServer, "ask_for_tools", made.pk), follow=True)
    assert "could not be started" in page.text
    McpServer.objects.filter(pk=made.pk).update(problem=mcp.ASKING)
    page = client.post(url(McpServer, "ask_for_tools", made.pk), follow=True)
    assert "is being asked" in page.text
    assert client.post(url(McpServer, "delete", made.pk), {"post": "yes"}).status_code == 302
    assert not McpServer.objects.filter(pk=made.pk).exists()
