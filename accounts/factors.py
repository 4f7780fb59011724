"""Second factors where django-allauth asks us: codes that count once, bounded credentials, and who is not asked."""

import struct
from typing import Any

from allauth.mfa.adapter import get_adapter
from allauth.mfa.base import forms as codes
from allauth.mfa.stages import AuthenticateStage
from allauth.mfa.totp.forms import ActivateTOTPForm
from allauth.mfa.webauthn import forms as keys
from django import forms
from django.http import HttpRequest

from accounts import oidc
from accounts.services import login, mfa
from core.errors import DomainError

LONGEST, MOST_BRACKETS = 65_536, 50  # of what a browser says of a key: thrice what any key has
# What reading it can raise: it is nested in three formats, and a stranger writes it.
_UNREADABLE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)


class Stage(AuthenticateStage):
    """Asks for the second factor, save where the identity provider did."""

    def _should_handle(self, request: HttpRequest) -> bool:
        came = (self.login.signal_kwargs or {}).get("sociallogin")
        asked_there = came is not None and oidc.had_second_factor(came)
        return not asked_there and super()._should_handle(request)


class _Code(codes.BaseAuthenticateForm):
    """A code that counts once, and is counted as at the API."""

    def clean_code(self) -> str:
        """The code; raises ValidationError for a wrong one, and where there were too many."""
        code: str = self.cleaned_data["code"]
        try:
            self.authenticator = mfa.proven_by(self.user, code)
        except DomainError as error:
            raise forms.ValidationError(error.detail) from None
        if self.authenticator is None:
            login.record_failure(self.user, via="mfa")
            if mfa.was_used(self.user, code):
                raise forms.ValidationError(mfa.USED)
            raise get_adapter().validation_error("incorrect_code")
        return code


class Authenticate(_Code, codes.AuthenticateForm):
    """The code at sign-in."""


class Reauthenticate(_Code, codes.ReauthenticateForm):
    """The code where somebody has to prove again that it is them."""


class Activate(ActivateTOTPForm):
    """The first code of an app: it counts once too."""

    def clean_code(self) -> str:
        """The code; raises ValidationError."""
        code: str = super().clean_code()
        mfa.use_up(self.user, code)
        return code


class Credential(forms.JSONField):
    """What a browser says of a key, as JSON that is neither long nor deep. It is never shown again."""

    widget = forms.HiddenInput

    def to_python(self, value: Any) -> Any:
        """The dictionary; raises ValidationError."""
        text = str(value)
        bounded = len(text) <= LONGEST and text.count("{") + text.count("[") <= MOST_BRACKETS
        found = super().to_python(value) if bounded else None
        if not isinstance(found, dict):
            raise get_adapter().validation_error("incorrect_code")
        return found

    def bound_data(self, data: Any, initial: Any) -> Any:
        """What stands in a form that is shown again."""
        return initial


class _Key(keys.AuthenticateWebAuthnForm):
    """Somebody's key; one that does not fit is a failed sign-in."""

    credential = Credential()

    def clean_credential(self) -> Any:
        """The key as it is kept; raises ValidationError."""
        try:
            return super().clean_credential()
        except forms.ValidationError as error:
            if error.code == "too_many_login_attempts":
                raise
        except _UNREADABLE:
            pass
        login.record_failure(self.user, via="passkey")
        raise get_adapter().validation_error("incorrect_code")


class AuthenticateKey(_Key):
    """The key at sign-in, after a password."""


class LoginKey(_Key, keys.LoginWebAuthnForm):
    """The key at sign-in, in place of a password."""


class ReauthenticateKey(_Key, keys.ReauthenticateWebAuthnForm):
    """The key where somebody has to prove again that it is them."""


class AddKey(keys.AddWebAuthnForm):
    """A new key."""

    credential = Credential()
    passwordless = forms.BooleanField(
        required=False,
        help_text="The key signs you in by itself then, without your password. It asks for a fingerprint or a PIN.",
    )

    def clean(self) -> dict[str, Any]:
        """What was sent; raises ValidationError."""
        try:
            found: dict[str, Any] = super().clean()
        except _UNREADABLE:
            raise get_adapter().validation_error("incorrect_code") from None
        return found
