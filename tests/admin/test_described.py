"""Described tools in the admin: their forms, their secrets, their switches and the import."""

import json
from collections.abc import Callable
from typing import Any

from django.test import Client
from django.urls import reverse

from accounts.models import Role, Workspace
from agents.models import Tool, ToolSecret, ToolSetting
from tests.admin.conftest import Home, url

Staff = Callable[[Role], Client]
IMPORT = "admin:agents_tool_import_document"
DOCUMENT = json.dumps(
    {
        "openapi": "3.1.0",
        "servers": [{"url": "https://weather.example"}],
        "paths": {"/now": {"get": {"operationId": "now"}}, "/set": {"put": {"operationId": "set"}}},
    }
)


def form_of(home: Workspace, **changed: Any) -> dict[str, Any]:
    """The form of a tool."""
    said = {
        "workspace": str(home.pk), "name": "weather", "title": "Weather", "description": "The weather.",
        "method": "GET",
        "url": "https://weather.example/now", "parameters": '{"type": "object", "properties": {}}', "places": "",
        "headers": '{"X-Key": "{secret:WEATHER}"}', "body": "json", "risk": "read", "retry": "idempotent",
        "timeout": "30", "enabled": "on",
    }  # fmt: skip
    return {**said, **changed}


def test_an_admin_describes_a_tool_and_switches_it_off(here: Home, staff: Staff) -> None:
    client, home = staff(Role.ADMIN), here[Workspace]
    assert client.get(url(Tool, "add")).status_code == 200
    refused = client.post(url(Tool, "add"), form_of(home, url="https://{x}.example/"))
    assert refused.status_code == 200
    assert not Tool.objects.filter(name="weather").exists()
    assert client.post(url(Tool, "add"), form_of(home)).status_code == 302
    made = Tool.objects.get(name="weather")
    changed = client.post(url(Tool, "change", made.pk), form_of(home, title="Other"))
    assert changed.status_code == 302, changed.content
    made.refresh_from_db()
    assert (made.title, made.headers) == ("Other", {"X-Key": "{secret:WEATHER}"})
    switch = client.post(url(ToolSetting, "add"), {"workspace": str(home.pk), "tool": "weather"})
    assert switch.status_code == 302, switch.content
    assert client.post(url(Tool, "delete", made.pk), {"post": "yes"}).status_code == 302


def test_a_secret_is_kept_and_never_shown(here: Home, staff: Staff) -> None:
    client, home = staff(Role.ADMIN), here[Workspace]
    form = {"workspace": str(home.pk), "name": "WEATHER", "value": "canary-0123456789", "hosts": "weather.example"}
    assert client.post(url(ToolSecret, "add"), form).status_code == 302
    row = ToolSecret.objects.get(name="WEATHER")
    assert "canary" not in client.get(url(ToolSecret, "change", row.pk)).content.decode()
    moved = client.post(url(ToolSecret, "change", row.pk), {"value": "", "hosts": "evil.example"})
    assert moved.status_code == 200
    row.refresh_from_db()
    assert (row.hosts, str(row.value)) == (["weather.example"], "canary-0123456789")


def test_a_document_is_looked_at_and_what_is_chosen_kept(here: Home, staff: Staff) -> None:
    client, home = staff(Role.ADMIN), here[Workspace]
    page = reverse(IMPORT)
    assert client.get(page).status_code == 200
    looked = client.post(page, {"workspace": str(home.pk), "document": DOCUMENT})
    assert "2 of 2 operations" in looked.content.decode()
    kept = client.post(page, {"workspace": str(home.pk), "document": DOCUMENT, "keep": ["now"]})
    assert kept.status_code == 302
    assert Tool.objects.filter(source="openapi").values_list("name", flat=True).get() == "now"
    wrong = client.post(page, {"workspace": str(home.pk), "document": "{"})
    assert wrong.status_code == 200
    assert staff(Role.MANAGER).post(page, {"workspace": str(home.pk), "document": DOCUMENT}).status_code == 403
