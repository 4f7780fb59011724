"""Signing in with a password: tokens for a person in one of their workspaces, and their renewal."""

import logging
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.contrib.auth.hashers import check_password, make_password
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils.crypto import constant_time_compare, salted_hmac
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken
from rest_framework_simplejwt.utils import aware_utcnow, datetime_to_epoch

from accounts.models import Actor, Membership, User
from accounts.services import callers, mfa
from core import ids, ledger, valkey
from core.errors import Forbidden, Unauthorized

log = logging.getLogger(__name__)

FRESH = timedelta(minutes=5)
"""How long a password that was typed counts as typed just now."""


class LoginFailed(Unauthorized):
    """The address, the password or the workspace is wrong; which of these is not told."""

    code = "login_failed"
    default_detail = "The e-mail address or the password is wrong."


class PasswordsOff(Forbidden):
    """People sign in at the identity provider alone."""

    code = "passwords_off"
    default_detail = "Passwords are off here: sign in at the identity provider, and use an API key for programs."


class SuperusersOnly(PasswordsOff):
    """Only superusers have a password, and this was none of theirs, or wrong; which of these is not told."""

    default_detail = (
        f"{PasswordsOff.default_detail} If you run this installation: the address or the password is wrong."
    )


class RefreshRefused(Unauthorized):
    """The refresh token is invalid, expired, used before, or its person no longer belongs."""

    code = "invalid_token"
    default_detail = "The refresh token is not valid."


@dataclass(frozen=True, slots=True)
class Tokens:
    """A fresh pair of tokens, and whom they stand for."""

    access: str
    refresh: str
    expires_in: int
    actor: Actor


def sign_in(email: str, password: str, *, workspace: str = "", code: str = "") -> Tokens:
    """Tokens for the person in the workspace (its id or slug; their first one if empty).

    An unknown address costs the same work as a wrong password and is answered alike, and both are recorded; so is a
    right password of somebody who may not use it. Raises LoginFailed, PasswordsOff, SuperusersOnly, MfaRequired
    without the code that the account asks for, MfaSetupRequired, and RateLimited after too many codes.
    """
    check_passwords_on()
    user = User.objects.filter(email=email.strip().lower()).first()
    known = user.check_password(password) if user else check_password(password, make_password(None))
    membership = _membership(user, workspace) if user and known and user.is_active else None
    if user is None or membership is None or not may_use_password(user):
        record_failure(user, workspace=workspace, via="api")
        raise SuperusersOnly if settings.OIDC_ONLY else LoginFailed
    _check_second_factor(user, membership, code)
    with transaction.atomic():
        User.objects.filter(pk=user.pk).update(last_login=Now())
        record_success(user, membership.workspace_id, via="api")
    log.info("login", extra={"actor": str(user.pk), "workspace": str(membership.workspace_id)})
    return _issue(Actor(user, membership.workspace, membership), typed_at=datetime_to_epoch(aware_utcnow()))


def check_passwords_on() -> None:
    """Raises PasswordsOff where nobody at all signs in with a password."""
    if settings.OIDC_ONLY and not settings.OIDC_BREAK_GLASS:
        raise PasswordsOff


def may_use_password(user: User) -> bool:
    """Whether this person may sign in with a password: anybody, or superusers where an identity provider has it all."""
    return user.is_active and (not settings.OIDC_ONLY or (settings.OIDC_BREAK_GLASS and user.is_superuser))


def record_success(user: User, workspace_id: UUID | None = None, *, via: str) -> None:
    """Tell the audit log of a sign-in, in the transaction at hand; `via` is the door.

    Where it opens no one workspace, it stands in the person's first.
    """
    _record("login.succeeded", user, workspace_id or _home(user, ""), via)


def record_failure(user: User | None, *, workspace: str = "", via: str) -> None:
    """Tell the audit log of a sign-in that failed, in a transaction of its own.

    It stands in the workspace that was tried, or else in the person's first. What was typed as the address of nobody
    may be a password: it is not kept. An unknown person costs the same work.
    """
    log.warning("login failed", extra={"account": str(user.pk) if user else None})
    with transaction.atomic():
        _record("login.failed", user, _home(user, workspace), via)


def _check_second_factor(user: User, membership: Membership, code: str) -> None:
    """Raises MfaRequired, LoginFailed for a wrong code, RateLimited, or MfaSetupRequired."""
    if not mfa.enabled(user):
        if membership.workspace.require_mfa:
            raise mfa.MfaSetupRequired
        return
    if not code:
        raise mfa.MfaRequired
    if mfa.proven_by(user, code) is None:
        record_failure(user, workspace=str(membership.workspace_id), via="mfa")
        raise LoginFailed(mfa.USED if mfa.was_used(user, code) else "The code is wrong, or was used before.")


def _record(type: str, user: User | None, workspace_id: UUID, via: str) -> None:
    who = ledger.person(user.pk, label=user.email) if user else ledger.SYSTEM
    target = ("person", user.pk) if user else None
    ledger.record(ledger.Entry(type=type, workspace_id=workspace_id, who=who, target=target, data={"via": via}))


def _home(user: User | None, workspace: str) -> UUID:
    """The workspace whose log tells of the person: the named one of theirs, their first, or the installation."""
    theirs = Membership.objects.filter(user=user.pk if user else ids.new()).order_by("created_at")
    places = {str(pk): slug for pk, slug in theirs.values_list("workspace_id", "workspace__slug")}
    named = [pk for pk, slug in places.items() if workspace in (pk, slug)]
    return UUID(next(iter(named or places), str(ledger.INSTALLATION)))


def renew(refresh: str) -> Tokens:
    """New tokens for a refresh token, which is used up by it. Raises RefreshRefused; Unavailable without Valkey.

    A token that comes twice was copied, and nobody knows by whom: every token that descends from its sign-in ends.
    """
    try:
        claims = RefreshToken(refresh)  # type: ignore[arg-type]  # its stubs want its own Token
        actor = callers.by_member(UUID(claims["user_id"]), UUID(claims["workspace_id"]))
        told, token_id, family = claims["stamp"], claims["jti"], claims["family"]
        typed_at = int(claims.get("auth_time", 0))
    except (TokenError, KeyError, ValueError, AttributeError):
        raise RefreshRefused from None
    if actor is None or not constant_time_compare(told, stamp(actor.user)) or not _first_use(token_id, family):
        raise RefreshRefused
    if not may_use_password(actor.user):
        raise RefreshRefused(PasswordsOff.default_detail)
    if mfa.withheld(actor):
        raise RefreshRefused(mfa.MfaSetupRequired.default_detail)
    return _issue(actor, family, typed_at=typed_at)


def stamp(user: User) -> str:
    """What tokens carry of the password that they were got with: when it changes, or they are put out, it ends."""
    since = str(user.signed_out_at.timestamp()) if user.signed_out_at else ""
    return salted_hmac("accounts.tokens", user.password + since).hexdigest()[:16]


def claims_of(token: str) -> AccessToken:
    """What an access token says; raises TokenError where it is none of ours, or has run out."""
    return AccessToken(token)  # type: ignore[arg-type]  # its stubs want its own Token


def is_fresh(token: str) -> bool:
    """Whether the token descends from a password typed within FRESH; a key never does."""
    try:
        typed_at = int(claims_of(token)["auth_time"])
    except (TokenError, KeyError):
        return False
    return datetime_to_epoch(aware_utcnow() - FRESH) <= typed_at


def _issue(actor: Actor, family: str = "", *, typed_at: int) -> Tokens:
    refresh = RefreshToken()
    refresh["user_id"] = str(actor.user.pk)
    refresh["workspace_id"] = str(actor.workspace.pk)
    refresh["stamp"] = stamp(actor.user)
    refresh["auth_time"] = typed_at  # renewing is no typing: this stays
    refresh["family"] = family or refresh["jti"]  # the sign-in that it descends from
    access = refresh.access_token
    return Tokens(str(access), str(refresh), int(access.lifetime.total_seconds()), actor)


def _membership(user: User, workspace: str) -> Membership | None:
    memberships: QuerySet[Membership] = user.memberships.select_related("workspace").order_by("created_at")
    if workspace:
        try:
            memberships = memberships.filter(workspace_id=UUID(workspace))
        except ValueError:
            memberships = memberships.filter(workspace__slug=workspace)
    return memberships.first()


def _first_use(token_id: str, family: str) -> bool:
    kept = int(RefreshToken.lifetime.total_seconds())
    with valkey.needed():
        client = valkey.quick()
        if not client.set(f"refreshed:{token_id}", "1", nx=True, ex=kept):
            client.set(f"copied:{family}", "1", ex=kept)
            log.warning("a refresh token came twice", extra={"family": family})
            return False
        return not client.exists(f"copied:{family}")
