"""Secrets of described tools through the API: kept, listed by name and deleted by admins, and given back to nobody."""

import json

import pytest

from agents.models import ToolSecret
from agents.services import tools
from approvals.models import AuditEvent, AuditPayload

URL = "/v1/ai/tool-secrets"
VALUE = "key-of-the-shop"
NEW = {"name": "SHOP", "value": VALUE, "hosts": ["Shop.example", "shop.example", "localhost:8080"]}


@pytest.fixture
def admin(owner, client_of):
    return client_of(owner)


def test_a_secret_is_kept_listed_replaced_and_deleted_and_never_given_back(admin):
    made = admin.post(URL, NEW)
    assert made.status_code == 201, made.content
    told = made.json()
    assert told == {"name": "SHOP", "hosts": ["shop.example", "localhost:8080"], "updated_at": told["updated_at"]}
    assert ToolSecret.objects.get().value == VALUE
    listed = admin.get(URL)
    assert listed.json() == {"secrets": [told]}
    assert admin.post(URL, {**NEW, "value": "another-key"}).status_code == 201
    assert ToolSecret.objects.get().value == "another-key"
    assert VALUE not in made.content.decode() + listed.content.decode()
    assert admin.delete(f"{URL}/SHOP").status_code == 204
    assert admin.delete(f"{URL}/SHOP").json()["code"] == "unknown_secret"
    assert not ToolSecret.objects.exists()


def test_each_change_is_in_the_log_without_the_value(admin):
    admin.post(URL, NEW)
    admin.post(URL, {"name": "SHOP", "hosts": ["shop.example"]})
    admin.delete(f"{URL}/SHOP")
    assert AuditEvent.objects.filter(type="tool_secret.changed").count() == 3
    told = [json.loads(one) for one in AuditPayload.objects.order_by("event").values_list("data", flat=True)]
    assert [one["replaced"] for one in told if "replaced" in one] == [True, False]
    assert VALUE not in str(told)


def test_other_hosts_need_the_value_anew_and_fewer_do_not(admin):
    admin.post(URL, NEW)
    assert admin.post(URL, {"name": "SHOP", "hosts": ["shop.example"]}).json()["hosts"] == ["shop.example"]
    answer = admin.post(URL, {"name": "SHOP", "hosts": ["thief.example"]})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "value")
    assert ToolSecret.objects.get().hosts == ["shop.example"]
    assert ToolSecret.objects.get().value == VALUE


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"name": "shop"}, "name"), ({"name": "A" * 65}, "name"), ({"name": ""}, "name"),
        ({"value": "short"}, "value"), ({"value": "with a blank"}, "value"), ({"value": "ü" * 9}, "value"),
        ({"value": "x" * 4_001}, "value"), ({"value": 5}, "value"), ({"value": None}, "value"),
        ({"hosts": []}, "hosts"), ({"hosts": ["http://a.example/"]}, "hosts"), ({"hosts": "a.example"}, "hosts"),
        ({"hosts": [f"{n}.example" for n in range(21)]}, "hosts"), ({"id": "x"}, "id"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_its_field_and_does_not_repeat_the_value(admin, wrong, field):
    answer = admin.post(URL, {**NEW, **wrong})
    assert answer.status_code == 400, answer.content
    assert answer.json()["errors"][0]["field"].partition(".")[0] == field
    assert VALUE not in answer.content.decode()
    assert not ToolSecret.objects.exists()


def test_members_managers_and_strangers_have_no_part_in_it(admin, api, manager, stranger, client_of):
    admin.post(URL, NEW)
    for client in (api, client_of(manager)):
        assert client.get(URL).json()["code"] == client.post(URL, NEW).json()["code"] == "role_required"
    assert client_of(manager).delete(f"{URL}/SHOP").json()["code"] == "role_required"
    stranger.membership.role = "admin"
    stranger.membership.save()
    theirs = client_of(stranger)
    assert theirs.get(URL).json() == {"secrets": []}
    for client in (api, theirs):
        assert client.delete(f"{URL}/SHOP").json()["code"] == "unknown_secret"
    assert ToolSecret.objects.get().value == VALUE


def test_a_tool_names_it_and_a_secret_of_another_host_refuses_the_tool(admin):
    admin.post(URL, NEW)
    tool = {"name": "orders", "description": "Orders.", "headers": {"Authorization": "Bearer {secret:SHOP}"},
            "parameters": {"type": "object", "properties": {}}}  # fmt: skip
    assert admin.post("/v1/ai/tools", {**tool, "url": "https://shop.example/orders"}).status_code == 201
    refused = admin.post("/v1/ai/tools", {**tool, "name": "other", "url": "https://thief.example/orders"})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "url")


def test_a_workspace_keeps_so_many_at_most(admin, monkeypatch):
    monkeypatch.setattr(tools, "MOST_SECRETS", 1)
    admin.post(URL, NEW)
    assert admin.post(URL, {**NEW, "name": "OTHER"}).status_code == 400
    assert admin.post(URL, {**NEW, "value": "another-key"}).status_code == 201
