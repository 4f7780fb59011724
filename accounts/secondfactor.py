"""Who must have a second factor and has none is led to set it up, and does nothing else in this browser."""

from collections.abc import Callable

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse
from django.utils.cache import add_never_cache_headers

from accounts.models import User
from accounts.services import mfa
from accounts.services.sessions import AT_PROVIDER
from core import problems

ACCOUNT = "/account/"
WAYS = ("2fa/", "login/", "logout/", "oidc/", "password/", "reauthenticate/", "sessions/")
OPEN = (settings.STATIC_URL, *(ACCOUNT + way for way in WAYS))
"""What leads to a second factor, or out of here."""


class Required:
    """Looks at every request that a session's cookie comes with."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if settings.SESSION_COOKIE_NAME in request.COOKIES and not request.path_info.startswith(OPEN):
            # Where programs call, another credential is looked at in place of the cookie; a page looks at nothing else.
            counts = "HTTP_AUTHORIZATION" not in request.META or not problems.is_for_programs(request.path_info)
            if counts and missing(request):
                return _refusal(request)
        response = self.get_response(request)
        if request.path_info.startswith(ACCOUNT):
            add_never_cache_headers(response)  # secrets and recovery codes are shown there
        return response


def missing(request: HttpRequest) -> bool:
    """Whether the session's person must have a second factor, and signed in without one."""
    user = request.user
    return isinstance(user, User) and not request.session.get(AT_PROVIDER) and mfa.lacking(user)


def _refusal(request: HttpRequest) -> HttpResponseBase:
    if problems.is_for_programs(request.path):
        return problems.respond_to(mfa.MfaSetupRequired(), request)
    messages.warning(request, "Your workspace requires two-factor sign-in. Set it up to go on.")
    return HttpResponseRedirect(reverse("mfa_index"))
