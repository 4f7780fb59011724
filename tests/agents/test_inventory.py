"""The inventory of services over HTTP: what is sent, what is told, and what each failure says about the effect."""

import asyncio
import dataclasses
import json
import socket

import pytest

from agents.models import Connection, ConnectionKind, SandboxEffect, SandboxItem
from agents.tools import http, registry
from agents.tools.registry import MaybeSent, NotSent, ToolFailed
from core.errors import Invalid
from tests.agents.conftest import call, shown
from tests.servers import inventory
from tests.servers.inventory import TOKEN, Fault


@pytest.fixture
def server(tmp_path):
    with inventory.running(tmp_path / "effects.jsonl") as server:
        yield server


@pytest.fixture
def connected(server, context, workspace):
    """The workspace is connected to the inventory; the makers of contexts."""
    Connection.objects.create(
        workspace=workspace, kind=ConnectionKind.INVENTORY, base_url=f"{server.base_url}/", token=TOKEN
    )
    return context


def test_the_inventory_is_asked_and_not_the_sandbox(server, connected):
    told = json.loads(call("service_status", connected()).content)
    assert told["from"] == "Service inventory"
    assert [one["name"] for one in told["services"]] == ["web", "api", "billing"]
    one = json.loads(call("service_status", connected(), service="billing").content)["services"]
    assert one == [{"name": "billing", "since": "2026-07-01T06:00:00Z", "state": "running", "version": "1.2.3"}]
    log = json.loads(call("service_logs", connected(), service="web", lines=3).content)["lines"]
    assert log[-1].endswith("line 299 of web")
    assert len(log) == 3
    assert {one["headers"]["authorization"] for one in server.requests} == {f"Bearer {TOKEN}"}
    assert not SandboxItem.objects.exists()


def test_a_change_carries_its_key_and_is_made_once(server, connected):
    results = [call("service_restart", connected("key-1"), service="web") for _ in range(3)]
    assert server.done() == [{"service": "web", "verb": "restart", "key": "key-1"}]
    assert len({result.content for result in results}) == 1
    assert results[0].summary.startswith("web: restarted (Service inventory). It is running since")
    sent = [one for one in server.requests if one["method"] == "POST"]
    assert {(one["path"], one["headers"]["idempotency-key"]) for one in sent} == {("/v1/services/web/restart", "key-1")}
    assert not SandboxEffect.objects.exists()


@pytest.mark.parametrize(("tool", "state"), [("service_stop", "stopped"), ("service_start", "running")])
def test_services_are_stopped_and_started(server, connected, tool, state):
    call(tool, connected(), service="api")
    assert server.services["api"]["state"] == state


def test_other_workspaces_are_not_connected(server, connected, other_workspace):
    told = json.loads(call("service_status", connected(of=other_workspace)).content)
    assert told["from"] == "sandbox inventory"
    assert not server.requests


def test_a_connection_that_is_switched_off_fails_rather_than_use_the_sandbox(server, connected):
    Connection.objects.update(enabled=False)
    for name, arguments in (("service_status", {}), ("service_restart", {"service": "web"})):
        with pytest.raises(ToolFailed, match=r"The connection to Service inventory is switched off"):
            call(name, connected(), **arguments)
    assert not server.requests
    assert not SandboxItem.objects.exists()


@pytest.mark.parametrize(
    ("fault", "kind", "effects"),
    [
        (Fault.CLOSE_AT_ONCE, MaybeSent, 0),
        (Fault.CLOSE_UNDONE, MaybeSent, 0),
        (Fault.CLOSE_DONE, MaybeSent, 1),
        (Fault.CUT, MaybeSent, 1),
        (Fault.ERROR_DONE, MaybeSent, 1),
        (Fault.BUSY, NotSent, 0),
        (Fault.REFUSED, ToolFailed, 0),
    ],
)
def test_a_failure_says_whether_anything_can_have_happened(server, connected, fault, kind, effects):
    server.fault, server.faults = fault, 1
    with pytest.raises(registry.ToolError) as caught:
        call("service_restart", connected("key-1"), service="web")
    assert type(caught.value) is kind
    assert len(server.done()) == effects
    call("service_restart", connected("key-1"), service="web")
    assert len(server.done()) == 1


def test_an_answer_that_never_comes_leaves_the_outcome_open(server, connected, monkeypatch):
    server.fault = Fault.SILENT
    spec = registry.get("service_restart")
    monkeypatch.setattr(registry, "_registered", {"service_restart": [_hasty(spec)]})
    with pytest.raises(MaybeSent, match="has not ended within"):
        call("service_restart", connected("key-1"), service="web")
    server.released.set()
    assert len(server.done()) == 1


def _hasty(spec):
    return dataclasses.replace(spec, timeout=0.3)


def test_an_answer_without_words_is_a_success(server, connected):
    server.fault = Fault.WORDLESS
    assert call("service_restart", connected(), service="web").summary == "web: restarted (Service inventory)."


def test_a_token_that_an_answer_repeats_is_not_told(server, connected):
    server.services["web"] = {**server.services["web"], "version": f"Bearer {TOKEN}"}
    result = call("service_status", connected(), service="web")
    assert json.loads(result.content)["services"][0]["version"] == "Bearer [key]"


def test_words_of_a_refusal_are_told_without_the_token(server, connected):
    server.fault = Fault.REFUSED
    with pytest.raises(ToolFailed) as caught:
        call("service_restart", connected(), service="web")
    assert caught.value.detail == "Service inventory answered 422: web is pinned by Bearer [key]"


def test_a_token_that_is_refused_is_said_so(server, connected):
    server.token = "another"
    with pytest.raises(ToolFailed) as caught:
        call("service_status", connected())
    assert caught.value.detail == "Service inventory refused the token of the connection."


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("http://127.0.0.1:{closed}", NotSent),
        ("http://inventory.invalid", NotSent),
        ("https://127.0.0.1:{port}", NotSent),
        ("ftp://127.0.0.1", ToolFailed),
        ("http://", ToolFailed),
        ("http://[::1", ToolFailed),
        ("http://127.0.0.1:{port}/elsewhere", ToolFailed),
    ],
)
def test_an_address_where_nothing_is(server, connected, url, kind):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = url.format(closed=probe.getsockname()[1], port=server.port)
    Connection.objects.update(base_url=url)
    with pytest.raises(registry.ToolError) as caught:
        call("service_restart", connected(), service="web")
    assert type(caught.value) is kind, caught.value.detail
    assert TOKEN not in caught.value.detail
    assert not server.done()


@pytest.mark.parametrize("token", ["line\nbreak-secret", "schlüssel-secret"])
def test_a_token_that_is_no_header_is_not_shown(server, connected, token):
    Connection.objects.get().delete()
    Connection.objects.create(
        workspace_id=connected().workspace_id, kind="inventory", base_url=server.base_url, token=token
    )
    with pytest.raises(ToolFailed) as caught:
        call("service_restart", connected(), service="web")
    assert "secret" not in f"{caught.value.detail} {caught.value.__cause__!r}"


@pytest.mark.parametrize("body", [b"", b"[]", b'{"services": 5}', b"[" * 100_000, b"\xff\xfe", b'{"services": [{}]}'])
def test_an_answer_that_is_none_is_told_as_one(server, connected, monkeypatch, body):
    monkeypatch.setattr("tests.servers.inventory._Inventory.answer", lambda self, _: self.text(200, body))
    with pytest.raises(ToolFailed, match="not what its API says"):
        call("service_status", connected())


def test_an_answer_without_an_end_is_not_read_on(server, connected, monkeypatch):
    monkeypatch.setattr(http, "BODY_LIMIT", 10_000)
    monkeypatch.setattr("tests.servers.inventory._Inventory.answer", lambda self, _: self.text(200, b" " * 5_000_000))
    with pytest.raises(MaybeSent, match="more than 10,000 bytes"):
        call("service_status", connected())


@pytest.mark.parametrize(("status", "kind"), [(301, ToolFailed), (303, MaybeSent), (409, MaybeSent), (503, MaybeSent)])
def test_what_a_status_says_of_a_change(server, connected, monkeypatch, status, kind):
    def answer(self, body):
        self.json(status if self.command == "POST" else 200, {"services": []}, Location=f"{server.base_url}/x")

    monkeypatch.setattr("tests.servers.inventory._Inventory.answer", answer)
    spec = registry.get("service_restart")
    with pytest.raises(registry.ToolError) as caught:
        _execute(spec, {"service": "web"}, connected())
    assert type(caught.value) is kind


def _execute(spec, arguments, context):
    return asyncio.run(registry.execute(spec, arguments, context))


def test_a_service_that_is_not_there_is_refused_with_those_that_are(server, connected):
    with pytest.raises(Invalid, match=r"there is none of this name; there are: web, api, billing\."):
        call("service_restart", connected(), service="database")
    assert not server.done()


def test_a_service_that_is_new_is_found(server, connected):
    call("service_restart", connected(), service="web")
    server.services["fresh"] = {**server.services["web"], "name": "fresh"}
    call("service_restart", connected(), service="fresh")
    assert [one["service"] for one in server.done()] == ["web", "fresh"]


def test_an_inventory_that_cannot_be_asked_refuses_nothing_and_is_not_asked_again_at_once(server, connected, workspace):
    Connection.objects.update(base_url="http://inventory.invalid")
    spec = registry.get("service_restart")
    registry.validate(spec, {"service": "anything"}, connected())
    (offered,) = registry.offered(workspace.pk, ["service_restart"])
    assert "enum" not in offered.parameters["properties"]["service"]
    preview = registry.preview(spec, {"service": "anything"}, connected())
    assert preview["diff"][0]["before"] == "not known now"
    assert preview["details"]["not known because"] == "Service inventory did not answer a moment ago."
    http.forget()
    preview = registry.preview(spec, {"service": "anything"}, connected())
    assert preview["details"]["not known because"] == "Service inventory does not answer: its name cannot be resolved."


def test_words_from_outside_can_be_stored(server, connected, workspace):
    odd = {"name": "web", "state": "odd\x00", "since": "x" * 30_000, "version": "1"}
    server.services = {"web": odd, "..": {**odd, "name": ".."}, "a b": {**odd, "name": "a\x00b"}}
    (offered,) = registry.offered(workspace.pk, ["service_restart"])
    assert offered.parameters["properties"]["service"]["enum"] == ["web"]
    preview = shown("service_restart", connected(), service="web")
    assert preview["diff"][0]["before"] == "odd\ufffd"
    assert len(preview["details"]["in this state since"]) == 20_000
    result = call("service_status", connected())
    assert "\x00" not in result.content + result.summary
    with pytest.raises(Invalid, match="there are: web"):
        call("service_restart", connected(), service="other")


def test_names_are_asked_for_every_few_seconds_at_most(server, connected, workspace):
    for _ in range(5):
        (offered,) = registry.offered(workspace.pk, ["service_restart"])
    assert offered.parameters["properties"]["service"]["enum"] == ["web", "api", "billing"]
    assert len(server.requests) == 1


def test_a_manager_reads_where_a_restart_happens(server, connected):
    found = shown("service_restart", connected(), service="web")
    place = f"Service inventory at 127.0.0.1:{server.port}"
    assert found["sentence"] == f"Restart the service web ({place})."
    assert found["diff"] == [{"what": "state of web", "before": "running", "after": "running, restarted"}]
    assert found["details"] == {"where": place, "in this state since": "2026-07-01T06:00:00Z", "version": "1.2.3"}


def test_of_a_long_log_the_latest_lines_are_told(server, connected, monkeypatch):
    lines = [f"{n} " + "x" * 3_000 for n in range(200)]
    monkeypatch.setattr("tests.servers.inventory._Inventory.answer", lambda self, _: self.json(200, {"lines": lines}))
    result = _execute(registry.get("service_logs"), {"service": "web", "lines": 200}, connected())
    told = json.loads(result.content)["lines"]
    assert [line.partition(" ")[0] for line in told] == [str(n) for n in range(184, 200)]
