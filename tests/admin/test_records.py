"""What the log is told of changes made by hand: to accounts and passwords, providers and companions."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from accounts.models import Membership, Role, User, Workspace
from agents.models import Agent, Provider
from approvals.models import AuditEvent, AuditPayload
from companions.models import Companion
from core import ledger
from tests.admin.conftest import PROVIDER_KEY, Home, url
from tests.cast import PASSWORD, Api, person

Staff = Callable[[Role], Client]
Browser = Callable[[User], Client]
NEW = "another horse battery"


def told(type_: str) -> list[tuple[AuditEvent, dict[str, Any]]]:
    """The events of this name with what they tell, in order."""
    events = AuditEvent.objects.filter(type=type_).order_by("id")
    return [(event, json.loads(AuditPayload.objects.get(event=event).data)) for event in events]


def passwords(client: Client, user: User, **more: str) -> Any:
    form = {"password1": NEW, "password2": NEW, "usable_password": "true", **more}
    return client.post(url(User, "change", user.pk).replace("change", "password"), form)


def account(user: User, **changes: object) -> dict[str, Any]:
    base = {"email": user.email, "name": user.name, "is_active": "on", **changes}
    return {name: value for name, value in base.items() if value is not None}


def test_a_change_of_an_account_is_told_in_each_workspace_of_the_person(
    here: Home, there: Home, operator: Client
) -> None:
    user = here[User]
    Membership.objects.create(workspace=there[Workspace], user=user)
    form = account(user, name="Renamed", is_active=None, is_superuser="on")
    assert operator.post(url(User, "change", user.pk), form).status_code == 302
    events = told("person.changed")
    assert {event.workspace_id for event, _ in events} == {here[Workspace].pk, there[Workspace].pk}
    boss = User.objects.get(email="operator@example.org")
    for event, data in events:
        assert (event.actor_id, event.target_kind, event.target_id) == (boss.pk, "person", user.pk)
        assert (data["before"]["is_superuser"], data["after"]["is_superuser"]) == (False, True)
        assert (data["before"]["is_active"], data["after"]["is_active"]) == (True, False)
        assert data["after"]["name"] == "Renamed"


def test_a_form_that_changes_nothing_is_not_told(here: Home, operator: Client) -> None:
    assert operator.post(url(User, "change", here[User].pk), account(here[User])).status_code == 302
    assert told("person.changed") == []


def test_an_account_that_belongs_nowhere_is_told_where_its_maker_is(here: Home, browser: Browser) -> None:
    boss = User.objects.create_superuser("boss@example.org")
    form = {"email": "new@example.org", "name": "New", "password1": NEW, "password2": NEW, "usable_password": "true"}
    assert browser(boss).post(url(User, "add"), form).status_code == 302
    [(event, data)] = told("person.changed")
    assert (event.workspace_id, data["before"], data["after"]["email"]) == (
        ledger.INSTALLATION,
        None,
        "new@example.org",
    )
    Membership.objects.create(workspace=here[Workspace], user=boss)
    browser(boss).post(url(User, "add"), {**form, "email": "next@example.org"})
    assert told("person.changed")[1][0].workspace_id == here[Workspace].pk


def test_setting_anothers_password_is_told_with_who_did_it(here: Home, there: Home, operator: Client) -> None:
    user = here[User]
    Membership.objects.create(workspace=there[Workspace], user=user)
    assert passwords(operator, user).status_code == 302
    events = told("person.password_set")
    assert {event.workspace_id for event, _ in events} == {here[Workspace].pk, there[Workspace].pk}
    boss = User.objects.get(email="operator@example.org")
    assert {(event.actor_id, event.target_id) for event, _ in events} == {(boss.pk, user.pk)}
    assert [(data["email"], data["usable"]) for _, data in events] == [(user.email, True)] * 2
    user.refresh_from_db()
    assert not any(NEW in str(data) or user.password in str(data) for _, data in events)
    assert passwords(operator, user, usable_password="false", **{"unset-password": "1"}).status_code == 302
    assert told("person.password_set")[-1][1]["usable"] is False


def test_a_password_that_was_refused_is_not_told(here: Home, staff: Staff) -> None:
    client = staff(Role.ADMIN)
    assert passwords(client, here[User], password2="something else").status_code == 200
    assert client.get(url(User, "change", here[User].pk).replace("change", "password")).status_code == 200
    assert client.get("/admin/accounts/user/nobody/password/").status_code in (302, 404)
    assert told("person.password_set") == []


def test_where_the_log_cannot_be_written_the_password_stays(
    here: Home, staff: Staff, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, user = staff(Role.ADMIN), here[User]

    def broken(*entries: ledger.Entry) -> None:
        raise RuntimeError("the log is away")

    monkeypatch.setattr(ledger, "record", broken)
    assert passwords(client, user).status_code == 500
    user.refresh_from_db()
    assert not user.check_password(NEW)


def test_ones_own_new_password_is_told(here: Home, browser: Browser) -> None:
    user = person(here[Workspace], "boss", Role.ADMIN, password=PASSWORD).user
    User.objects.filter(pk=user.pk).update(is_staff=True)
    client = browser(user)
    form = {"oldpassword": "wrong", "password1": NEW, "password2": NEW}
    page = client.get("/admin/password_change/")["Location"]
    assert client.get(page).status_code == 200
    assert client.post(page, form).status_code == 200
    assert told("person.password_set") == []
    assert client.post(page, {**form, "oldpassword": PASSWORD}).status_code == 302
    [(event, _)] = told("person.password_set")
    assert (event.actor_id, event.target_id, event.workspace_id) == (user.pk, user.pk, here[Workspace].pk)
    assert client.get("/admin/").status_code == 200


def test_only_an_operator_says_that_two_accounts_are_one_persons(here: Home, staff: Staff, operator: Client) -> None:
    first, second = person(here[Workspace], "first").user, person(here[Workspace], "second").user
    form = account(second, same_person_as=first.pk)
    client = staff(Role.ADMIN)
    assert "same_person_as" not in client.get(url(User, "change", second.pk)).text
    assert client.post(url(User, "change", second.pk), form).status_code == 302
    second.refresh_from_db()
    assert second.same_person_as is None
    assert "same_person_as" in operator.get(url(User, "change", second.pk)).text
    assert operator.post(url(User, "change", second.pk), form).status_code == 302
    second.refresh_from_db()
    assert second.same_person_as == first
    [(_, data)] = told("person.changed")
    assert (data["before"]["same_person_as"], data["after"]["same_person_as"]) == (None, str(first.pk))


def test_nobody_is_their_own_second_account_and_there_are_no_chains(here: Home, operator: Client) -> None:
    a, b, c = (person(here[Workspace], name).user for name in "abc")
    User.objects.filter(pk=b.pk).update(same_person_as=c)
    for user, other, said in (
        (a, a, "cannot be its own second account"),
        (a, b, "is a second account itself"),
        (c, a, "has second accounts"),
    ):
        page = operator.post(url(User, "change", user.pk), account(user, same_person_as=other.pk))
        assert page.status_code == 200
        assert said in page.text
        user.refresh_from_db()
        assert user.same_person_as is None
    assert told("person.changed") == []


def test_what_becomes_of_a_provider_is_told_without_its_key(here: Home, staff: Staff) -> None:
    client, where = staff(Role.ADMIN), here[Workspace]
    form = {"name": "local", "kind": "openai", "base_url": "http://ollama:11434/v1", "priority": "5", "enabled": "on"}
    client.post(url(Provider, "add"), {**form, "workspace": where.pk, "api_key": "sk-new-0123456789"})
    row = Provider.objects.get(name="local")
    moved = {**form, "base_url": "http://elsewhere:11434/v1"}
    client.post(url(Provider, "change", row.pk), moved)
    client.post(url(Provider, "change", row.pk), {**moved, "api_key": PROVIDER_KEY})
    client.post(url(Provider, "change", row.pk), moved)
    assert client.post(url(Provider, "delete", row.pk), {"post": "yes"}).status_code == 302
    events = told("provider.changed")
    me = User.objects.get(email="staff-admin@home.example")
    assert {(event.workspace_id, event.actor_id, event.target_id) for event, _ in events} == {(where.pk, me.pk, row.pk)}
    addresses = [[data[when] and data[when]["base_url"] for when in ("before", "after")] for _, data in events]
    old, new = form["base_url"], moved["base_url"]
    assert addresses == [[None, old], [old, new], [new, new], [new, None]]
    assert [data["new_key"] for _, data in events] == [True, False, True, False]
    assert not any(key in str(data) for key in ("sk-new-0123456789", PROVIDER_KEY) for _, data in events)


def test_what_becomes_of_a_companion_is_told_from_the_admin_and_the_api(
    here: Home, staff: Staff, owner: Any, client_of: Callable[..., Api]
) -> None:
    client, where = staff(Role.ADMIN), here[Workspace]
    form = {"type": "new", "name": "New", "agent": here[Agent].pk, "memory_layers": ["history"], "enabled": "on"}
    form["mood"] = "friendly"
    client.post(url(Companion, "add"), {**form, "workspace": where.pk})
    row = Companion.objects.get(type="new")
    client.post(url(Companion, "change", row.pk), {**form, "tone": "brief"})
    client.post(url(Companion, "change", row.pk), {**form, "tone": "brief"})
    answer = client_of(owner).put("/v1/ai/companions/new/config", {"tools_allowed": ["service_status"]})
    assert answer.status_code == 200, answer.text
    events = told("companion.changed")
    me = User.objects.get(email="staff-admin@home.example")
    assert [event.actor_id for event, _ in events] == [me.pk, me.pk, owner.user.pk]
    assert {(event.workspace_id, event.target_kind, event.target_id) for event, _ in events} == {
        (where.pk, "companion", row.pk)
    }
    (_, made), (_, toned), (_, narrowed) = events
    assert (made["before"], made["after"]["name"]) == (None, "New")
    assert (toned["before"]["tone"], toned["after"]["tone"]) == ("", "brief")
    assert (narrowed["before"]["tools_allowed"], narrowed["after"]["tools_allowed"]) == ([], ["service_status"])
