"""What django-allauth and axes tell of signing in, for the audit log."""

from typing import Any

from allauth.account import signals as account
from allauth.mfa.models import Authenticator
from allauth.socialaccount import signals as social
from axes.signals import user_locked_out
from django.db import transaction
from django.db.models.signals import post_delete, post_save
from django.http import HttpRequest

from accounts import oidc
from accounts.models import User
from accounts.services import login, people, provisioning
from accounts.services.sessions import AT_PROVIDER


def connect() -> None:
    """Listen; called once, when the apps are ready."""
    account.user_logged_in.connect(_signed_in, dispatch_uid="signed in")
    account.password_reset.connect(_password_reset, dispatch_uid="password reset")
    # The rows' own signals: allauth's come after the commit, and what the log is told belongs into the change.
    post_save.connect(_factor_saved, sender=Authenticator, dispatch_uid="factor saved")
    post_delete.connect(_factor_removed, sender=Authenticator, dispatch_uid="factor removed")
    social.social_account_added.connect(_connected, dispatch_uid="connected")
    user_locked_out.connect(_locked_out, dispatch_uid="locked out")


def _signed_in(request: HttpRequest, user: User, **more: Any) -> None:
    sociallogin = more.get("sociallogin")
    if sociallogin is not None:
        provisioning.follow_groups(user, oidc.claims(sociallogin))
    request.session[AT_PROVIDER] = sociallogin is not None and oidc.had_second_factor(sociallogin)
    with transaction.atomic():
        login.record_success(user, via="oidc" if sociallogin is not None else "page")


def _password_reset(user: User, **more: Any) -> None:
    people.proved(user)  # the link came by mail


def _factor_saved(instance: Authenticator, created: bool, **more: Any) -> None:
    if created:
        _tell("mfa.added", instance)


def _factor_removed(instance: Authenticator, **more: Any) -> None:
    _tell("mfa.removed", instance)


def _connected(sociallogin: Any, **more: Any) -> None:
    user = sociallogin.user
    with transaction.atomic():
        people.tell("person.connected", user, user, email=user.email, password=user.has_usable_password())


def _locked_out(request: HttpRequest, username: str | None = None, **more: Any) -> None:
    # Each further try says so again; the log is told of the first.
    if getattr(request, "axes_failures_since_start", None) is None:
        return
    user = User.objects.filter(email=username or "").first()
    if user is not None:
        with transaction.atomic():
            people.tell("login.locked", user, None, email=user.email)


def _tell(type: str, held: Authenticator) -> None:
    with transaction.atomic():
        people.tell(type, held.user, held.user, factors=[str(Authenticator.Type(held.type).label)])
