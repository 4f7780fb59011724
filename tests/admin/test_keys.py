"""API keys in the admin: made once, shown once, rotated, revoked."""

import re
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.sessions.models import Session
from django.test import Client

from accounts.models import ApiKey, Role, User, Workspace
from accounts.services import keys
from tests.admin.conftest import Home, url

Staff = Callable[[Role], Client]


def form_of(home: Home, **changes: object) -> dict[str, Any]:
    base = {"workspace": home[Workspace].pk, "user": home[User].pk, "name": "New", "kind": "secret", "mode": "live"}
    return {**base, **changes}


def shown(text: str) -> str:
    found = re.search(r'<code class="secret">([^<]+)</code>', text)
    assert found is not None
    return found[1]


def test_a_new_key_is_shown_once_and_works(here: Home, staff: Staff) -> None:
    client = staff(Role.ADMIN)
    page = client.post(url(ApiKey, "add"), form_of(here, scopes="chat\nread\nchat"), follow=True)
    text = shown(page.text)
    assert "You made it for somebody else" in page.text
    assert keys.verify(text).user == here[User]
    made = ApiKey.objects.get(name="New")
    assert made.scopes == ["chat", "read"]
    for address in (url(ApiKey, "changelist"), url(ApiKey, "change", made.pk), "/admin/"):
        assert text not in client.get(address).text
    assert not any(text in cookie.value for cookie in client.cookies.values())
    assert not any(text in str(session.get_decoded()) for session in Session.objects.all())
    assert "no-store" in page["Cache-Control"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"kind": "publishable"}, "names the origins"),
        ({"kind": "publishable", "origins": "javascript:alert(1)"}, "a scheme and a host"),
        ({"kind": "scoped", "mode": "test"}, "there is no key of kind"),
        ({"scopes": "NOT A SCOPE"}, "short name in lower case"),
        ({"kind": "scoped", "scopes": "agent:hestia"}, "agent:&lt;id&gt;"),
        ({"kind": "secret", "scopes": f"agent:{uuid4()}"}, "for keys of kind scoped"),
        ({"name": ""}, "required"),
        ({"user": "1e400"}, "Select a valid choice"),
        ({"user": "\0"}, "Select a valid choice"),
        ({"workspace": "1e400"}, "Select a valid choice"),
    ],
)
def test_what_does_not_fit_is_told_in_the_form(changes: dict[str, str], told: str, here: Home, staff: Staff) -> None:
    page = staff(Role.ADMIN).post(url(ApiKey, "add"), form_of(here, **changes))
    assert page.status_code == 200
    assert told in page.text
    assert ApiKey.objects.count() == 1


def test_a_key_of_one_agent_is_made_here(here: Home, staff: Staff) -> None:
    scopes = f"agent:{uuid4()}\nteam:{uuid4()}"
    page = staff(Role.ADMIN).post(url(ApiKey, "add"), form_of(here, kind="scoped", scopes=scopes), follow=True)
    assert shown(page.text).startswith("at_cs_")
    assert ApiKey.objects.get(name="New").scopes == scopes.split("\n")


def test_a_key_acts_for_members_alone(here: Home, there: Home, operator: Client) -> None:
    page = operator.post(url(ApiKey, "add"), form_of(here, user=there[User].pk))
    assert "is no member of the workspace" in page.text
    assert not ApiKey.objects.filter(name="New").exists()


def test_rotation_asks_first_and_shows_the_successor_once(here: Home, staff: Staff) -> None:
    client, key = staff(Role.ADMIN), here[ApiKey]
    address = url(ApiKey, "rotate", key.pk)
    assert "Rotate" in client.get(address).text
    assert ApiKey.objects.count() == 1
    assert client.post(address, {"grace": "-1"}).status_code == 200
    assert ApiKey.objects.count() == 1
    text = shown(client.post(address, {"grace": "1"}).text)
    assert keys.verify(text).user == here[User]
    assert keys.verify(here.secret)
    assert "Rotated to" in client.get(url(ApiKey, "history", key.pk)).text
    again = client.post(address, {"grace": "1"}, follow=True)
    assert "revoked or rotated already" in again.text


def test_revoking_asks_first_and_ends_the_key(here: Home, staff: Staff) -> None:
    client, key = staff(Role.ADMIN), here[ApiKey]
    address = url(ApiKey, "revoke", key.pk)
    client.get(address)
    assert keys.verify(here.secret)
    assert "is revoked" in client.post(address, follow=True).text
    with pytest.raises(keys.KeyRefused):
        keys.verify(here.secret)


def test_several_are_revoked_from_the_list(here: Home, there: Home, staff: Staff) -> None:
    chosen = {"action": "revoke_selected", "_selected_action": [here[ApiKey].pk, there[ApiKey].pk]}
    page = staff(Role.ADMIN).post(url(ApiKey, "changelist"), chosen, follow=True)
    assert "Revoked: 1" in page.text
    assert keys.verify(there.secret)
    with pytest.raises(keys.KeyRefused):
        keys.verify(here.secret)


def test_a_manager_neither_rotates_nor_revokes(here: Home, staff: Staff) -> None:
    client = staff(Role.MANAGER)
    for page in ("rotate", "revoke"):
        assert client.post(url(ApiKey, page, here[ApiKey].pk), {"grace": "1"}).status_code == 403
    chosen = {"action": "revoke_selected", "_selected_action": [here[ApiKey].pk]}
    client.post(url(ApiKey, "changelist"), chosen)
    assert keys.verify(here.secret)
    assert ApiKey.objects.count() == 1


def test_a_forged_form_does_nothing(here: Home) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_superuser("boss@example.org"))
    assert client.post(url(ApiKey, "revoke", here[ApiKey].pk)).status_code == 403
    assert keys.verify(here.secret)
