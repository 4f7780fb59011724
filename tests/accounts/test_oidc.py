"""Signing in at an identity provider, over real HTTP: who is let in, and what is not believed."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from allauth.account.models import EmailAddress, Login
from allauth.socialaccount.models import SocialAccount
from django.contrib.messages.storage.fallback import FallbackStorage
from django.contrib.sessions.backends.db import SessionStore
from django.test import Client, RequestFactory

from accounts.adapters import AccountAdapter
from accounts.models import Membership, Role, User
from accounts.services import invitations, login
from accounts.services.sessions import AT_PROVIDER
from approvals.models import AuditEvent
from tests import signing_in
from tests.accounts.at_provider import BEGIN, FAILED, NO_ACCOUNT, claims, go, signed_in
from tests.cast import PASSWORD, Api, person


def test_an_invited_person_signs_in_with_their_verified_address(provider, member):
    provider.person = claims(member.user.email)
    client = Client()
    answer = go(client, "/approvals/")
    assert (answer.status_code, answer["Location"]) == (302, "/approvals/")
    assert signed_in(client) == member.user.email
    account = SocialAccount.objects.get()
    assert (account.user_id, len(account.uid)) == (member.user.pk, 64)
    kinds = AuditEvent.objects.filter(target_id=member.user.pk).values_list("type", flat=True)
    assert {"person.connected", "login.succeeded"} <= set(kinds)


def test_it_is_asked_with_state_nonce_and_a_challenge_and_with_nothing_that_the_browser_adds(provider, db):
    begun = Client().get(BEGIN, {"auth_params": "prompt=none", "scope": "admin", "process": "connect"})
    asked = {name: value[0] for name, value in parse_qs(urlsplit(begun["Location"]).query).items()}
    assert asked["code_challenge_method"] == "S256"
    assert len(asked["nonce"]) > 20
    assert len(asked["state"]) >= 16
    assert sorted(asked["scope"].split()) == ["email", "openid", "profile"]
    assert "prompt" not in asked


def test_the_second_time_the_provider_s_id_counts_whatever_the_address(provider, member):
    provider.person = claims(member.user.email)
    go(Client())
    provider.person = claims("renamed@elsewhere.example", email_verified=False)
    client = Client()
    go(client)
    assert signed_in(client) == member.user.email


@pytest.mark.parametrize("told", [False, "true", "false", None, 1])
def test_an_address_that_is_not_verified_opens_nobodys_account(provider, member, told):
    provider.person = claims(member.user.email, email_verified=told)
    client = Client()
    answer = go(client)
    assert NO_ACCOUNT in answer.text
    assert signed_in(client) is None
    assert not SocialAccount.objects.exists()


def test_a_password_that_somebody_else_may_have_set_ends_when_the_owner_of_the_address_comes(provider, member):
    provider.person = claims(member.user.email)
    go(Client())
    assert signing_in.post(member.user.email, PASSWORD).status_code == 200
    other = person(member.workspace, "proven", password=PASSWORD)
    EmailAddress.objects.create(user=other.user, email=other.user.email, verified=True, primary=True)
    provider.person = claims(other.user.email, sub="2")
    go(Client())
    assert signing_in.post(other.user.email, PASSWORD).status_code == 302


def wrong_nonce(told: dict[str, Any]) -> None:
    told["nonce"] = "another"


def no_nonce(told: dict[str, Any]) -> None:
    del told["nonce"]


def other_audience(told: dict[str, Any]) -> None:
    told["aud"] = "another-client"


def other_party(told: dict[str, Any]) -> None:
    told["azp"] = "another-client"


def other_issuer(told: dict[str, Any]) -> None:
    told["iss"] = "https://evil.example"


def run_out(told: dict[str, Any]) -> None:
    told["exp"] = told["iat"] = told["iat"] - 3600


def no_end(told: dict[str, Any]) -> None:
    del told["exp"]


def nobody(told: dict[str, Any]) -> None:
    told["sub"] = ""


@pytest.mark.parametrize(
    "amend", [wrong_nonce, no_nonce, other_audience, other_party, other_issuer, run_out, no_end, nobody]
)
def test_an_id_token_that_is_not_ours_is_refused(provider, member, amend):
    provider.person, provider.amend = claims(member.user.email), amend
    client = Client()
    answer = go(client)
    assert (answer.status_code, FAILED in answer.text) == (401, True)
    assert signed_in(client) is None
    assert AuditEvent.objects.filter(type="login.failed").exists()


@pytest.mark.parametrize("change", [{"signer": "stolen"}, {"algorithm": "HS256"}, {"headers": {"kid": "unknown"}}])
def test_an_id_token_that_is_not_signed_by_the_provider_is_refused(provider, member, change):
    provider.person = claims(member.user.email)
    for name, value in change.items():
        setattr(provider, name, value)
    client = Client()
    assert go(client).status_code == 401
    assert signed_in(client) is None


def test_the_way_back_of_another_browser_opens_nothing(provider, member):
    provider.person = claims(member.user.email)
    begun = Client().get(BEGIN)
    back = httpx.get(begun["Location"], trust_env=False).headers["Location"].removeprefix("http://testserver")
    thief = Client()
    assert thief.get(back).status_code == 401
    assert signed_in(thief) is None
    mine = Client()
    mine.get(BEGIN)
    forged = back.replace("state=", "state=x")
    assert mine.get(forged).status_code == 401
    assert signed_in(mine) is None


def test_a_way_back_counts_once(provider, member):
    provider.person = claims(member.user.email)
    client = Client()
    begun = client.get(BEGIN)
    back = httpx.get(begun["Location"], trust_env=False).headers["Location"].removeprefix("http://testserver")
    assert client.get(back).status_code == 302
    client.post("/account/logout/")
    assert client.get(back).status_code == 401
    assert signed_in(client) is None


@pytest.mark.parametrize("down", ["/.well-known/openid-configuration", "/keys"])
def test_a_provider_that_is_away_is_told_in_words(provider, member, down):
    provider.person, provider.down = claims(member.user.email), frozenset({down})
    client = Client()
    answer = client.get(BEGIN) if "known" in down else go(client)
    assert (answer.status_code, FAILED in answer.text) == (401, True)


def test_user_info_of_another_person_is_not_mixed_in(provider, member):
    def hidden(told: dict[str, Any]) -> None:
        del told["email"]

    provider.person, provider.amend = claims(member.user.email), hidden
    client = Client()
    assert go(client).status_code == 302
    provider.userinfo = {"sub": "another"}
    client = Client()
    assert go(client).status_code == 401
    assert signed_in(client) is None


def test_nobody_new_gets_an_account_unless_the_settings_say_so(provider, workspace, settings):
    provider.person = claims("new@acme.example")
    assert NO_ACCOUNT in go(Client()).text
    settings.OIDC_CREATE_PEOPLE, settings.OIDC_DOMAINS, settings.OIDC_WORKSPACE = True, ["acme.example"], "home"
    client = Client()
    assert go(client).status_code == 302
    made = User.objects.get(email="new@acme.example")
    assert (made.name, made.has_usable_password(), made.is_staff, made.is_superuser) == (
        "Jane Doe",
        False,
        False,
        False,
    )
    assert Membership.objects.get(user=made).role == Role.MEMBER
    for email, verified in (("new@acme.example.evil.example", True), ("other@acme.example", False)):
        provider.person = claims(email, sub=email, email_verified=verified)
        assert NO_ACCOUNT in go(Client()).text
    assert User.objects.count() == 1


def test_who_was_invited_comes_in_with_the_verified_address_and_nobody_else(provider, workspace, owner):
    _, link = invitations.invite(by=owner, email="guest@partner.example", role=Role.MANAGER)
    provider.person = claims("guest@partner.example", email_verified=False)
    assert NO_ACCOUNT in go(Client()).text
    provider.person = claims("guest@partner.example")
    client = Client()
    assert go(client).status_code == 302
    assert Membership.objects.get(user__email="guest@partner.example").role == Role.MANAGER
    assert client.get("/account/").status_code == 200
    invitations.invite(by=owner, email="second@partner.example")
    provider.person = claims("second@partner.example", sub="2")
    target = "/account/invited/the-link/"
    assert go(client := Client(), target)["Location"] == target
    assert signed_in(client) == "second@partner.example"
    assert not Membership.objects.filter(user__email="second@partner.example").exists()  # the link's page asks them


def test_groups_say_which_role_it_is_today(provider, workspace, owner, member, settings):
    settings.OIDC_WORKSPACE, settings.OIDC_ROLES = "home", {"leads": "manager", "staff": "member", "root": "admin"}
    for groups, role in ((["staff", "leads"], "manager"), (["staff"], "member"), ("root", "admin")):
        provider.person = claims(member.user.email, groups=groups)
        assert go(Client()).status_code == 302
        assert Membership.objects.get(user=member.user).role == role


def test_who_is_in_no_group_that_counts_is_not_let_in(provider, workspace, member, settings):
    settings.OIDC_WORKSPACE, settings.OIDC_ROLES = "home", {"leads": "manager"}
    for groups in ([], ["guests"], {"leads": True}, [["leads"]], None):
        provider.person = claims(member.user.email, groups=groups)
        client = Client()
        assert go(client).status_code == 403
        assert signed_in(client) is None


def test_the_last_admin_stays_one_whatever_their_groups(provider, workspace, owner, settings):
    settings.OIDC_WORKSPACE, settings.OIDC_ROLES = "home", {"staff": "member"}
    provider.person = claims(owner.user.email, groups=["staff"])
    client = Client()
    assert go(client).status_code == 302
    assert Membership.objects.get(user=owner.user).role == Role.ADMIN
    assert signed_in(client) == owner.user.email


def test_where_the_provider_has_it_all_no_password_counts(provider, member, settings):
    settings.OIDC_ONLY, settings.OIDC_BREAK_GLASS = True, False
    boss = User.objects.create_superuser("boss@example.org", PASSWORD)
    for email in (member.user.email, boss.email):
        page = signing_in.post(email, PASSWORD)
        assert (page.status_code, "Passwords are off" in page.text) == (200, True)
        told = Api().post("/v1/auth/login", {"email": email, "password": PASSWORD})
        assert (told.status_code, told.json()["code"]) == (403, "passwords_off")
    page = Client().get("/account/login/").text
    assert 'type="password"' not in page
    assert "Sign in with Acme" in page
    settings.OIDC_BREAK_GLASS = True
    assert signing_in.post(boss.email, PASSWORD).status_code == 302
    answers = []
    for email, password in ((member.user.email, PASSWORD), (boss.email, "wrong"), ("nobody@example.org", PASSWORD)):
        assert "are not correct" in signing_in.post(email, password).text
        told = Api().post("/v1/auth/login", {"email": email, "password": password})
        answers.append((told.status_code, told.json()["code"], told.json()["detail"]))
    assert set(answers) == {(403, "passwords_off", login.SuperusersOnly.default_detail)}, "whose was right is not told"


def test_a_passkey_opens_nothing_where_the_provider_has_it_all(provider, member, settings):
    trying = Login(user=member.user)
    for only, expected in ((False, None), (True, "/account/login/")):
        settings.OIDC_ONLY = only
        request = RequestFactory().get("/")
        request.session = SessionStore()
        request._messages = FallbackStorage(request)
        answer = AccountAdapter(request).pre_login(
            request,
            trying.user,
            email_verification="none",
            signal_kwargs=None,
            email=None,
            signup=False,
            redirect_url=None,
        )
        assert (answer and answer["Location"]) == expected


def test_another_claim_may_say_that_an_address_is_verified(provider, member, settings):
    settings.OIDC_VERIFIED_CLAIM = "xms_edov"
    provider.person = claims(member.user.email)
    assert NO_ACCOUNT in go(Client()).text
    provider.person = claims(member.user.email, email_verified=False, xms_edov=True)
    client = Client()
    go(client)
    assert signed_in(client) == member.user.email


def test_a_second_factor_at_the_provider_is_enough_where_the_workspace_asks_for_one(provider, member):
    type(member.workspace).objects.update(require_mfa=True)
    provider.person = claims(member.user.email)
    client = Client()
    go(client)
    assert client.get("/admin/")["Location"] == "/account/2fa/"
    provider.person = claims(member.user.email, amr=["pwd", "otp"])
    client = Client()
    go(client)
    assert client.session[AT_PROVIDER] is True
    assert client.get("/admin/")["Location"].startswith("/admin/login/")


def test_without_a_provider_there_is_no_way_to_one(db):
    assert Client().get(BEGIN).status_code == 404
    assert Client().get(f"{BEGIN}callback/").status_code == 404
    assert "single sign-on" not in Client().get("/account/login/").text
