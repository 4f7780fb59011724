"""Channels that several admins change: each changes what they say, and no more than there may be are made."""

import pytest

from approvals.models import NotificationChannel
from approvals.services import channels
from tests.crowd import crowd

pytestmark = pytest.mark.django_db
URL = "https://93.184.215.14/services/T000/B000/the-secret-path-7Xb2"
NEW = {"name": "On call", "kind": "slack", "url": URL}


def test_what_is_changed_of_a_channel_puts_nothing_back_that_another_changed(owner):
    channels.create(by=owner, **NEW)
    stale = channels.find(NotificationChannel.objects.get().pk, by=owner)
    channels.change(stale, by=owner, url=f"{URL}-new", events=["approval.requested"], enabled=False)
    channels.change(stale, by=owner, name="Night")
    row = NotificationChannel.objects.get()
    assert (row.name, row.url, row.shown) == ("Night", f"{URL}-new", "93.184.215.14 …-new")
    assert (row.events, row.enabled) == (["approval.requested"], False)
    channels.delete(row, by=owner)
    with pytest.raises(channels.UnknownChannel):
        channels.change(stale, by=owner, name="Day")


@pytest.mark.django_db(transaction=True)
def test_of_several_that_make_the_last_channel_at_once_one_does(owner, monkeypatch):
    monkeypatch.setattr(channels, "MOST", 1)
    with crowd(4) as at_once:
        told = at_once([lambda name=name: channels.create(by=owner, **{**NEW, "name": name}).name for name in "abcd"])
    assert sorted(told)[1:] == ["too_many_channels"] * 3
    assert NotificationChannel.objects.count() == 1
