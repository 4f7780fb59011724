"""Passkeys and what a browser says of them: a stranger writes it, so that it is bounded and never a fault."""

import base64
import json
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from allauth.mfa.webauthn.forms import AddWebAuthnForm
from django import forms
from django.test import Client

from accounts import receivers
from approvals.models import AuditEvent
from tests import signing_in
from tests.cast import PASSWORD

LOGIN, ADD, AUTHENTICATE = "/account/2fa/webauthn/login/", "/account/2fa/webauthn/add/", "/account/2fa/authenticate/"


def web(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def key(**response: Any) -> dict[str, Any]:
    """What a browser would say, with this of the authenticator's answer."""
    return {"id": "AA", "rawId": "AA", "type": "public-key", "clientExtensionResults": {}, "response": response}


CLIENT_DATA = web(json.dumps({"type": "webauthn.get", "challenge": "AA", "origin": "http://testserver"}).encode())
DEEP_CBOR = web(b"\x81" * 5_000)
JUNK = [
    "",
    "null",
    "5",
    "[]",
    "{",
    '"text"',
    "[" * 1_100 + "]" * 1_100,
    '{"a":' * 1_100 + "1" + "}" * 1_100,
    '{"id":"AA"}',
    json.dumps({"id": 5, "rawId": [], "response": "x"}),
    json.dumps(key()),
    json.dumps(key(clientDataJSON="AA", attestationObject="AA", authenticatorData="AA", signature="AA")),
    json.dumps(key(clientDataJSON=web(b"[]"), attestationObject=DEEP_CBOR, authenticatorData="", signature="")),
    json.dumps(key(clientDataJSON=CLIENT_DATA, attestationObject=DEEP_CBOR)),
    json.dumps(key(clientDataJSON=CLIENT_DATA, authenticatorData=web(b"\x00" * 37), signature="AA", userHandle=None)),
    json.dumps(key(clientDataJSON=CLIENT_DATA, authenticatorData=web(b"\xff" * 40), signature="AA", userHandle="_w")),
    json.dumps(key(clientDataJSON=CLIENT_DATA, authenticatorData=web(b"\x00" * 37), signature="AA", userHandle="AA")),
    json.dumps({"id": "x" * 100_000}),
]


@pytest.mark.parametrize("said", JUNK)
def test_a_credential_that_is_none_is_refused_at_every_door(member, said, settings):
    settings.ACCOUNT_RATE_LIMITS = False
    stranger = Client()
    assert stranger.get(LOGIN, headers={"X-Requested-With": "XMLHttpRequest"}).status_code == 200
    answer = stranger.post(LOGIN, {"credential": said})
    assert (answer.status_code, answer["Location"]) == (302, "/account/login/")
    TOTP.activate(member.user, generate_totp_secret())
    half = signing_in.browser(member.user.email, PASSWORD)
    assert half.get(AUTHENTICATE).status_code == 200
    answer = half.post(AUTHENTICATE, {"credential": said})
    assert (answer.status_code, "_auth_user_id" in half.session) == (200, False)
    mine = Client()
    Authenticator.objects.all().delete()
    signing_in.post(member.user.email, PASSWORD, client=mine)
    mine.post("/account/reauthenticate/", {"password": PASSWORD})
    assert mine.get(ADD).status_code == 200
    assert mine.post(ADD, {"name": "Key", "credential": said}).status_code == 200
    assert not Authenticator.objects.exists()


def test_a_passkey_that_does_not_verify_is_in_the_log(member):
    said = json.dumps(key(clientDataJSON=CLIENT_DATA, authenticatorData=web(b"\x00" * 37), signature="AA"))
    Client().post(LOGIN, {"credential": said})
    assert AuditEvent.objects.get(type="login.failed").actor_id is None
    TOTP.activate(member.user, generate_totp_secret())
    half = signing_in.browser(member.user.email, PASSWORD)
    half.post(AUTHENTICATE, {"credential": said})
    assert AuditEvent.objects.filter(type="login.failed", actor_id=member.user.pk).count() == 1


class Believing(AddWebAuthnForm):
    """A form that believes whatever it is told."""

    credential = forms.JSONField()

    def clean(self) -> dict[str, Any]:
        return self.cleaned_data


@pytest.mark.django_db(transaction=True)
def test_a_key_of_which_the_log_cannot_be_told_is_not_added(member, settings, monkeypatch):
    def breaks(*_: Any, **__: Any) -> None:
        raise ConnectionError

    settings.MFA_FORMS = {**settings.MFA_FORMS, "add_webauthn": "tests.accounts.test_passkeys.Believing"}
    mine = Client(raise_request_exception=False)
    signing_in.post(member.user.email, PASSWORD, client=mine)
    mine.post("/account/reauthenticate/", {"password": PASSWORD})
    with monkeypatch.context() as broken:
        broken.setattr(receivers.people, "tell", breaks)
        assert mine.post(ADD, {"name": "Key", "credential": '{"a": 1}'}).status_code == 500
    assert not Authenticator.objects.exists()
    assert mine.post(ADD, {"name": "Key", "credential": '{"a": 1}'}).status_code == 302
    assert AuditEvent.objects.filter(type="mfa.added").count() == Authenticator.objects.count() == 2
