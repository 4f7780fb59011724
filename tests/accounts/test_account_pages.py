"""Passwords, sessions and letters: the pages below `/account/`, and what they leave behind."""

import re
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.conf import settings
from django.core import mail
from django.db import connection
from django.test import Client

from accounts.models import Letter, User
from accounts.services import letters, people
from approvals.models import AuditEvent
from tests import signing_in
from tests.cast import PASSWORD, Api

NEW = "a brand new password"


def last_letter() -> Letter:
    return Letter.objects.latest("created_at")


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"]
)
def test_nobody_is_sent_to_another_origin(member, target, settings):
    settings.CSRF_TRUSTED_ORIGINS = ["https://evil.example"]
    answer = Client().post("/account/login/", {"login": member.user.email, "password": PASSWORD, "next": target})
    assert answer["Location"] == "/"


def test_the_admins_login_leads_to_the_page_and_back(member):
    User.objects.filter(pk=member.user.pk).update(is_staff=True)
    client = Client()
    asked = client.get("/admin/login/", {"next": "/admin/accounts/user/"})
    assert asked["Location"] == "/account/login/?next=%2Fadmin%2Faccounts%2Fuser%2F"
    data = {"login": member.user.email, "password": PASSWORD, "next": "/admin/accounts/user/"}
    assert client.post("/account/login/", data)["Location"] == "/admin/accounts/user/"


def test_who_is_no_staff_is_told_so_and_not_sent_in_circles(member):
    client = signing_in.browser(member.user.email, PASSWORD)
    assert client.get("/admin/", follow=True).status_code == 403


def test_a_session_is_another_after_sign_in_and_lasts_a_working_day(member):
    client = Client()
    client.get("/account/oidc/none/login/")
    session = client.session
    session["before"] = True
    session.save()
    before = session.session_key
    client.cookies[settings.SESSION_COOKIE_NAME] = before
    signing_in.post(member.user.email, PASSWORD, client=client)
    cookie = client.cookies[settings.SESSION_COOKIE_NAME]
    assert cookie.value != before
    assert (cookie["max-age"], cookie["httponly"], cookie["samesite"]) == (43_200, True, "Lax")


def test_a_new_password_ends_all_other_sessions_and_tokens(member):
    here, there = (signing_in.browser(member.user.email, PASSWORD) for _ in range(2))
    refresh = Api().post("/v1/auth/login", {"email": member.user.email, "password": PASSWORD}).json()["refresh"]
    form = {"oldpassword": PASSWORD, "password1": NEW, "password2": NEW}
    assert here.post("/account/password/change/", form).status_code == 302
    assert here.get("/account/").status_code == 200
    assert there.get("/account/").status_code == 302
    assert Api().post("/v1/auth/refresh", {"refresh": refresh}).status_code == 401
    assert AuditEvent.objects.filter(type="person.password_set", target_id=member.user.pk).count() == 1
    assert last_letter().to == member.user.email


def test_a_weak_password_is_refused(member):
    client = signing_in.browser(member.user.email, PASSWORD)
    for weak in ("short", "password1234", member.user.email):
        form = {"oldpassword": PASSWORD, "password1": weak, "password2": weak}
        assert client.post("/account/password/change/", form).status_code == 200
    assert signing_in.post(member.user.email, PASSWORD).status_code == 302


def test_deactivation_ends_every_session(member, owner):
    client = signing_in.browser(member.user.email, PASSWORD)
    member.user.is_active = False
    people.save(member.user, by=owner.user)
    assert client.get("/account/").status_code == 302
    assert client.get("/v1/ai/companions").status_code == 401


def test_a_forgotten_password_is_set_by_a_link_that_opens_once(member):
    client = Client()
    assert client.post("/account/password/reset/", {"email": member.user.email}).status_code == 302
    letter = last_letter()
    assert letter.to == member.user.email
    link = re.search(rf"{re.escape(settings.PUBLIC_URL)}(/account/password/reset/key/\S+)", letter.text)[1]
    form = client.get(link)["Location"]
    assert client.post(form, {"password1": NEW, "password2": NEW}).status_code == 302
    assert signing_in.post(member.user.email, NEW).status_code == 302
    assert "opens no more" in Client().get(link).text
    assert AuditEvent.objects.filter(type="person.password_set").count() == 1
    assert EmailAddress.objects.get(user=member.user).verified, "whoever opened it reads the mail"


@pytest.mark.django_db(transaction=True)
def test_a_password_of_which_the_log_cannot_be_told_stays_as_it_was(member, monkeypatch):
    def breaks(*_: Any, **__: Any) -> None:
        raise ConnectionError

    client = signing_in.browser(member.user.email, PASSWORD)
    client.raise_request_exception = False
    form = {"oldpassword": PASSWORD, "password1": NEW, "password2": NEW}
    with monkeypatch.context() as broken:
        broken.setattr(people, "tell", breaks)
        assert client.post("/account/password/change/", form).status_code == 500
    assert User.objects.get(pk=member.user.pk).check_password(PASSWORD)
    assert not Letter.objects.exists()
    assert client.post("/account/password/change/", form).status_code == 302
    assert User.objects.get(pk=member.user.pk).check_password(NEW)


def test_asking_for_a_link_tells_nothing_of_who_is_there(member):
    pages = [Client().post("/account/password/reset/", {"email": who}) for who in (member.user.email, "no@x.example")]
    assert len({(page.status_code, page["Location"]) for page in pages}) == 1
    assert [letter.to for letter in Letter.objects.all()] == [member.user.email]


@pytest.mark.parametrize("who", ["member@home.example", "nobody@x.example"])
def test_where_passwords_are_off_as_much_is_done_for_everybody(member, settings, monkeypatch, who):
    pretended = []
    monkeypatch.setattr(letters, "pretend", lambda to, subject, text: pretended.append(to))
    settings.OIDC_ONLY = True
    Client().post("/account/password/reset/", {"email": who})
    assert pretended == [who]
    assert not Letter.objects.exists()


def test_without_a_mail_server_nothing_that_opens_an_account_is_printed_and_people_are_told(member, settings, capsys):
    settings.EMAIL_BACKEND = letters.PRINTED
    assert "Ask an admin for a new password" in Client().get("/account/password/reset/").text
    done = Client().post("/account/password/reset/", {"email": member.user.email}, follow=True)
    assert "An admin can give you a new password" in done.text
    assert Letter.objects.count() == 1
    assert letters.post() == 0
    assert not Letter.objects.exists()
    assert "/account/password/reset/key/" not in capsys.readouterr().out
    settings.EMAIL_HOST = "mail.example"
    assert "Send the link" in Client().get("/account/password/reset/").text
    assert "a link is on its way" in Client().get("/account/password/reset/done/").text


def test_an_address_that_was_given_up_opens_nothing_any_more(member, owner):
    old = member.user.email
    Client().post("/account/password/reset/", {"email": old})
    link = re.search(rf"{re.escape(settings.PUBLIC_URL)}(/account/password/reset/key/\S+)", last_letter().text)[1]
    member.user.email = "renamed@home.example"
    people.save(member.user, by=owner.user)
    assert "opens no more" in Client().get(link).text
    Letter.objects.all().delete()
    Client().post("/account/password/reset/", {"email": old})
    assert not Letter.objects.exists()
    assert signing_in.post(old, PASSWORD).status_code == 200


def test_nobody_signs_up(db):
    for _ in range(2):
        form = {"email": "new@x.example", "password1": NEW, "password2": NEW}
        assert Client().post("/account/signup/", form).status_code == 403
    assert not User.objects.exists()


def test_somebody_sees_where_they_are_signed_in_and_ends_the_rest(member, stranger):
    here = Client(headers={"User-Agent": "Browser of today"})
    signing_in.post(member.user.email, PASSWORD, client=here)
    there = Client(headers={"User-Agent": "Browser of yesterday"})
    signing_in.post(member.user.email, PASSWORD, client=there)
    other = Client()
    other.force_login(stranger.user)
    page = here.get("/account/sessions/").text
    assert "Browser of today" in page
    assert "Browser of yesterday" in page
    assert "Browser of" not in other.get("/account/sessions/").text
    here.post("/account/sessions/")
    assert there.get("/account/").status_code == 302
    assert here.get("/account/").status_code == 200


def test_a_letter_is_sealed_until_it_is_sent_and_gone_afterwards(db):
    letters.write("a@b.example", "A subject\nwith lines", "canary-7f3a91")
    with connection.cursor() as cursor:
        cursor.execute("SELECT text FROM accounts_letter")
        assert "7f3a91" not in cursor.fetchone()[0]
    assert letters.post() == 1
    assert not Letter.objects.exists()
    (sent,) = mail.outbox
    assert (sent.to, sent.subject, sent.body) == (["a@b.example"], "A subject with lines", "canary-7f3a91")
    assert letters.post() == 0


def test_a_letter_waits_for_a_mail_server_that_is_away_and_is_given_up_one_day(db, settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    letters.write("a@b.example", "Subject", "text")
    assert letters.post() == 0
    assert letters.post() == 0  # it is not due
    assert Letter.objects.get().attempts == 1
    for _ in range(len(letters.DELAYS)):
        Letter.objects.update(not_before="2020-01-01T00:00:00Z")
        letters.post()
    assert not Letter.objects.exists()


def test_a_letter_that_cannot_be_built_is_given_up_and_keeps_none_waiting(db):
    letters.write(f"x@{'é' * 60}.com", "Subject", "text")
    letters.write("a@b.example", "Subject", "text")
    assert letters.post() == 1
    assert [message.to for message in mail.outbox] == [["a@b.example"]]
    assert not Letter.objects.exists()


def test_no_page_carries_inline_code(member):
    client = signing_in.browser(member.user.email, PASSWORD)
    client.post("/account/reauthenticate/", {"password": PASSWORD})
    pages = ["/account/", "/account/password/change/", "/account/2fa/", "/account/2fa/totp/activate/"]
    pages += ["/account/sessions/", "/account/2fa/webauthn/add/", "/account/2fa/webauthn/", "/account/logout/"]
    asked = [(client, page) for page in pages]
    asked += [(Client(), page) for page in ("/account/login/", "/account/password/reset/", "/account/signup/")]
    for browser, page in asked:
        answer = browser.get(page)
        assert "script-src 'self';" in answer["Content-Security-Policy"], page
        for attributes in re.findall(r"<script([^>]*)>", answer.text):
            assert "src=" in attributes or 'type="application/json"' in attributes, page
        assert not re.search(r"\son\w+=|\sstyle=|<style", answer.text), page


@pytest.mark.parametrize("path", ["/account/login/", "/", "/api/docs/", "/admin/login/"])
def test_a_form_without_a_boundary_is_refused_and_no_fault(db, path):
    client = Client(enforce_csrf_checks=True, raise_request_exception=False)
    assert client.post(path, b"x", content_type="multipart/form-data").status_code in (302, 400, 403, 405)


@pytest.mark.parametrize(
    "where",
    [
        "", "login/", "password/reset/", "password/change/", "logout/", "2fa/", "sessions/", "2fa/totp/activate/",
        "2fa/totp/deactivate/", "2fa/recovery-codes/generate/", "2fa/recovery-codes/", "2fa/webauthn/",
        "2fa/webauthn/add/", "reauthenticate/", "2fa/reauthenticate/", "2fa/authenticate/",
    ],
)  # fmt: skip
def test_titles_labels_and_buttons_are_written_as_sentences(member, where):
    client = Client() if where in ("login/", "password/reset/") else signing_in.browser(member.user.email, PASSWORD)
    client.post("/account/reauthenticate/", {"password": PASSWORD})
    if where not in ("2fa/totp/activate/",):
        TOTP.activate(member.user, generate_totp_secret())
        RecoveryCodes.activate(member.user)
    if where == "2fa/authenticate/":
        signing_in.post(member.user.email, PASSWORD, client=(client := Client()))
    answer = client.get(f"/account/{where}")
    assert answer.status_code == 200, answer.get("Location")
    main = answer.content.decode().partition("<main")[2]
    for text in re.findall(r"<(?:h1|h2|label|button|a)\b[^>]*>\s*([^<]+?)\s*<", main):
        assert not re.search(r"(?<!^)(?<![.:?] )\b[A-Z][a-z]", text), text
    assert 'placeholder="' not in main or 'placeholder="Code"' in main


def test_sessions_say_which_ends_and_end_elsewhere(member):
    here, there = (signing_in.browser(member.user.email, PASSWORD) for _ in range(2))
    page = here.get("/account/sessions/").content.decode()
    assert (page.count('<li class="card">'), page.count("This browser<")) == (2, 1)
    assert "whoever uses them has to sign in again" in page
    assert "You are signed out everywhere else." in here.post("/account/sessions/", follow=True).content.decode()
    assert [one.get("/account/").status_code for one in (here, there)] == [200, 302]
