"""What a workspace settles about its tools, and the sandbox, in the admin."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from accounts.models import Role, Workspace
from agents.models import Connection, SandboxEffect, SandboxItem, ToolSetting
from agents.tools import registry, sandbox
from approvals.models import AuditEvent
from tests.admin.conftest import PROVIDER_KEY, Home, url

Staff = Callable[[Role], Client]


def told(workspace: Workspace) -> list[str]:
    """What the audit log says happened in the workspace."""
    return list(AuditEvent.objects.filter(workspace_id=workspace.pk).order_by("id").values_list("type", flat=True))


def form_of(**changed: Any) -> dict[str, Any]:
    """The form of a connection."""
    return {"kind": "inventory", "base_url": "http://inventory:9000/v1", "token": "", "enabled": "on", **changed}


def test_a_tool_is_switched_off_and_on(here: Home, staff: Staff) -> None:
    client, home = staff(Role.ADMIN), here[Workspace]
    form = {"workspace": str(home.pk), "tool": "service_restart"}
    assert client.post(url(ToolSetting, "add"), form).status_code == 302
    made = ToolSetting.objects.get(tool="service_restart")
    assert not made.enabled
    assert registry.offered(home.pk, ["service_restart"]) == ()
    assert client.post(url(ToolSetting, "change", made.pk), {"enabled": "on"}).status_code == 302
    assert len(registry.offered(home.pk, ["service_restart"])) == 1
    assert [one for one in told(home) if one.startswith("tool.")] == ["tool.disabled", "tool.enabled"]


def test_a_tool_that_is_none_or_that_has_its_row_is_refused(here: Home, staff: Staff) -> None:
    client = staff(Role.ADMIN)
    for tool in ("nothing", "service_stop"):
        form = {"workspace": str(here[Workspace].pk), "tool": tool, "enabled": "on"}
        assert client.post(url(ToolSetting, "add"), form).status_code == 200
    assert ToolSetting.objects.filter(workspace=here[Workspace]).count() == 1


def test_a_connection_is_made_changed_and_taken_away(here: Home, staff: Staff) -> None:
    client, home = staff(Role.ADMIN), here[Workspace]
    here[Connection].delete()
    form = form_of(workspace=str(home.pk), token="a-token")
    assert client.post(url(Connection, "add"), form).status_code == 302
    made = Connection.objects.get(workspace=home)
    assert (made.base_url, made.token, made.enabled) == ("http://inventory:9000/v1", "a-token", True)
    changed = form_of(enabled="")
    assert client.post(url(Connection, "change", made.pk), changed).status_code == 302
    made = Connection.objects.get(workspace=home)
    assert (made.token, made.enabled) == ("a-token", False)
    assert client.post(url(Connection, "delete", made.pk), {"post": "yes"}).status_code == 302
    assert not Connection.objects.filter(workspace=home).exists()
    assert told(home).count("connection.changed") == 3


def test_a_token_is_taken_and_never_given_back(here: Home, staff: Staff) -> None:
    page = staff(Role.ADMIN).get(url(Connection, "change", here[Connection].pk)).text
    assert 'type="password"' in page
    assert PROVIDER_KEY not in page


def test_a_token_does_not_follow_to_another_address(here: Home, staff: Staff) -> None:
    client, row = staff(Role.ADMIN), here[Connection]
    page = client.post(url(Connection, "change", row.pk), form_of(base_url="http://elsewhere.example"))
    assert "Give the token again" in page.text
    assert Connection.objects.get(pk=row.pk).base_url == row.base_url
    moved = form_of(base_url="http://elsewhere.example", token="another")
    assert client.post(url(Connection, "change", row.pk), moved).status_code == 302
    assert Connection.objects.get(pk=row.pk).token == "another"


@pytest.mark.parametrize("address", ["", "nowhere", "ftp://x", "javascript:alert(1)", "http://user:pw@x", "http://"])
def test_an_address_that_is_none_is_refused(here: Home, staff: Staff, address: str) -> None:
    form = form_of(workspace=str(here[Workspace].pk), kind="home_assistant", base_url=address)
    assert staff(Role.ADMIN).post(url(Connection, "add"), form).status_code == 200
    assert Connection.objects.filter(workspace=here[Workspace]).count() == 1


def test_an_engine_that_is_at_one_place_for_all_needs_a_key_and_no_address(here: Home, staff: Staff) -> None:
    client, home = staff(Role.ADMIN), here[Workspace]
    form = form_of(workspace=str(home.pk), kind="brave", base_url="")
    assert "answers nobody without a key" in client.post(url(Connection, "add"), form).text
    assert client.post(url(Connection, "add"), {**form, "token": "BSA-key"}).status_code == 302
    made = Connection.objects.get(workspace=home, kind="brave")
    assert (made.base_url, made.token) == ("", "BSA-key")
    moved = client.post(url(Connection, "change", made.pk), {**form, "kind": "tavily"})
    assert "Give the token again" in moved.text
    assert Connection.objects.get(pk=made.pk).kind == "brave"


def test_an_engine_of_ones_own_needs_an_address_and_no_key(here: Home, staff: Staff) -> None:
    client, home = staff(Role.ADMIN), here[Workspace]
    form = form_of(workspace=str(home.pk), kind="searxng", base_url="")
    assert client.post(url(Connection, "add"), form).status_code == 200
    assert client.post(url(Connection, "add"), {**form, "base_url": "http://search.lan:8080"}).status_code == 302
    assert Connection.objects.get(workspace=home, kind="searxng").token == ""


def test_a_manager_looks_and_changes_nothing(here: Home, staff: Staff) -> None:
    client = staff(Role.MANAGER)
    for model in (ToolSetting, Connection, SandboxItem, SandboxEffect):
        assert client.get(url(model, "change", here[model].pk)).status_code == 200
        assert client.post(url(model, "change", here[model].pk), form_of(base_url="http://x")).status_code == 403
    assert client.post(url(SandboxItem, "break_down", here[SandboxItem].pk)).status_code == 403


def test_a_service_of_the_sandbox_breaks_when_asked_to(here: Home, staff: Staff) -> None:
    client, home = staff(Role.ADMIN), here[Workspace]
    here[SandboxItem].delete()
    sandbox.items(home.pk, sandbox.INVENTORY)
    web = SandboxItem.objects.get(workspace=home, name="web")
    address = url(SandboxItem, "break_down", web.pk)
    assert client.get(address).status_code == 200
    assert SandboxItem.objects.get(pk=web.pk).state["state"] == "running"
    assert client.post(address, follow=True).status_code == 200
    assert SandboxItem.objects.get(pk=web.pk).state["state"] == "stopped"
    assert "is no service that runs" in client.post(address, follow=True).text
