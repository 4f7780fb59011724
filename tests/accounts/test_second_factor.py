"""Two-factor sign-in: on pages, at the API, where a workspace requires it, and when it is lost."""

import time
from typing import Any
from urllib.parse import urlsplit

import pytest
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, generate_totp_secret, hotp_value
from django.core.cache import cache
from django.db import connection
from django.test import Client

from accounts.models import Actor, Invitation, Letter, Role, User, Workspace
from accounts.services import invitations, login, mfa
from approvals.models import AuditEvent
from core import sealed
from tests import signing_in
from tests.cast import PASSWORD, Api, person


def code_of(secret: str, step: int = 0) -> str:
    """The code that an app shows now, or some steps of half a minute later."""
    return format_hotp_value(hotp_value(secret, int(time.time()) // 30 + step))


@pytest.fixture
def secret(member) -> str:
    """The secret of the member's authenticator app."""
    made = generate_totp_secret()
    TOTP.activate(member.user, made)
    return made


@pytest.fixture
def codes(member, secret) -> list[str]:
    """The member's recovery codes."""
    return RecoveryCodes.activate(member.user).generate_codes()


def enter(email: str, code: str) -> tuple[Client, Any]:
    """A browser that gave the password and then the code, and the last answer."""
    client = Client()
    assert signing_in.post(email, PASSWORD, client=client)["Location"] == "/account/2fa/authenticate/"
    return client, client.post("/account/2fa/authenticate/", {"code": code})


def in_session(client: Client) -> bool:
    return "_auth_user_id" in client.session


def token(member, code: str = "", password: str = PASSWORD) -> Any:
    body = {"email": member.user.email, "password": password, **({"code": code} if code else {})}
    return Api().post("/v1/auth/login", body)


def events(kind: str) -> int:
    return AuditEvent.objects.filter(type=kind).count()


def test_the_password_alone_opens_nothing(member, secret):
    client = Client()
    signing_in.post(member.user.email, PASSWORD, client=client)
    assert not in_session(client)
    assert client.get("/admin/").status_code == 302
    assert client.get("/v1/ai/companions").status_code == 401
    assert events("login.succeeded") == 0


def test_the_code_of_the_app_signs_in_once(member, secret):
    code = code_of(secret)
    client, answer = enter(member.user.email, code)
    assert (answer.status_code, answer["Location"], in_session(client)) == (302, "/", True)
    assert events("login.succeeded") == 1
    again, answer = enter(member.user.email, code)
    assert ("Wait for the next one" in answer.text, in_session(again)) == (True, False)
    assert token(member, code).status_code == 401


def test_a_wrong_code_is_refused_recorded_and_counted(member, secret):
    client, answer = enter(member.user.email, "000000")
    assert ("Incorrect code" in answer.text, in_session(client)) == (True, False)
    assert events("login.failed") == 1
    for _ in range(5):
        answer = client.post("/account/2fa/authenticate/", {"code": "000000"})
    assert "Too many" in answer.text
    assert "Too many" in client.post("/account/2fa/authenticate/", {"code": code_of(secret)}).text


def test_a_recovery_code_signs_in_once_and_its_person_is_told(member, codes):
    client, answer = enter(member.user.email, codes[0])
    assert (answer.status_code, in_session(client)) == (302, True)
    assert events("mfa.recovery_code_used") == 1
    assert [letter.to for letter in Letter.objects.all()] == [member.user.email]
    _, answer = enter(member.user.email, codes[0])
    assert "Incorrect code" in answer.text


def test_the_api_asks_for_the_code(member, secret, codes):
    told = token(member)
    assert (told.status_code, told.json()["code"]) == (401, "mfa_required")
    assert token(member, password="wrong").json()["code"] == "login_failed"
    assert token(member, "000000").json()["code"] == "login_failed"
    code = code_of(secret)
    assert token(member, code).status_code == 200
    assert token(member, code).status_code == 401
    assert token(member, codes[1]).status_code == 200


def test_wrong_codes_are_counted_and_neither_wrong_passwords_nor_right_codes_are(member, secret, codes, settings):
    settings.LIMITS, settings.AXES_FAILURE_LIMIT = {**settings.LIMITS, "login": 100}, 100
    for _ in range(6):
        assert token(member, "000000", password="wrong").json()["code"] == "login_failed"
    assert token(member, codes[0]).status_code == 200
    assert [token(member, "000000").status_code for _ in range(5)] == [401] * 5
    told = token(member, codes[1])
    assert (told.status_code, told.json()["code"]) == (429, "rate_limited")
    _, answer = enter(member.user.email, codes[1])
    assert "Too many codes" in answer.text, "the page counts the same"


def test_a_code_counts_once_for_as_long_as_clocks_may_be_off(member, secret):
    code = code_of(secret, 1)
    assert token(member, code).status_code == 200
    for again in (code, f"{code[:3]} {code[3:]}"):
        cache.delete(f"allauth.mfa.totp.used?user={member.user.pk}&code={code}")  # which lasts for half a minute
        assert token(member, again).status_code == 401
        _, answer = enter(member.user.email, again)
        assert "Wait for the next one" in answer.text
    assert "Wait for the next one" in token(member, code).json()["detail"]


def test_the_code_that_set_an_app_up_signs_in_nowhere(member):
    client = signing_in.browser(member.user.email, PASSWORD)
    client.get("/account/2fa/totp/activate/")
    client.post("/account/reauthenticate/", {"password": PASSWORD})
    client.get("/account/2fa/totp/activate/")
    code = code_of(client.session["mfa.totp.secret"])
    assert client.post("/account/2fa/totp/activate/", {"code": code}).status_code == 302
    assert token(member, code).status_code == 401


def test_who_has_no_second_factor_needs_no_code(member):
    assert token(member).status_code == 200
    assert token(member, "123456").status_code == 200


@pytest.mark.django_db(transaction=True)
def test_somebody_sets_it_up_and_is_told(member):
    client = signing_in.browser(member.user.email, PASSWORD)
    begun = client.get("/account/2fa/totp/activate/")
    assert begun["Location"].startswith("/account/reauthenticate/")
    client.post("/account/reauthenticate/", {"password": PASSWORD})
    page = client.get("/account/2fa/totp/activate/")
    made = client.session["mfa.totp.secret"]
    assert made in page.text
    assert "Incorrect" in client.post("/account/2fa/totp/activate/", {"code": "000000"}).text
    assert client.post("/account/2fa/totp/activate/", {"code": code_of(made)}).status_code == 302
    assert mfa.enabled(member.user)
    assert events("mfa.added") == 2  # the app, and recovery codes for it
    assert Letter.objects.filter(to=member.user.email).exists()
    client.post("/account/2fa/totp/deactivate/")
    assert not mfa.enabled(member.user)
    assert events("mfa.removed") == 2


def test_secrets_of_second_factors_are_sealed_at_rest(member, secret, codes):
    with connection.cursor() as cursor:
        cursor.execute("SELECT data::text FROM mfa_authenticator")
        kept = " ".join(row[0] for row in cursor.fetchall())
    assert secret not in kept
    assert not any(code in kept for code in codes)


def test_they_are_sealed_anew_when_keys_change(member, secret, codes, settings):
    settings.SEALING_KEYS = ["a new key of thirty-two characters"]
    assert sealed.rotate() == 2
    settings.SECRET_KEY = "another"  # what sealed them first opens nothing now
    assert mfa.proven_by(member.user, code_of(secret))
    assert mfa.proven_by(member.user, codes[3])


def owner_elsewhere() -> Actor:
    """An admin of another workspace."""
    return person(Workspace.objects.create(name="Third", slug="third"), "admin", Role.ADMIN)


def required(workspace: Workspace) -> None:
    Workspace.objects.filter(pk=workspace.pk).update(require_mfa=True)


def test_where_the_workspace_requires_it_nothing_else_can_be_done(member, workspace):
    client = signing_in.browser(member.user.email, PASSWORD)
    assert client.get("/v1/ai/companions").status_code == 200
    required(workspace)
    for page in ("/", "/admin/", "/approvals/", "/console/"):
        answer = client.get(page)
        assert (answer.status_code, answer["Location"]) == (302, "/account/2fa/"), page
    assert "requires two-factor" in client.get("/account/2fa/").text
    invited = invitations.invite(by=owner_elsewhere(), email=member.user.email)[1]
    for page in (urlsplit(invited).path, "/account/notifications/", "/account/workspace/"):
        assert client.post(page)["Location"] == "/account/2fa/", page
    assert Invitation.objects.open().exists()
    for page in ("/account/sessions/", "/account/password/change/", "/account/logout/"):
        assert client.get(page).status_code == 200, page
    told = client.get("/v1/ai/companions")
    assert (told.status_code, told.json()["code"]) == (403, "mfa_setup_required")
    TOTP.activate(member.user, generate_totp_secret())
    assert client.get("/v1/ai/companions").status_code == 200


@pytest.mark.parametrize("header", ["Basic x", "Bearer nothing", "x"])
def test_no_other_credential_opens_a_page_in_place_of_the_second_factor(member, workspace, header):
    client = signing_in.browser(member.user.email, PASSWORD)
    required(workspace)
    for path in ("/", "/memory/", "/approvals/", "/console/", "/admin/"):
        answer = client.get(path, headers={"Authorization": header})
        assert (answer.status_code, answer["Location"]) == (302, "/account/2fa/"), path


def test_where_the_workspace_requires_it_no_token_is_given_or_renewed_without(member, workspace, other_workspace):
    refresh = token(member).json()["refresh"]
    required(workspace)
    told = token(member)
    assert (told.status_code, told.json()["code"]) == (403, "mfa_setup_required")
    assert Api().post("/v1/auth/refresh", {"refresh": refresh}).status_code == 401
    stranger = person(other_workspace, "unbothered", password=PASSWORD)
    assert login.sign_in(stranger.user.email, PASSWORD).actor.user == stranger.user


def test_an_admin_takes_it_from_who_lost_it_and_nobody_else_does(member, secret, owner, manager, stranger):
    address = f"/admin/accounts/user/{member.user.pk}/remove_two_factor/"
    for who, expected in ((manager, 403), (stranger, 403), (owner, 302)):
        User.objects.filter(pk=who.user.pk).update(is_staff=True)
        client = Client()
        client.force_login(who.user)
        assert client.post(address).status_code == expected, who
        assert mfa.enabled(member.user) == (who is not owner)
    assert events("mfa.removed") == 1
    (letter,) = Letter.objects.all()
    assert (letter.to, owner.user.email in letter.text) == (member.user.email, True)
    assert signing_in.post(member.user.email, PASSWORD)["Location"] == "/"


def test_the_admin_s_page_shows_who_has_one_and_says_so_in_the_log_when_it_is_required(member, secret, owner):
    User.objects.filter(pk=owner.user.pk).update(is_staff=True)
    client = Client()
    client.force_login(owner.user)
    assert "TOTP" in client.get(f"/admin/accounts/user/{member.user.pk}/change/").text
    assert "Not set up" in client.get(f"/admin/accounts/user/{owner.user.pk}/change/").text
    page = f"/admin/accounts/workspace/{owner.workspace.pk}/change/"
    form = {"name": "Home", "fallback_models": "", "require_mfa": "on", "conversation_days": "0"}
    client.post(page, form)
    assert Workspace.objects.get(pk=owner.workspace.pk).require_mfa
    assert events("workspace.changed") == 1


def test_recovery_codes_are_shown_once_and_kept_by_no_cache(member, secret, codes):
    client, _ = enter(member.user.email, code_of(secret))
    client.post("/account/reauthenticate/", {"password": PASSWORD})
    page = client.get("/account/2fa/recovery-codes/")
    assert "no-store" in page["Cache-Control"]
    assert codes[0] in page.text
    assert codes[0] not in client.get("/account/2fa/recovery-codes/").text
    client.post("/account/2fa/recovery-codes/generate/")
    assert codes[0] not in client.get("/account/2fa/recovery-codes/").text
    assert not mfa.proven_by(member.user, codes[1])
