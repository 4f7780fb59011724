"""Who may open which page of the console, and change what: every route, for every role, and for others' things."""

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import get_resolver

from accounts.models import Actor, Budget, Membership, Role, Workspace
from accounts.pages.console import SECTIONS
from accounts.services import invitations, keys
from agents.models import Agent, McpServer, McpTool, Provider
from approvals.models import AuditEvent, OutboxItem, Policy, WebhookEndpoint
from approvals.services import posting, webhooks
from companions.models import Companion
from tests.cast import companion, person

pytestmark = pytest.mark.django_db

LOOKS = {
    "console", "console-members", "console-keys", "console-usage", "console-providers", "console-agents",
    "console-agent", "console-tools", "console-mcp", "console-mcp-server", "console-budgets", "console-try-call",
    "console-policies", "console-webhooks", "console-delivery", "console-companions", "console-companion",
}  # fmt: skip
"""The pages that all who read a section may open; the others are for those who may change it."""
ADMINS_ALONE = {"console-companion-new"}
"""Pages that are for fewer than their section says."""
TOOL = "service_restart"


def _routes() -> dict[str, str]:
    """Every route of the console by name, as a pattern."""
    found = {}
    for pattern in get_resolver().url_patterns:
        for one in getattr(pattern, "url_patterns", [pattern]):
            name, text = str(getattr(one, "name", "")), str(one.pattern)
            if text.startswith("^console"):
                found[name] = text
    return found


ROUTES = _routes()


def _path(name: str, things: dict[str, Any]) -> str:
    text = ROUTES[name].removeprefix("^").removesuffix("/?$")
    text = re.sub(r"\(\?P<tool>.*?\)(?=/)", TOOL, text)
    return "/" + re.sub(r"\(\?P<pk>[^)]*\)", str(things.get(name)), text)


def _section(name: str) -> str:
    path = _path(name, {}) + "/"
    alone = {"/console/invitations": "members", "/console/policies": "policies"}
    for start, section in alone.items():
        if path.startswith(start):
            return section
    return max(
        (key for key, one in SECTIONS.items() if path.startswith(one.path)), key=lambda key: len(SECTIONS[key].path)
    )


def _things(actor: Actor, made: Companion) -> dict[str, Any]:
    """Something for each route that names a thing, in the person's workspace."""
    home = actor.workspace
    key, _ = keys.create(workspace=home, user=actor.user, name="A key")
    invited, _ = invitations.invite(by=actor, email=f"new@{home.slug}.example")
    provider = Provider.objects.create(workspace=home, name="offline", kind="rehearsal")
    server = McpServer.objects.create(workspace=home, name="files", url="https://mcp.example.org/")
    tool = McpTool.objects.create(workspace=home, server=server, name="files__read", remote_name="read",
                                  offered={"name": "read"}, offered_hash="a" * 64)  # fmt: skip
    budget = Budget.objects.create(workspace=home, tokens=1000)
    Policy.objects.create(workspace=home, name="First", priority=1)
    policy = Policy.objects.create(workspace=home, name="Second", priority=2)
    WebhookEndpoint.objects.create(workspace=home, url="https://93.184.215.14/", secret=webhooks.new_secret())
    sent = OutboxItem.objects.create(workspace=home, topic=posting.WEBHOOK, type="approval.requested")
    member = Membership.objects.get(workspace=home, user=actor.user)
    found = {
        "member": member, "member-remove": member, "invitation-resend": invited, "invitation-revoke": invited,
        "key-rotate": key, "key-revoke": key, "provider": provider, "provider-test": provider,
        "provider-first": provider, "provider-remove": provider, "agent": made.agent, "agent-switch": made.agent,
        "mcp-server": server, "mcp-accept": tool, "mcp-withdraw": tool, "budget": budget, "budget-remove": budget,
        "policy-switch": policy, "policy-earlier": policy, "delivery": sent, "delivery-retry": sent, "companion": made,
    }  # fmt: skip
    return {f"console-{name}": row.pk for name, row in found.items()}


@pytest.fixture
def browser():
    def make(actor: Actor, **options: Any) -> Client:
        client = Client(headers={"Accept": "text/html"}, **options)
        client.force_login(actor.user)
        return client

    return make


def _rows() -> list[Any]:
    models = (Membership, Agent, Provider, Budget, Policy, WebhookEndpoint, OutboxItem, Companion, McpTool, AuditEvent)
    return [sorted(map(str, model.objects.values_list())) for model in models]


@pytest.mark.parametrize("role", list(Role))
def test_each_role_opens_what_it_reads_and_no_more(workspace, owner, smart_home, browser, role):
    client = browser(person(workspace, f"a-{role}", role))
    things = _things(owner, smart_home)
    assert len(ROUTES) > 40
    for name in ROUTES:
        section = SECTIONS[_section(name)]
        allowed = section.reads if name in LOOKS else section.changes if name not in ADMINS_ALONE else ()
        answer = client.get(_path(name, things))
        if name == "console-key-rotate":  # another's key: whoever is shown the successor reads what its person said
            assert answer.status_code == 403
            continue
        expected = 200 if role == Role.ADMIN or role in allowed else 403
        assert answer.status_code == expected, (name, role, answer.status_code)
        if expected == 403:
            assert b"Ask an admin of the workspace." in answer.content, name
            assert b'<nav class="places"' in answer.content, "who may not look at it finds the way on"
        else:
            assert answer["Cache-Control"] == "no-store"
            assert "style-src-attr" not in answer["Content-Security-Policy"]


@pytest.mark.parametrize("role", [Role.MEMBER, Role.MANAGER, Role.AUDITOR])
def test_what_they_may_not_change_they_cannot_send_either(workspace, owner, smart_home, browser, role):
    client = browser(person(workspace, f"a-{role}", role))
    things = _things(owner, smart_home)
    before = _rows()
    for name in ROUTES:
        if role not in SECTIONS[_section(name)].changes:
            answer = client.post(_path(name, things), {"to": "off", "role": "admin", "email": "me@evil.example"})
            assert answer.status_code == 403, (name, role)
    assert _rows() == before


def test_nobody_who_is_not_signed_in_sees_any_of_it(owner, smart_home):
    things, client = _things(owner, smart_home), Client()
    for name in ROUTES:
        for send in (client.get, client.post):
            answer = send(_path(name, things))
            assert (answer.status_code, answer["Location"].partition("?")[0]) == (302, "/account/login/"), name


def test_things_of_another_workspace_are_not_there(workspace, owner, other_workspace, smart_home, browser):
    theirs = person(other_workspace, "their-admin", Role.ADMIN)
    things = _things(theirs, companion(other_workspace))
    client, before = browser(owner), _rows()
    for name in things:
        for send in (client.get, client.post):
            answer = send(_path(name, things), {"to": "off", "role": "admin"})
            assert answer.status_code == 404, (name, answer.status_code)
            missing = send(_path(name, dict.fromkeys(things, "00000000-0000-7000-8000-000000000000")))
            assert missing.status_code == 404
            assert _worded(missing) == _worded(answer), name
    assert _rows() == before


def _worded(answer: Any) -> str:
    text = answer.content.decode()
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "", text[text.index("<main") :])


def test_lists_have_nothing_of_another_workspace(workspace, owner, other_workspace, smart_home, browser):
    theirs = person(other_workspace, "their-admin", Role.ADMIN)
    _things(theirs, companion(other_workspace))
    Agent.objects.filter(workspace=other_workspace).update(name="Theirs alone", slug="theirs-alone")
    client = browser(owner)
    for name in ROUTES:
        if "<" not in ROUTES[name]:
            text = client.get(_path(name, {})).content.decode()
            assert "elsewhere" not in text.lower(), name
            assert "Theirs alone" not in text, name


def test_a_form_of_another_site_changes_nothing(owner, smart_home, browser):
    things = _things(owner, smart_home)
    client, before = browser(owner, enforce_csrf_checks=True), _rows()
    for name in ROUTES:
        assert client.post(_path(name, things), {"to": "off"}).status_code == 403, name
    assert _rows() == before


def test_looking_changes_nothing(owner, smart_home, browser):
    things = _things(owner, smart_home)
    client, before = browser(owner), _rows()
    for name in ROUTES:
        client.get(_path(name, things))
    assert _rows() == before


@pytest.mark.parametrize("query", ["q=%00", "page=0", "page=x", "page=99999999999", "q=" + "x" * 300, "page=-1"])
def test_a_list_that_is_asked_for_nothing_sensible_says_so(owner, smart_home, browser, query):
    client = browser(owner)
    for section in ("members", "keys", "providers", "agents", "tools", "mcp", "policies", "budgets", "companions"):
        answer = client.get(f"{SECTIONS[section].path}?{query}")
        assert answer.status_code == 400
        assert b"cannot be searched" in answer.content or query == "q=%00"


def test_what_people_wrote_is_inert_on_every_page(workspace, owner, smart_home, browser):
    hostile = "<img src=x onerror=alert(1)>\"'><script>alert(2)</script>"
    things = _things(owner, smart_home)
    Workspace.objects.filter(pk=workspace.pk).update(name=hostile)
    owner.user.name = hostile
    owner.user.save()
    told = {"name": hostile, "description": hostile}
    Agent.objects.update(**told, instructions=hostile, personality=hostile, tone=hostile, model=hostile)
    Companion.objects.update(**told, personality=hostile, tone=hostile)
    Policy.objects.filter(name="Second").update(name=hostile, description=hostile, condition=hostile, tool=hostile)
    Provider.objects.update(base_url=hostile, default_model=hostile)
    McpServer.objects.update(url=hostile, problem=hostile)
    McpTool.objects.update(offered={"name": hostile, "description": hostile})
    OutboxItem.objects.update(payload={hostile: hostile}, error=hostile, type="approval.requested")
    WebhookEndpoint.objects.update(url=hostile, disabled_reason=hostile)
    client = browser(owner)
    for name in ROUTES:
        text = client.get(_path(name, things)).content.decode()
        assert "<img src=x" not in text, name
        assert "<script>" not in text, name
    searched = client.get("/console/agents/", {"q": hostile}).content.decode()
    assert "<script>" not in searched


def test_no_secret_is_on_any_page(workspace, owner, smart_home, browser):
    things = _things(owner, smart_home)
    secret = str(WebhookEndpoint.objects.get().secret)
    Provider.objects.update(kind="openai", base_url="https://93.184.215.14/v1")
    provider = Provider.objects.get()
    provider.api_key = "sk-canary-of-a-provider-0123456789"
    provider.save()
    server = McpServer.objects.get()
    server.secrets = '{"Authorization": "Bearer canary-of-mcp-0123456789"}'
    server.save()
    OutboxItem.objects.update(payload={"api_key": "canary-in-payload-0123456789", "note": secret})
    client = browser(owner)
    for name in ROUTES:
        text = client.get(_path(name, things)).content.decode()
        for canary in ("canary-of-a-provider", "canary-of-mcp", "canary-in-payload", secret):
            assert canary not in text, (name, canary)
