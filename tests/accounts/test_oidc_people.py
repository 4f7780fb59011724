"""People of an identity provider: which account is theirs, what becomes of their role, what is stored in one piece."""

import re
from html import unescape
from importlib import import_module
from typing import Any

import httpx
import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from allauth.socialaccount.models import SocialAccount
from django.apps import apps
from django.test import Client

from accounts import receivers
from accounts.models import Invitation, Letter, Membership, Role, User
from accounts.services import invitations, keys, people, provisioning
from accounts.services.sessions import AT_PROVIDER
from approvals.models import AuditEvent
from tests import signing_in
from tests.accounts.at_provider import GUEST, NO_ACCOUNT, claims, failures, go, signed_in
from tests.accounts.test_second_factor import code_of
from tests.cast import PASSWORD, person
from tests.servers import oidc


@pytest.fixture
def domain(settings):
    """Whoever is of the domain gets an account."""
    settings.OIDC_CREATE_PEOPLE, settings.OIDC_DOMAINS, settings.OIDC_WORKSPACE = True, ["acme.example"], "home"


def test_a_role_follows_the_groups_of_who_has_a_second_factor_here_too(provider, member, groups):
    secret = generate_totp_secret()
    people.proved(member.user)
    TOTP.activate(member.user, secret)
    Membership.objects.filter(user=member.user).update(role=Role.MANAGER)
    provider.person = claims(member.user.email, groups=["staff"])
    client = Client()
    assert go(client)["Location"] == "/account/2fa/authenticate/"
    assert client.post("/account/2fa/authenticate/", {"code": code_of(secret)}).status_code == 302
    assert signed_in(client) == member.user.email
    assert Membership.objects.get(user=member.user).role == Role.MEMBER


def test_where_the_provider_tells_of_a_second_factor_none_is_asked_for_here(provider, member):
    TOTP.activate(member.user, generate_totp_secret())
    provider.person = claims(member.user.email, amr=["pwd", "otp"])
    client = Client()
    assert go(client)["Location"] == "/"
    assert (signed_in(client), client.session[AT_PROVIDER]) == (member.user.email, True)


def test_an_id_counts_at_the_provider_alone_that_gave_it(provider, member, settings):
    provider.person = claims(member.user.email, sub="1")
    assert go(Client()).status_code == 302
    with oidc.serving() as other:
        settings.OIDC_ISSUER = other.issuer
        settings.SOCIALACCOUNT_PROVIDERS["openid_connect"]["APPS"][0]["settings"]["server_url"] = other.issuer
        other.person = claims("somebody@elsewhere.example", sub="1")
        client = Client()
        assert NO_ACCOUNT in go(client).text
        assert signed_in(client) is None


def test_ids_of_any_length_are_told_apart(provider, member, stranger):
    for who, last in ((member, "a"), (stranger, "b")):
        provider.person = claims(who.user.email, sub="x" * 250 + last)
        client = Client()
        go(client)
        assert signed_in(client) == who.user.email


def test_identities_of_before_are_known_by_their_provider_now(provider, member):
    SocialAccount.objects.create(user=member.user, provider="sso", uid="248289761001")
    migration: Any = import_module("accounts.migrations.0008_identities_by_issuer")
    migration.name_by_issuer(apps, None)
    provider.person = claims("renamed@elsewhere.example", email_verified=False)
    client = Client()
    go(client)
    assert signed_in(client) == member.user.email


def test_who_comes_by_the_link_of_an_invitation_gets_its_role_and_not_that_of_their_domain(
    provider,
    owner,
    domain,
):
    _, link = invitations.invite(by=owner, email=GUEST, role=Role.MANAGER)
    path = link.removeprefix("http://localhost:8000")
    provider.person = claims(GUEST)
    client = Client()
    assert go(client, path)["Location"] == path
    assert not Membership.objects.filter(user__email=GUEST).exists()
    assert client.post(path)["Location"] == "/"
    assert Membership.objects.get(user__email=GUEST).role == Role.MANAGER
    assert not Invitation.objects.open().exists()


@pytest.mark.parametrize(
    ("invited", "held", "then"), [("manager", "member", "manager"), ("member", "manager", "manager")]
)
def test_who_became_a_member_meanwhile_accepts_all_the_same_and_loses_nothing(owner, invited, held, then):
    made, _ = invitations.invite(by=owner, email="late@home.example", role=invited)
    late = person(owner.workspace, "late", Role(held))
    assert invitations.accept(made, user=late.user).role == then
    assert Membership.objects.get(user=late.user).role == then
    assert not Invitation.objects.open().exists()
    assert AuditEvent.objects.filter(type="invitation.accepted").count() == 1


@pytest.mark.django_db(transaction=True)
def test_an_account_that_cannot_be_made_whole_is_not_made(provider, workspace, domain, monkeypatch):
    def breaks(*_: Any, **__: Any) -> None:
        raise ConnectionError

    provider.person = claims(GUEST)
    with monkeypatch.context() as broken:
        broken.setattr(provisioning, "welcome", breaks)
        go(Client(raise_request_exception=False))
    assert not User.objects.exists()
    assert go(Client()).status_code == 302
    assert Membership.objects.get(user__email=GUEST).role == Role.MEMBER


@pytest.mark.django_db(transaction=True)
def test_an_identity_of_which_the_log_cannot_be_told_is_not_connected(provider, member, monkeypatch):
    def breaks(*_: Any, **__: Any) -> None:
        raise ConnectionError

    provider.person = claims(member.user.email)
    with monkeypatch.context() as broken:
        broken.setattr(receivers.people, "tell", breaks)
        go(Client(raise_request_exception=False))
    assert not SocialAccount.objects.exists()
    assert User.objects.get(pk=member.user.pk).has_usable_password()
    go(Client())
    assert AuditEvent.objects.filter(type="person.connected").count() == SocialAccount.objects.count() == 1


def test_who_runs_the_installation_keeps_the_password_for_the_day_that_the_provider_is_away(
    provider,
    settings,
    db,
):
    for number, kept in ((1, True), (2, False)):
        settings.OIDC_BREAK_GLASS = kept
        boss = User.objects.create_superuser(f"boss{number}@example.org", PASSWORD)
        provider.person = claims(boss.email, sub=str(number))
        client = Client()
        go(client)
        assert signed_in(client) == boss.email
        boss.refresh_from_db()
        assert boss.has_usable_password() == kept


@pytest.mark.parametrize(("server", "kept"), [("mail.example", True), ("", False)])
def test_who_came_by_a_link_that_was_mailed_keeps_the_password(provider, owner, settings, server, kept):
    settings.EMAIL_HOST = server
    _, link = invitations.invite(by=owner, email=GUEST)
    form = {"name": "Guest", "password": PASSWORD}
    assert Client().post(link.removeprefix("http://localhost:8000"), form).status_code == 302
    provider.person = claims(GUEST)
    assert go(Client()).status_code == 302
    assert User.objects.get(email=GUEST).has_usable_password() == kept


def test_a_password_that_was_set_by_a_link_stays(provider, member, settings):
    settings.EMAIL_HOST = "mail.example"
    people.proved(member.user)
    people.proved(member.user)
    assert EmailAddress.objects.get(user=member.user).verified
    provider.person = claims(member.user.email)
    go(Client())
    assert signing_in.post(member.user.email, PASSWORD).status_code == 302


def test_refusals_of_the_provider_s_people_are_in_the_log(provider, member, groups, settings):
    provider.person = claims(member.user.email, groups=["guests"])
    assert go(Client()).status_code == 403
    assert failures() == [member.user.pk]
    settings.OIDC_ROLES = {}
    provider.person = claims("nobody@elsewhere.example", sub="2")
    assert NO_ACCOUNT in go(Client()).text
    assert failures() == [member.user.pk, None]
    User.objects.filter(pk=member.user.pk).update(is_active=False)
    provider.person = claims(member.user.email)
    go(client := Client())
    assert signed_in(client) is None
    assert failures() == [member.user.pk, None, member.user.pk]


def test_where_the_rules_name_no_workspace_nobody_comes_in_by_them(provider, member, workspace, settings, caplog):
    Membership.objects.filter(user=member.user).update(role=Role.MANAGER)
    settings.OIDC_CREATE_PEOPLE, settings.OIDC_DOMAINS, settings.OIDC_WORKSPACE = True, ["acme.example"], "misspelt"
    for email, roles in ((member.user.email, {"staff": "member"}), (GUEST, {})):
        settings.OIDC_ROLES = roles
        provider.person = claims(email, sub=email, groups=["staff"])
        client = Client(headers={"Accept": "text/html"})
        refused = go(client)
        assert (refused.status_code, "OIDC_WORKSPACE names no workspace" in refused.text) == (503, True)
        assert signed_in(client) is None
    assert Membership.objects.get(user=member.user).role == Role.MANAGER
    assert (failures(), User.objects.count()) == ([member.user.pk, None], 1)
    said = [one.__dict__["workspace"] for one in caplog.records if one.name == provisioning.__name__]
    assert said == ["misspelt"] * 2
    boss = User.objects.create_superuser("boss@example.org", PASSWORD)
    for email in (boss.email, member.user.email):
        provider.person = claims(email, sub=email)
        go(client := Client())
        assert signed_in(client) == email, "no rule is about them"


def test_an_invitation_leads_to_the_provider_and_says_that_groups_count_there(provider, owner, groups, settings):
    settings.OIDC_NAME = "Example login"
    made, link = invitations.invite(by=owner, email=GUEST, role=Role.MANAGER)
    path = link.removeprefix("http://localhost:8000")
    page, letter = Client().get(path).text, Letter.objects.get(to=GUEST)
    way = re.search(r'href="([^"]+)">Sign in with Acme<', page)
    assert way
    for text in (page, letter.text):
        assert "at Example login, your groups there say what you are" in text
    provider.person = claims(GUEST, groups=["staff"])
    begun = (client := Client()).get(unescape(way[1]))
    back = httpx.get(begun["Location"], trust_env=False).headers["Location"]
    assert client.get(back.removeprefix("http://testserver"))["Location"] == path
    assert client.post(path)["Location"] == "/"
    assert Membership.objects.get(user__email=GUEST).role == Role.MEMBER
    assert not Invitation.objects.open().exists()
    settings.OIDC_ROLES = {}
    _, link = invitations.invite(by=owner, email="other@acme.example")
    assert "your groups" not in Client().get(link.removeprefix("http://localhost:8000")).text


def test_who_is_connected_reads_what_ended_by_that_and_what_to_do_fits_how_they_sign_in(provider, member, settings):
    settings.EMAIL_HOST = "mail.example"
    keys.create(workspace=member.workspace, user=member.user, name="Old", by=member.user)
    proven = person(member.workspace, "proven", password=PASSWORD)
    people.proved(proven.user)
    for number, who in enumerate((member, proven)):
        provider.person = claims(who.user.email, sub=str(number))
        go(Client())
    first, second = (Letter.objects.get(to=who.user.email) for who in (member, proven))
    assert "Your account is connected to Acme" in first.subject
    for text in ("the password and 1 API key, with all", "end the sessions that are not yours", "/account/sessions/"):
        assert text in first.text
    assert "change your password" not in first.text
    assert "Your password goes on." in second.text
    assert "change your password" in second.text
    assert "ended" not in second.text
