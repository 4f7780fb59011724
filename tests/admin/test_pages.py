"""Who sees what: generated over every model of the admin."""

import re
from collections.abc import Callable
from html.parser import HTMLParser

import pytest
from axes.models import AccessAttempt
from django.apps import apps
from django.conf import settings
from django.test import Client
from django.urls import reverse

from accounts.models import ApiKey, Budget, BudgetHold, BudgetUse, Group, Letter, Membership, Role, User, Workspace
from agents.models import (
    Agent,
    AgentHook,
    AgentTeam,
    AgentVersion,
    Connection,
    HookDelivery,
    McpServer,
    Provider,
    Skill,
    TeamMember,
    Tool,
    ToolSecret,
    ToolSetting,
)
from approvals.models import (
    AuditHead,
    AuditPayload,
    AuditSeal,
    AuditUnsealed,
    HeldNotice,
    NotificationChannel,
    NotificationPreference,
    Policy,
    SignInPlace,
    Vote,
)
from chat.models import Folder, ReadMark, Run
from companions.models import Companion
from memory.models import Entry, Owner, Reading, Revision, Source, Tombstone
from tests.admin.conftest import ANSWER, HOSTILE, OURS, PROVIDER_KEY, Home, models, pages, url

MADE_BY_ADMINS = {
    Budget,
    Membership,
    ApiKey,
    Group,
    Agent,
    AgentTeam,
    Skill,
    Provider,
    Companion,
    Tool,
    ToolSecret,
    ToolSetting,
    Connection,
    McpServer,
    Policy,
    AgentHook,
    NotificationChannel,
}
MADE_BY_MANAGERS = {AgentHook}
CHANGED_BY_ADMINS = (MADE_BY_ADMINS | {Workspace, User}) - {ApiKey, AgentHook}
PARTS = {
    AgentVersion,
    Folder,
    ReadMark,
    BudgetHold,
    BudgetUse,
    HookDelivery,
    Letter,
    TeamMember,
    HeldNotice,
    NotificationPreference,
    SignInPlace,
    Vote,
    AuditPayload,
    AuditSeal,
    AuditHead,
    AuditUnsealed,
    Entry,
    Source,
    Reading,
    Revision,
    Tombstone,
}  # of what has a page
FOR_ADMINS = {Owner}  # what is remembered of people: tests/memory/test_admin.py
Staff = Callable[[Role], Client]
TIME_WITHOUT_ZONE = re.compile(r">\s*\d{4}-\d\d-\d\d \d\d:\d\d|\d\d:\d\d:\d\d(?! UTC)(\.\d+)?\s*<")
SIDEBAR = {
    str(item["link"]): (group["title"], item["title"])
    for group in settings.UNFOLD["SIDEBAR"]["navigation"]
    for item in group["items"]
    if "title" in group
}


class Tags(HTMLParser):
    """The tags of a page as a browser finds them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember a tag."""
        self.found.append((tag, dict(attrs)))


def test_every_model_of_ours_is_in_the_admin() -> None:
    ours = {model for label in OURS for model in apps.get_app_config(label).get_models()}
    assert set(models()) == (ours - PARTS) | {AccessAttempt}


def test_an_operator_opens_every_page(here: Home, there: Home, operator: Client) -> None:
    for model in models():
        for home in (here, there):
            listed = operator.get(url(model, "changelist"))
            assert listed.status_code == 200, model
            assert url(model, "change", home[model].pk) in listed.text
            for page in ("change", "history"):
                shown = operator.get(url(model, page, home[model].pk))
                assert shown.status_code == 200, (model, page)
                assert not TIME_WITHOUT_ZONE.search(listed.text + shown.text), (model, page)
            if named := SIDEBAR.get(url(model, "changelist")):
                assert f"<title>{named[1]} | Countersign</title>" in re.sub(r"(?<=>)\s+|\s+(?=<)", "", listed.text)
                steps = re.findall(r'tracking-tight">\s*(.*?)\s*</(?:a|span)\s*>', listed.text)
                assert tuple(steps) == named, model
        expected = 200 if model in MADE_BY_ADMINS | {Workspace, User} else 403
        assert operator.get(url(model, "add")).status_code == expected, model


def test_times_are_elements_in_lists_and_on_pages(here: Home, operator: Client) -> None:
    at = Run.objects.get(pk=here[Run].pk).created_at
    told = f'<time datetime="{at:%Y-%m-%dT%H:%M:%SZ}" data-moment="precisely">{at:%-d %b %Y, %H:%M:%S} UTC</time>'
    for page in (url(Run, "changelist"), url(Run, "change", here[Run].pk)):
        assert told in operator.get(page).text


@pytest.mark.parametrize("model", [Policy, ApiKey])
def test_a_form_says_in_which_zone_it_takes_a_time(model: type, here: Home, operator: Client) -> None:
    assert "In UTC." in operator.get(url(model, "add")).text


def test_an_admin_of_the_workspace_opens_every_page(here: Home, staff: Staff) -> None:
    client = staff(Role.ADMIN)
    for model in models():
        assert client.get(url(model, "changelist")).status_code == 200, model
        page = client.get(url(model, "change", here[model].pk))
        assert page.status_code == 200, model
        assert ('name="_save"' in page.text) == (model in CHANGED_BY_ADMINS), model
        assert client.get(url(model, "add")).status_code == (200 if model in MADE_BY_ADMINS else 403), model


@pytest.mark.parametrize("role", [Role.MANAGER, Role.AUDITOR])
def test_managers_and_auditors_read_and_write_nothing(role: Role, here: Home, staff: Staff) -> None:
    client = staff(role)
    for model in (one for one in models() if one not in FOR_ADMINS):
        row = here[model]
        assert client.get(url(model, "changelist")).status_code == 200, model
        page = client.get(url(model, "change", row.pk))
        assert page.status_code == 200, model
        assert 'name="_save"' not in page.text, model
        before = list(model._default_manager.values())
        add = [] if role == Role.MANAGER and model in MADE_BY_MANAGERS else [url(model, "add")]
        for target in (*add, url(model, "change", row.pk), url(model, "delete", row.pk)):
            answer = client.post(target, {"post": "yes", "name": "changed", "role": "admin"})
            assert answer.status_code == 403, target
        assert list(model._default_manager.values()) == before


@pytest.mark.parametrize("role", [Role.ADMIN, Role.MANAGER])
def test_nothing_of_another_workspace_is_seen(role: Role, here: Home, there: Home, staff: Staff) -> None:
    client = staff(role)
    for model in models():
        listed = client.get(url(model, "changelist"))
        if model in FOR_ADMINS and role != Role.ADMIN:
            assert listed.status_code == 403, model
            continue
        assert url(model, "change", here[model].pk) in listed.text
        assert url(model, "change", there[model].pk) not in listed.text
        for trace in (there.name, there[Workspace].name, str(there[Workspace].pk)):
            assert trace not in listed.text, (model, "in a row or a filter")
        if model in MADE_BY_ADMINS and role == Role.ADMIN:
            form = client.get(url(model, "add")).text
            assert there.name not in form, (model, "in a choice")
            assert str(there[Workspace].pk) not in form, model


def test_another_workspaces_rows_are_not_to_be_had_by_their_address(here: Home, there: Home, staff: Staff) -> None:
    client, theirs = staff(Role.ADMIN), pages(there)
    for model in models():
        before = list(model._default_manager.order_by("pk").values())
        for address in (page for page in theirs if f"/{there[model].pk}/" in page):
            for response in (client.get(address), client.post(address, {"post": "yes", "grace": "1"})):
                assert response.status_code in (302, 403, 404), address
                assert there.name not in response.text, address
        assert list(model._default_manager.order_by("pk").values()) == before, model


def test_a_lookup_in_the_address_cannot_ask_for_what_is_not_shown(here: Home, operator: Client) -> None:
    for model, lookup in (
        (Provider, "api_key__startswith=g"),
        (Connection, "token__startswith=g"),
        (ApiKey, "secret_hash__startswith=a"),
        (User, "password__startswith=argon"),
        (Run, "workspace__name__startswith=a"),
        (Run, "draft__contains=x"),
    ):
        assert operator.get(f"{url(model, 'changelist')}?{lookup}").status_code == 400
        assert operator.get(f"{url(model, 'changelist')}?_to_field=password").status_code == 400


@pytest.mark.parametrize("query", ["p=99999999999999999999", "p=x", "o=9.9.x", "q=%E2%80%AE", "since=x", "e=1", "all="])
def test_a_strange_address_is_no_fault(query: str, here: Home, operator: Client) -> None:
    for model in models():
        assert operator.get(f"{url(model, 'changelist')}?{query}").status_code in (200, 302, 400), model


@pytest.mark.parametrize("pk", ["x", "00000000-0000-0000-0000-000000000000", "__fk__"])
def test_a_row_that_is_not_there_is_no_fault(pk: str, operator: Client) -> None:
    for model in models():
        assert operator.get(url(model, "change", pk)).status_code == 302, model
    assert operator.get("/admin/search/?s=run&page=x").status_code == 404


def test_choices_from_the_server_are_of_the_own_workspace(here: Home, there: Home, staff: Staff) -> None:
    query = {"app_label": "accounts", "model_name": "apikey", "field_name": "user", "term": ""}
    found = staff(Role.ADMIN).get(reverse("admin:autocomplete"), query).json()["results"]
    assert here[User].email in [one["text"] for one in found]
    assert there[User].email not in [one["text"] for one in found]


def test_a_row_cannot_be_made_in_another_workspace(here: Home, there: Home, staff: Staff) -> None:
    form = {"slug": "new", "name": "New", "kind": "companion", "autonomy": "advisor"}
    page = staff(Role.ADMIN).post(url(Agent, "add"), {**form, "workspace": there[Workspace].pk})
    assert "Select a valid choice" in page.text
    assert not Agent.objects.filter(slug="new").exists()


def test_an_admin_here_who_is_a_manager_elsewhere_writes_here_alone(here: Home, there: Home, staff: Staff) -> None:
    client = staff(Role.ADMIN)
    me = User.objects.get(email="staff-admin@home.example")
    Membership.objects.create(workspace=there[Workspace], user=me, role=Role.MANAGER)
    assert client.get(url(Agent, "change", there[Agent].pk)).status_code == 200
    assert client.post(url(Agent, "change", there[Agent].pk), {"name": "Mine"}).status_code == 403
    for action in (url(ApiKey, "revoke", there[ApiKey].pk), url(Provider, "test", there[Provider].pk)):
        assert client.post(action).status_code == 403
        assert client.get(action).status_code == 403
    both = {"action": "revoke_selected", "_selected_action": [here[ApiKey].pk, there[ApiKey].pk]}
    client.post(url(ApiKey, "changelist"), both)
    assert list(ApiKey.objects.filter(revoked_at=None)) == [there[ApiKey]]
    form = {"slug": "new", "name": "New", "kind": "companion", "autonomy": "advisor"}
    page = client.post(url(Agent, "add"), {**form, "workspace": there[Workspace].pk})
    assert "Select a valid choice" in page.text
    assert client.post(url(Agent, "add"), {**form, "workspace": here[Workspace].pk}).status_code == 302


def test_no_list_offers_to_delete_many_rows(here: Home, operator: Client) -> None:
    for model in models():
        assert "delete_selected" not in operator.get(url(model, "changelist")).text, model
        before = model._default_manager.count()
        chosen = {"action": "delete_selected", "_selected_action": [here[model].pk], "post": "yes"}
        operator.post(url(model, "changelist"), chosen)
        assert model._default_manager.count() == before, model


def test_a_companion_is_not_answered_by_another_workspaces_agent(here: Home, there: Home, operator: Client) -> None:
    form = {"workspace": here[Workspace].pk, "type": "new", "name": "New", "agent": there[Agent].pk}
    page = operator.post(url(Companion, "add"), form)
    assert "belongs to another workspace" in page.text
    assert not Companion.objects.filter(type="new").exists()


def test_two_rows_of_one_name_are_refused_in_the_form(here: Home, staff: Staff) -> None:
    form = {"workspace": here[Workspace].pk, "slug": here[Agent].slug, "name": "Taken", "kind": "companion"}
    page = staff(Role.ADMIN).post(url(Agent, "add"), {**form, "autonomy": "advisor"})
    assert page.status_code == 200
    assert "already" in page.text or "one_agent_per_slug" in page.text


def test_pages_carry_no_secret_no_code_of_people_and_no_inline_code(here: Home, operator: Client) -> None:
    key = ApiKey.objects.get(pk=here[ApiKey].pk)
    User.objects.filter(pk=here[User].pk).update(password="argon2$canary$hash")
    digest = bytes(key.secret_hash)
    secrets = (PROVIDER_KEY, here.secret, digest.hex(), repr(digest)[2:20], ANSWER, "argon2$", "canary$hash")
    shown = 0
    for page in [*pages(here), "/admin/nothing-here/", "/admin/login/"]:
        response = operator.get(page)
        assert not [secret for secret in secrets if secret in response.text], page
        policy = response["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self' 'unsafe-eval';" in policy
        assert "frame-ancestors 'none'" in policy
        assert HOSTILE not in response.text, page
        shown += "&lt;script&gt;alert(" in response.text
        for tag, attributes in Tags(response.text).found:
            check_inert(page, tag, attributes)
    assert shown > 10
    assert "Content-Security-Policy" not in operator.get("/v1/ai/health").headers


def check_inert(page: str, tag: str, attributes: dict[str, str | None]) -> None:
    """A tag of a page carries no code of its own, and none that people wrote."""
    assert (tag, attributes.get("src")) != ("img", "x"), page
    for name in ("href", "src", "action"):
        assert not (attributes.get(name) or "").strip().startswith("javascript:"), page
    assert tag != "style", page
    assert tag != "script" or (attributes["src"] or "").startswith("/"), page
    assert not any(name.startswith("on") for name in attributes), page


def test_staff_without_a_role_that_reads_see_an_empty_admin(here: Home, there: Home, staff: Staff) -> None:
    client = staff(Role.MEMBER)
    index = client.get(reverse("admin:index"))
    assert index.status_code == 200
    assert "You have no role" in index.text
    for model in models():
        assert client.get(url(model, "changelist")).status_code == 403
