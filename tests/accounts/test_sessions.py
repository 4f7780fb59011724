"""Sessions of browsers are kept until they end."""

from datetime import timedelta

from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.db.models.functions import Now
from django.test import Client

from chat.services import housekeeping
from tests import signing_in
from tests.cast import PASSWORD


def test_sessions_past_their_end_go_and_what_lists_them(member):
    browsers = [Client(), Client(), Client()]
    for one in browsers:
        signing_in.post(member.user.email, PASSWORD, client=one)
    old, left, kept = (one.session.session_key for one in browsers)
    Session.objects.filter(pk=old).update(expire_date=Now() - timedelta(seconds=1))
    browsers[1].post("/account/logout/")
    assert housekeeping.run() == 3
    assert set(Session.objects.values_list("pk", flat=True)) >= {kept}
    assert not Session.objects.filter(pk__in=(old, left)).exists()
    assert [one.session_key for one in UserSession.objects.all()] == [kept]
    assert browsers[2].get("/account/").status_code == 200
