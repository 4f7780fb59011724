"""Who guesses passwords is locked out: from one account, at one address, for a while (django-axes).

A stranger cannot lock others out of their own account for longer than the minute in which it is tried too often. Names
of nobody are locked as those of people are.
"""

import hashlib
from ipaddress import ip_network
from typing import Any

from axes.handlers.proxy import AxesProxyHandler
from axes.models import AccessAttempt
from django.conf import settings
from django.contrib.auth.signals import user_login_failed
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import salted_hmac

from accounts import limits
from accounts.models import User
from core import problems
from core.errors import RateLimited

TRIES_OF_AN_ADDRESS = 3  # times those of an account


class Locked(RateLimited):
    """Too many wrong passwords of one account came from this address."""

    code = "sign_in_locked"
    default_detail = "Too many failed tries. Wait, or ask an admin to unlock you."


def count_address(request: HttpRequest) -> None:
    """Count a try of this address; raises RateLimited, or Unavailable without Valkey."""
    # One address may stand for a whole office, so it may try more often than one account can be tried.
    limit = settings.LIMITS["login"] * TRIES_OF_AN_ADDRESS
    limits.guard("login", limit=limit, who=f"ip:{limits.address(request)}", fail_closed=True, request=request)


def count_account(request: HttpRequest, email: str) -> None:
    """Count a try of this account, from wherever; raises as above."""
    account = hashlib.sha256(email.strip().lower().encode(errors="replace")).hexdigest()
    limit = settings.LIMITS["login"]
    limits.guard("login", limit=limit, who=f"account:{account}", fail_closed=True, request=request)


def is_locked(request: HttpRequest, email: str) -> bool:
    """Whether this address may not try this account now."""
    return not AxesProxyHandler.is_allowed(request, {"email": email})


def check(request: HttpRequest, email: str) -> None:
    """Raises Locked where this address may not try this account now."""
    if is_locked(request, email):
        raise _locked(request)


def failed(request: HttpRequest, email: str) -> None:
    """A password, or the code beside it, was wrong."""
    user_login_failed.send(sender=__name__, credentials={"email": email}, request=request)


def passed(request: HttpRequest, user: User) -> None:
    """The person is who they say: what failed before is forgotten."""
    AxesProxyHandler.user_logged_in(__name__, request=request, user=user)


def unlock(attempt: AccessAttempt) -> int:
    """Forget what failed of one account at one address, from whatever browser; returns how many rows that were."""
    found: int = AxesProxyHandler.reset_attempts(ip_address=attempt.ip_address, username=attempt.username)
    return found


def name(request: HttpRequest, credentials: dict[str, Any] | None = None) -> str | None:
    """The account that is tried: a person's address. What is nobody's may be a password: a keyed hash stands for it."""
    typed = (credentials or {}).get("email") or (credentials or {}).get("username")
    if not typed:
        return None
    email = str(typed).strip().lower()
    known = "\x00" not in email and User.objects.filter(email=email).exists()
    return email if known else f"unknown:{salted_hmac('accounts.lockout', email, algorithm='sha256').hexdigest()[:32]}"


def address(request: HttpRequest) -> str | None:
    """The peer's address, as it is counted; None where there is none, as in a test of a service."""
    text = limits.address(request)
    return None if text == "unknown" else str(ip_network(text, strict=False).network_address)


def respond(request: HttpRequest, response: HttpResponse | None = None, credentials: Any = None) -> HttpResponse:
    """The answer to who is locked out: a page to people, a problem to programs."""
    return problems.respond_to(_locked(request), request)


def _locked(request: HttpRequest) -> Locked:
    seconds = round(settings.AXES_COOLOFF_TIME.total_seconds())
    minutes = max(1, -(-seconds // 60))
    wait = "a minute" if minutes == 1 else f"{minutes} minutes"
    told = f"Too many failed tries. Wait {wait}, or ask an admin to unlock you."
    return Locked(told, headers={"Retry-After": str(seconds)})
