"""Whose an account is when the identity provider's person comes, and whose it is no more when their groups are gone."""

from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from allauth.socialaccount.models import SocialAccount
from django.test import Client

from accounts.models import Letter, Membership, Role, User
from accounts.services import invitations, keys, mfa, people
from approvals.models import AuditEvent
from tests import signing_in
from tests.accounts.at_provider import GUEST, claims, failures, go, signed_in
from tests.accounts.test_passkeys import ADD
from tests.cast import PASSWORD, Api

HOME = "/account/"


def tokens(email: str) -> dict[str, Any]:
    told: dict[str, Any] = Api().post("/v1/auth/login", {"email": email, "password": PASSWORD}).json()
    return told


def works(told: dict[str, Any]) -> tuple[bool, bool]:
    """Whether the access token and the refresh token are taken."""
    renewed = Api().post("/v1/auth/refresh", {"refresh": told["refresh"]})
    return Api(told["access"]).get("/v1/ai/sessions").status_code == 200, renewed.status_code == 200


def events(kind: str) -> int:
    return AuditEvent.objects.filter(type=kind).count()


@pytest.fixture
def believing(settings):
    """A passkey is whatever a browser says it is."""
    settings.MFA_FORMS = {**settings.MFA_FORMS, "add_webauthn": "tests.accounts.test_passkeys.Believing"}


@pytest.mark.parametrize(("server", "kept"), [("", False), ("mail.example", True)])
def test_what_was_set_up_by_a_link_that_another_saw_opens_nothing_once_the_owner_came(
    provider,
    believing,
    owner,
    settings,
    server,
    kept,
):
    settings.EMAIL_HOST = server
    _, link = invitations.invite(by=owner, email=GUEST)
    before = Client()
    before.post(link.removeprefix("http://localhost:8000"), {"name": "Guest", "password": PASSWORD})
    guest, had = User.objects.get(email=GUEST), tokens(GUEST)
    before.post("/account/reauthenticate/", {"password": PASSWORD})
    assert before.post(ADD, {"name": "Key", "passwordless": "on", "credential": '{"a": 1}'}).status_code == 302
    _, key = keys.create(workspace=owner.workspace, user=guest, name="Mine", by=guest)
    assert (mfa.factors(guest), before.get(HOME).status_code) == (["Recovery codes", "WebAuthn"], 200)
    assert Api(key).get("/v1/ai/sessions").status_code == 200
    told = events("mfa.removed"), events("key.revoked")

    provider.person = claims(GUEST, amr=["otp"])
    go(mine := Client())
    assert signed_in(mine) == GUEST
    assert Authenticator.objects.filter(user=guest).exists() == kept
    assert before.get(HOME).status_code == (200 if kept else 302)
    assert Api(key).get("/v1/ai/sessions").status_code == (200 if kept else 401)
    assert works(had) == (kept, kept)
    assert (events("mfa.removed"), events("key.revoked")) == (told if kept else (told[0] + 1, told[1] + 1))


def test_what_they_set_up_after_they_came_stays(provider, member):
    provider.person = claims(member.user.email, amr=["otp"])
    go(Client())
    TOTP.activate(member.user, generate_totp_secret())
    _, key = keys.create(workspace=member.workspace, user=member.user, name="Mine", by=member.user)
    go(Client())
    assert mfa.enabled(member.user)
    assert Api(key).get("/v1/ai/sessions").status_code == 200


def test_whose_second_factor_was_taken_is_told_by_mail(provider, member, settings):
    settings.EMAIL_HOST = "mail.example"
    TOTP.activate(member.user, generate_totp_secret())
    provider.person = claims(member.user.email)
    go(mine := Client())
    assert signed_in(mine) == member.user.email
    assert Letter.objects.filter(to=member.user.email, subject__contains="Two-factor sign-in was removed").count() == 1


@pytest.mark.django_db(transaction=True)
def test_what_the_log_cannot_be_told_of_is_not_taken(provider, member, monkeypatch):
    def breaks(*_: Any, **__: Any) -> None:
        raise ConnectionError

    TOTP.activate(member.user, generate_totp_secret())
    provider.person = claims(member.user.email)
    with monkeypatch.context() as broken:
        broken.setattr(keys, "revoke", breaks)
        keys.create(workspace=member.workspace, user=member.user, name="Mine")
        go(Client(raise_request_exception=False))
    assert (mfa.enabled(member.user), SocialAccount.objects.exists()) == (True, False)
    assert User.objects.get(pk=member.user.pk).has_usable_password()


def test_who_is_in_no_group_any_more_is_signed_out_everywhere_and_keeps_the_role(provider, member, groups):
    people.proved(member.user)
    provider.person = claims(member.user.email, groups=["staff"])
    go(here := Client())
    there, had, renewable = signing_in.browser(member.user.email, PASSWORD), *map(tokens, [member.user.email] * 2)
    assert [one.get(HOME).status_code for one in (here, there)] == [200, 200]
    assert works(renewable) == (True, True)

    provider.person = claims(member.user.email, groups=[])
    assert go(here).status_code == 403
    assert [one.get(HOME).status_code for one in (here, there)] == [302, 302]
    assert works(had) == (False, False)
    assert failures() == [member.user.pk]
    (ended,) = AuditEvent.objects.filter(type="person.signed_out", target_id=member.user.pk)
    assert (ended.actor_kind, '"sessions":2' in ended.payload.data) == ("system", True)
    assert Membership.objects.get(user=member.user).role == Role.MEMBER

    provider.person = claims(member.user.email, groups=["staff"])
    go(here)
    assert here.get(HOME).status_code == 200
    assert works(tokens(member.user.email)) == (True, True)


def test_a_stranger_to_the_account_who_is_refused_ends_nothing_of_it(provider, member, groups):
    mine = signing_in.browser(member.user.email, PASSWORD)
    provider.person = claims(member.user.email, groups=[])
    assert go(Client()).status_code == 403
    assert mine.get(HOME).status_code == 200
