"""Described tools through the API: listed for members, described, changed and imported by admins."""

import json

import pytest

from agents.models import Tool
from approvals.models import AuditEvent

URL = "/v1/ai/tools"
NEW = {"name": "weather", "description": "The weather.", "url": "https://weather.example/{place}"}
SCHEMA = {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]}
DOCUMENT = json.dumps(
    {
        "openapi": "3.1.0",
        "servers": [{"url": "https://weather.example"}],
        "paths": {"/now": {"get": {"operationId": "now"}}, "/set": {"put": {"operationId": "set"}}},
    }
)


@pytest.fixture
def admin(owner, client_of):
    return client_of(owner)


def test_a_tool_is_described_read_changed_and_deleted(admin, api):
    made = admin.post(URL, {**NEW, "parameters": SCHEMA})
    assert made.status_code == 201, made.content
    told = made.json()
    assert (told["risk"], told["retry"], told["source"], told["title"]) == ("read", "idempotent", "admin", "Weather")
    [listed] = api.get(URL).json()["tools"]
    assert set(listed) == {"id", "name", "title", "description", "risk", "source", "enabled"}
    assert api.get(f"{URL}/{told['id']}").json() == told
    changed = admin.patch(f"{URL}/{told['id']}", {"risk": "external"}).json()
    assert changed["version"] != told["version"]
    assert admin.delete(f"{URL}/{told['id']}").status_code == 204
    assert api.get(f"{URL}/{told['id']}").status_code == 404
    types = AuditEvent.objects.filter(type="tool.changed")
    assert types.count() == 3


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({**NEW}, 400), ({**NEW, "parameters": []}, 400),
        ({**NEW, "name": "service_restart", "parameters": SCHEMA}, 409),
        ({**NEW, "parameters": SCHEMA, "version": "x"}, 400), ({"name": "x"}, 400),
        ({**NEW, "url": "file:///etc"}, 400),
        ({**NEW, "parameters": SCHEMA, "headers": {"Host": "x"}}, 400),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_what_to_do(admin, said, status):
    answer = admin.post(URL, said)
    assert answer.status_code == status, answer.content
    assert not Tool.objects.exists()


def test_members_and_managers_describe_nothing(api, manager, client_of, admin):
    made = admin.post(URL, {**NEW, "parameters": SCHEMA}).json()
    for client in (api, client_of(manager)):
        assert client.post(URL, {**NEW, "name": "other", "parameters": SCHEMA}).status_code == 403
        assert client.patch(f"{URL}/{made['id']}", {"enabled": False}).status_code == 403
        assert client.delete(f"{URL}/{made['id']}").status_code == 403
        assert client.post(f"{URL}/import", {"document": DOCUMENT}).status_code == 403
    assert Tool.objects.get().enabled


def test_a_document_is_looked_at_before_it_is_imported(admin):
    looked = admin.post(f"{URL}/import", {"document": DOCUMENT}).json()
    assert [(one["name"], one["state"]) for one in looked["tools"]] == [("now", "new"), ("set", "new")]
    assert not Tool.objects.exists()
    kept = admin.post(f"{URL}/import", {"document": DOCUMENT, "dry_run": False, "keep": ["now"]})
    assert kept.status_code == 200
    assert Tool.objects.get().source == "openapi"
    both = {"document": DOCUMENT, "url": "https://x.example/"}
    unknown = {"document": DOCUMENT, "dry_run": False, "keep": ["other"]}
    for wrong in ({}, both, {"document": "{"}, {"url": "http://127.0.0.1/"}, unknown):
        assert admin.post(f"{URL}/import", wrong).status_code == 400, wrong


def test_another_workspace_sees_none_of_it(admin, stranger, client_of):
    made = admin.post(URL, {**NEW, "parameters": SCHEMA}).json()
    theirs = client_of(stranger)
    assert theirs.get(URL).json() == {"tools": []}
    assert theirs.get(f"{URL}/{made['id']}").status_code == 404
