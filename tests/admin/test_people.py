"""Signing in, and who may make whom what."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from accounts.models import Membership, Role, User, Workspace
from chat.models import Run
from config import demo
from tests import signing_in
from tests.admin.conftest import Home, url
from tests.cast import PASSWORD, person

Staff = Callable[[Role], Client]


def test_the_demos_staff_sign_in_and_read(db: None, tmp_path: Path) -> None:
    demo.make(base_url="http://127.0.0.1:8000", file=tmp_path / "demo.json")
    users = json.loads((tmp_path / "demo.json").read_text())["users"]
    for name, login in users.items():
        client = signing_in.browser(login["email"].upper(), login["password"])
        expected = 302 if name.startswith("member") else 200
        assert client.get("/admin/").status_code == expected, name
        assert client.get(url(Run, "changelist")).status_code == expected, name


def test_an_account_is_tried_only_so_often(db: None, settings: Any) -> None:
    settings.LIMITS = {**settings.LIMITS, "login": 2}
    User.objects.create_superuser("boss@example.org", PASSWORD)
    for _ in range(2):
        page = signing_in.post("boss@example.org", "wrong")
        assert "Too many tries" not in page.text
    page = signing_in.post("BOSS@example.org", PASSWORD)
    assert "Too many tries" in page.text
    assert "_auth_user_id" not in page.client.session


def test_an_unknown_address_reads_like_a_wrong_password(db: None) -> None:
    User.objects.create_user("colleague@example.org", PASSWORD)
    User.objects.create_user("inactive@example.org", PASSWORD, is_active=False)
    tries = [("nobody@example.org", PASSWORD), ("inactive@example.org", PASSWORD), ("colleague@example.org", "wrong")]
    pages = [signing_in.post(who, what).text for who, what in tries]
    assert all("The email address and/or password you specified are not correct" in page for page in pages)
    assert signing_in.post("colleague@example.org", PASSWORD).status_code == 302


def test_nobody_makes_themselves_a_superuser(here: Home, staff: Staff) -> None:
    client = staff(Role.ADMIN)
    me = User.objects.get(email="staff-admin@home.example")
    form = {"email": me.email, "name": "Me", "is_active": "on", "is_staff": "on", "is_superuser": "on"}
    form |= {"groups": "1", "user_permissions": "1"}
    assert client.post(url(User, "change", me.pk), form).status_code == 302
    me.refresh_from_db()
    assert me.name == "Me"
    assert not me.is_superuser
    assert not me.user_permissions.exists()


def test_who_belongs_elsewhere_too_is_not_changed(here: Home, there: Home, staff: Staff) -> None:
    client, shared = staff(Role.ADMIN), there[User]
    Membership.objects.create(workspace=here[Workspace], user=shared)
    boss = person(here[Workspace], "boss").user
    User.objects.filter(pk=boss.pk).update(is_superuser=True)
    for user in (shared, boss):
        assert client.get(url(User, "change", user.pk)).status_code == 200
        change = {"email": "mine@example.org", "is_active": "on"}
        assert client.post(url(User, "change", user.pk), change).status_code == 403
        passwords = {"password1": PASSWORD, "password2": PASSWORD, "usable_password": "true"}
        assert client.post(url(User, "change", user.pk).replace("change", "password"), passwords).status_code == 403
        before = user.email, user.password
        user.refresh_from_db()
        assert (user.email, user.password) == before


def test_an_admin_sets_a_members_password(here: Home, staff: Staff) -> None:
    client, user = staff(Role.ADMIN), here[User]
    passwords = {"password1": PASSWORD, "password2": PASSWORD, "usable_password": "true"}
    assert client.post(url(User, "change", user.pk).replace("change", "password"), passwords).status_code == 302
    user.refresh_from_db()
    assert user.check_password(PASSWORD)


def test_an_operator_makes_an_account(operator: Client) -> None:
    form = {"email": "New@Example.org", "name": "New", "password1": PASSWORD, "password2": PASSWORD}
    page = operator.post(url(User, "add"), {**form, "usable_password": "true"})
    assert page.status_code == 302
    assert User.objects.get(email="new@example.org").check_password(PASSWORD)
    again = operator.post(url(User, "add"), {**form, "usable_password": "true"})
    assert again.status_code == 200
    assert "already exists" in again.text


def test_an_admin_adds_a_member_by_address(here: Home, staff: Staff) -> None:
    client = staff(Role.ADMIN)
    form = {"workspace": here[Workspace].pk, "email": "New@Example.org", "name": "New", "role": "manager"}
    assert client.post(url(Membership, "add"), form).status_code == 302
    made = Membership.objects.get(user__email="new@example.org")
    assert (made.role, made.workspace) == ("manager", here[Workspace])
    again = client.post(url(Membership, "add"), form)
    assert again.status_code == 200
    assert "member already" in again.text


def test_the_last_admin_stays_one(here: Home, staff: Staff) -> None:
    client = staff(Role.ADMIN)
    mine = Membership.objects.get(user__email="staff-admin@home.example")
    page = client.post(url(Membership, "change", mine.pk), {"role": "member"})
    assert page.status_code == 200
    assert "last admin" in page.text
    page = client.post(url(Membership, "delete", mine.pk), {"post": "yes"}, follow=True)
    assert "last admin" in page.text
    mine.refresh_from_db()
    assert mine.role == Role.ADMIN


def test_an_admin_changes_a_role_and_ends_a_membership(here: Home, staff: Staff) -> None:
    client, row = staff(Role.ADMIN), here[Membership]
    assert client.post(url(Membership, "change", row.pk), {"role": "auditor"}).status_code == 302
    row.refresh_from_db()
    assert row.role == Role.AUDITOR
    assert client.post(url(Membership, "delete", row.pk), {"post": "yes"}).status_code == 302
    assert not Membership.objects.filter(pk=row.pk).exists()
    assert User.objects.filter(pk=row.user_id).exists()


def test_what_a_workspace_paid_for_is_not_its_admins_to_say(here: Home, staff: Staff) -> None:
    form = {
        "name": "Renamed",
        "tier": "enterprise",
        "slug": "stolen",
        "default_model": "gpt-4o",
        "conversation_days": "0",
    }
    form["fallback_models"] = "gpt-4o-mini\n\nrehearsal"
    assert staff(Role.ADMIN).post(url(Workspace, "change", here[Workspace].pk), form).status_code == 302
    row = Workspace.objects.get(pk=here[Workspace].pk)
    assert (row.name, row.default_model) == ("Renamed", "gpt-4o")
    assert row.fallback_models == ["gpt-4o-mini", "rehearsal"]
    assert (row.tier, row.slug) == ("self-hosted", "home")


@pytest.mark.parametrize("model", [Workspace, User])
def test_workspaces_and_people_are_not_deleted_by_a_click(model: type, here: Home, operator: Client) -> None:
    assert operator.post(url(model, "delete", here[model].pk), {"post": "yes"}).status_code == 403
    assert model.objects.filter(pk=here[model].pk).exists()
