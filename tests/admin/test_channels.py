"""Notification channels in the admin: made, changed, tried out; their addresses are taken and never shown."""

from collections.abc import Callable

import pytest
from django.test import Client

from accounts.models import Role
from approvals.models import NotificationChannel, OutboxItem
from tests.admin.conftest import PROVIDER_KEY, Home, url

Staff = Callable[[Role], Client]
URL = "https://93.184.215.14/services/the-secret-path-7Xb2"


def form(home: Home, **changes: object) -> dict[str, object]:
    """What an admin fills in."""
    said = {"workspace": str(home[NotificationChannel].workspace_id), "name": "Night", "kind": "teams", "url": URL}
    return {**said, "enabled": "on", "events": ["approval.requested"], **changes}


def test_an_admin_makes_a_channel_whose_address_is_never_shown(here: Home, staff: Staff) -> None:
    client = staff(Role.ADMIN)
    answer = client.post(url(NotificationChannel, "add"), form(here), follow=True)
    made = NotificationChannel.objects.get(name="Night")
    assert (made.kind, made.url, made.events, made.enabled) == ("teams", URL, ["approval.requested"], True)
    page = client.get(url(NotificationChannel, "change", made.pk))
    assert "93.184.215.14 …7Xb2" in page.text
    for one in (answer, page, client.get(url(NotificationChannel, "changelist"))):
        assert "secret-path" not in one.text


@pytest.mark.parametrize("changes", [{"url": ""}, {"url": "http://127.0.0.1/x"}, {"name": ""}, {"kind": "pager"}])
def test_what_does_not_fit_is_told_in_the_form(here: Home, staff: Staff, changes: dict[str, object]) -> None:
    answer = staff(Role.ADMIN).post(url(NotificationChannel, "add"), form(here, **changes))
    assert answer.status_code == 200
    assert not NotificationChannel.objects.filter(kind="teams").exists()


def test_a_change_keeps_the_address_and_starts_anew(here: Home, staff: Staff) -> None:
    channel = here[NotificationChannel]
    NotificationChannel.objects.filter(pk=channel.pk).update(enabled=False, disabled_reason="It failed.")
    answer = staff(Role.ADMIN).post(url(NotificationChannel, "change", channel.pk), form(here, url=""))
    assert answer.status_code == 302, answer.context["adminform"].form.errors
    channel.refresh_from_db()
    assert (channel.name, channel.kind, channel.url) == ("Night", "slack", PROVIDER_KEY)
    assert (channel.enabled, channel.disabled_reason) == (True, "")


def test_an_admin_sends_a_test_after_being_asked_and_nobody_else_does(here: Home, staff: Staff) -> None:
    path = url(NotificationChannel, "send_test", here[NotificationChannel].pk)
    OutboxItem.objects.all().delete()
    for role in (Role.MANAGER, Role.AUDITOR):
        assert staff(role).post(path).status_code == 403
    client = staff(Role.ADMIN)
    assert "Send it" in client.get(path).text
    assert not OutboxItem.objects.exists()
    assert client.post(path).status_code == 302
    assert OutboxItem.objects.get().type == "channel.test"


def test_an_admin_deletes_a_channel(here: Home, staff: Staff) -> None:
    path = url(NotificationChannel, "delete", here[NotificationChannel].pk)
    assert staff(Role.ADMIN).post(path, {"post": "yes"}).status_code == 302
    assert not NotificationChannel.objects.exists()
