"""Where django-allauth asks us: who may sign in how, what is counted, how letters go out, how secrets are kept."""

from typing import Any
from urllib.parse import urlsplit

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core import context as current
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout
from django.db import transaction
from django.http import HttpRequest, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

from accounts import lockout, oidc
from accounts.models import User
from accounts.services import letters, login, people, provisioning
from core import sealed
from core.errors import DomainError

INVITED = "/account/invited/"
NOBODY = "account/email/unknown_account"
"""The letter that allauth would write to an address without an account."""
STAGES = {"allauth.mfa.stages.AuthenticateStage": "accounts.factors.Stage"}
"""What of allauth's sign-in another stage stands for."""


class AccountAdapter(DefaultAccountAdapter):
    """Passwords, letters and where somebody goes on."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Never: people come by invitation, or from the identity provider."""
        return False

    def get_client_ip(self, request: HttpRequest) -> str:
        """The peer's address as all counters have it, which no header of the client's changes."""
        return lockout.address(request) or "0.0.0.0"

    def is_safe_url(self, url: str) -> bool:
        """Whether somebody may be sent there: to this origin alone."""
        request: HttpRequest = current.request
        return url_has_allowed_host_and_scheme(url, {request.get_host()}, require_https=request.is_secure())

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Count the try; raises ValidationError where there were too many, or where passwords are off."""
        try:
            if not request.user.is_authenticated:
                login.check_passwords_on()
            lockout.count_address(request)
            email = credentials.get("email", "")
            if not lockout.is_locked(request, email):  # who is locked out uses up no try of the person's
                lockout.count_account(request, email)
        except DomainError as error:
            raise forms.ValidationError(_told(error)) from None

    def authenticate(self, request: HttpRequest, **credentials: Any) -> Any:
        """The person whose password that is; None for anybody who may not sign in so, whatever the reason."""
        found: Any = super().authenticate(request, **credentials)
        if found is None or request.user.is_authenticated or login.may_use_password(found):
            return found
        lockout.failed(request, credentials.get("email", ""))
        self.authentication_failed(request, **credentials)
        return None

    def pre_login(self, request: HttpRequest, user: Any, **kwargs: Any) -> Any:
        """Back to sign-in where the person came by other means than they may, such as a passkey."""
        refused = super().pre_login(request, user, **kwargs)
        at_provider = "sociallogin" in (kwargs.get("signal_kwargs") or {})
        if refused is None and (at_provider or login.may_use_password(user)):
            return None
        login.record_failure(user, via="oidc" if at_provider else "passkey")
        if refused is None:
            messages.error(request, login.PasswordsOff.default_detail)
            refused = HttpResponseRedirect(reverse("account_login"))
        return refused

    def get_login_stages(self) -> list[str]:
        """What is asked for after a password or at the identity provider."""
        stages: list[str] = super().get_login_stages()
        return [STAGES.get(stage, stage) for stage in stages]

    def set_password(self, user: Any, password: str) -> None:
        """Store somebody's new password, and tell the log."""
        with people.password_told(user.pk, by=user):
            super().set_password(user, password)

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        """Tell the log."""
        email = str(credentials.get("email", "")).strip().lower()
        login.record_failure(User.objects.filter(email=email).first(), via="page")

    def send_notification_mail(
        self, template_prefix: str, user: Any, context: dict[str, Any] | None = None, email: str | None = None
    ) -> None:
        """Tell somebody what was changed on their account; what they do about it depends on how they sign in."""
        context = {"password": user.has_usable_password(), **(context or {})}
        super().send_notification_mail(template_prefix, user, context, email)

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Leave the e-mail to a worker."""
        request = current.request
        told = {"request": request, "email": email, "public_url": settings.PUBLIC_URL}
        message = self.render_mail(template_prefix, email, {**told, **context})
        deliver = letters.pretend if template_prefix == NOBODY else letters.write
        deliver(email, message.subject, str(message.body))

    def send_password_reset_mail(self, user: Any, email: str, context: dict[str, Any]) -> None:
        """The link for a new password, to those who may use one; for others as much is done, and nothing sent."""
        if login.may_use_password(user):
            super().send_password_reset_mail(user, user.email, context)
        else:
            self.send_mail(NOBODY, user.email, context)

    def get_reset_password_from_key_url(self, key: str) -> str:
        """The link, at the address that the operator gave: what a browser says of its host goes into no letter."""
        url: str = super().get_reset_password_from_key_url(key)
        return settings.PUBLIC_URL + urlsplit(url).path

    def get_password_change_redirect_url(self, request: HttpRequest) -> str:
        """Where one goes on after a change of the password."""
        return "/account/"


class SocialAdapter(DefaultSocialAccountAdapter):
    """People whom the identity provider vouches for."""

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        """Whether the provider's person, whom nobody here knows, gets an account."""
        may_come = provisioning.may_come(_verified(sociallogin))
        if not may_come:
            login.record_failure(None, via="oidc")
        return may_come

    def is_auto_signup_allowed(self, request: HttpRequest, sociallogin: Any) -> bool:
        """Always: nobody types another address than the one that was verified."""
        return True

    def pre_social_login(self, request: HttpRequest, sociallogin: Any) -> None:
        """Connect who is known by their verified address to the provider's person, and tell the log, in one piece.

        Raises NotInGroups for who has no part in this installation by the provider's groups; whose identity is known
        is signed out everywhere by that. Raises WorkspaceMissing where it is not known in what their part would be.
        """
        user = sociallogin.user if sociallogin.is_existing else None
        try:
            provisioning.check_workspace(user, _verified(sociallogin))
            provisioning.check_groups(user, oidc.claims(sociallogin))
        except provisioning.NotInGroups:
            if user is None or sociallogin._did_authenticate_by_email:
                login.record_failure(user, via="oidc")
            else:
                provisioning.put_out(user)
                if request.user == user:
                    logout(request)  # this browser's own session, which would be stored again otherwise
            raise
        except provisioning.WorkspaceMissing:
            login.record_failure(user, via="oidc")
            raise
        if user is None or not sociallogin._did_authenticate_by_email:
            return
        with transaction.atomic():
            if user.is_superuser and settings.OIDC_BREAK_GLASS:
                people.proved(user)  # whose password would end otherwise
            # The letter that allauth writes then tells of it.
            sociallogin.account.ended = provisioning.claim(user, sociallogin._did_authenticate_by_email)
            sociallogin._accept_login(request)
        sociallogin._did_authenticate_by_email = None  # allauth does it later, and in several pieces

    def populate_user(self, request: HttpRequest, sociallogin: Any, data: dict[str, Any]) -> Any:
        """The account of somebody new: their address, and their name."""
        user = super().populate_user(request, sociallogin, data)
        user.name = str(data.get("name") or "")[:200]
        return user

    @transaction.atomic
    def save_user(self, request: HttpRequest, sociallogin: Any, form: Any = None) -> Any:
        """Store somebody new, as a member of the workspace that the settings name."""
        user = super().save_user(request, sociallogin, form)
        by_link = str(sociallogin.state.get("next") or "").startswith(INVITED)
        provisioning.welcome(user, oidc.claims(sociallogin), by_link=by_link)
        return user

    def on_authentication_error(self, request: HttpRequest, provider: Any, *args: Any, **kwargs: Any) -> None:
        """Tell the log; the page tells no more than that it failed.

        Who set out from nowhere, as anybody can, is no sign-in that failed, and nothing for a log that only grows.
        """
        oidc.log_failure(kwargs.get("error"), kwargs.get("exception"))
        if (kwargs.get("extra_context") or {}).get("state"):
            login.record_failure(None, via="oidc")

    def get_requests_session(self) -> Any:
        """How the provider is asked: with bounds of time and size, and without following where it points."""
        return oidc.Session()


class MfaAdapter(DefaultMFAAdapter):
    """Second factors at rest."""

    def encrypt(self, text: str) -> str:
        """A secret as the database has it."""
        return sealed.seal(text)

    def decrypt(self, encrypted_text: str) -> str:
        """The secret; raises SealBroken where no key opens it."""
        return sealed.unseal(encrypted_text)

    def _get_site_name(self) -> str:
        return str(settings.MFA_TOTP_ISSUER)


def _verified(sociallogin: Any) -> str:
    """The address that the provider verified, empty where it did not."""
    return next((one.email.lower() for one in sociallogin.email_addresses if one.verified), "")


def _told(error: DomainError) -> str:
    reset = error.headers.get("Retry-After")
    return f"Too many tries. Try again in {reset} seconds." if error.status == 429 and reset else error.detail
