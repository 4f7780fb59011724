"""Guessing passwords: who is locked out where, for whom nothing changes, and who lets them try again."""

import pytest
from axes.models import AccessAttempt
from django.test import Client

from accounts.models import User
from approvals.models import AuditEvent
from tests import signing_in
from tests.cast import PASSWORD, Api

ELSEWHERE = {"REMOTE_ADDR": "10.1.2.3"}


@pytest.fixture(autouse=True)
def _three_tries(settings):
    settings.AXES_FAILURE_LIMIT = 3


def api(email, password, **more):
    return Api().post("/v1/auth/login", {"email": email, "password": password}, **more)


def guess(email, times=3, **more):
    return [signing_in.post(email, "wrong", **more).status_code for _ in range(times)]


def test_after_too_many_failures_the_right_password_does_not_help_from_there(member):
    assert guess(member.user.email) == [200, 200, 429]
    page = signing_in.post(member.user.email, PASSWORD, headers={"Accept": "text/html"})
    assert (page.status_code, page["Retry-After"]) == (429, "900")
    assert "Too many failed tries. Wait 15 minutes, or ask an admin" in page.text
    told = api(member.user.email.upper(), PASSWORD)
    assert (told.status_code, told.json()["code"]) == (429, "sign_in_locked")


def test_a_stranger_locks_nobody_out_of_their_own_account(member):
    guess(member.user.email, **ELSEWHERE)
    assert signing_in.post(member.user.email, PASSWORD, **ELSEWHERE).status_code == 429
    assert signing_in.post(member.user.email, PASSWORD).status_code == 302


def test_who_is_locked_out_uses_up_no_try_of_the_person_s(member, settings):
    settings.LIMITS = {**settings.LIMITS, "login": 5}
    guess(member.user.email, **ELSEWHERE)
    for _ in range(3):
        assert signing_in.post(member.user.email, "wrong", **ELSEWHERE).status_code == 429
        assert api(member.user.email, "wrong", **ELSEWHERE).json()["code"] == "sign_in_locked"
    assert signing_in.post(member.user.email, PASSWORD).status_code == 302
    assert api(member.user.email, PASSWORD).status_code == 200


def test_failures_at_the_api_and_on_pages_count_together(member):
    assert [api(member.user.email, "wrong").status_code for _ in range(2)] == [401, 401]
    assert guess(member.user.email, 1) == [429]
    assert api(member.user.email, PASSWORD).status_code == 429


def test_an_unknown_name_is_locked_as_a_known_one_and_what_was_typed_is_not_kept(member):
    known, unknown = guess(member.user.email), guess("canary-7f3a91@example.org")
    assert known == unknown
    kept = AccessAttempt.objects.exclude(username=member.user.email).get()
    assert kept.username.startswith("unknown:")
    assert "7f3a91" not in f"{kept.username}{kept.post_data}{kept.get_data}"
    assert "wrong" not in AccessAttempt.objects.get(username=member.user.email).post_data


def test_who_signs_in_starts_anew(member):
    for _ in range(2):
        assert guess(member.user.email, 2) == [200, 200]
        assert signing_in.post(member.user.email, PASSWORD).status_code == 302
    assert api(member.user.email, "wrong").status_code == 401
    assert api(member.user.email, PASSWORD).status_code == 200
    assert not AccessAttempt.objects.exists()


def test_a_header_does_not_make_another_address_of_one(member):
    for last in range(2):
        signing_in.post(member.user.email, "wrong", headers={"X-Forwarded-For": f"1.2.3.{last}"})
    assert guess(member.user.email, 1) == [429]


def test_a_lock_is_in_the_log_once_and_an_admin_opens_it(member, owner, stranger):
    guess(member.user.email, 4)
    assert AuditEvent.objects.filter(type="login.locked", target_id=member.user.pk).count() == 1
    attempt = AccessAttempt.objects.first()
    address = f"/admin/axes/accessattempt/{attempt.pk}/unlock/"
    for who in (stranger, owner):
        User.objects.filter(pk=who.user.pk).update(is_staff=True)
        client = Client()
        client.force_login(who.user)
        listed = client.get("/admin/axes/accessattempt/").text
        assert (member.user.email in listed) == (who is owner)
        client.post(address)
        assert AccessAttempt.objects.exists() == (who is stranger)
    assert AuditEvent.objects.filter(type="login.unlocked", actor_id=owner.user.pk).count() == 1
    assert signing_in.post(member.user.email, PASSWORD).status_code == 302


@pytest.mark.parametrize("path", ["add/", "1/delete/"])
def test_attempts_are_neither_made_nor_deleted_by_hand(member, owner, path):
    guess(member.user.email, 1)
    client = Client()
    client.force_login(User.objects.create_superuser("boss@example.org"))
    pk = AccessAttempt.objects.get().pk
    assert client.post(f"/admin/axes/accessattempt/{path.replace('1', str(pk))}").status_code == 403
