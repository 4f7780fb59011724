"""Who is signed in in this browser: the session's person, in the workspace of theirs that they chose."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec
from uuid import UUID

from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from rest_framework.authentication import BaseAuthentication, CSRFCheck
from rest_framework.request import Request

from accounts.authentication import bind
from accounts.models import Actor, Membership, User
from accounts.services import callers
from core.errors import Conflict, Forbidden

P = ParamSpec("P")
Page = Callable[Concatenate[HttpRequest, P], HttpResponseBase]

WORKSPACE = "workspace"
"""Where the session keeps the id of the workspace that its person chose, and a form that of the one it was shown in."""
IN_WORKSPACE = "X-Workspace"
"""The header in which a page's script names the workspace that the page shows."""
OWN_PATHS = ("/v1/ai/", "/v1/auth/")
"""Where a session's cookie counts as a credential: what our own pages call."""


class NoWorkspace(Forbidden):
    """The person belongs to no workspace, where everything is."""

    code = "no_workspace"
    default_detail = "You belong to no workspace. Ask an admin to invite you."


class OtherWorkspace(Conflict):
    """The page was shown in another workspace than the one that its person works in by now."""

    code = "other_workspace"
    title = "You work in another workspace now"
    default_detail = (
        "Nothing was changed: this page was of another workspace. Switch back to it, or open the page anew."
    )


class CrossSite(Forbidden):
    """A cookie without the proof that a page of ours sent it."""

    code = "csrf_failed"
    default_detail = "The CSRF token is missing or wrong. Reload the page and try again."


def actor(request: HttpRequest) -> Actor | None:
    """The person of the session in the workspace they chose, else in their first; None where there is none."""
    user = request.user
    if not isinstance(user, User) or not user.is_active:
        return None
    chosen = request.session.get(WORKSPACE)
    found = callers.by_member(user.pk, UUID(chosen)) if chosen else None
    if found is None:
        first = Membership.objects.filter(user=user).order_by("created_at").values_list("workspace_id", flat=True)[:1]
        found = next((callers.by_member(user.pk, workspace_id) for workspace_id in first), None)
    return found


def signed_in(view: Callable[Concatenate[HttpRequest, Actor, P], HttpResponseBase]) -> Page[P]:
    """A page for people of a workspace: strangers go to sign in. Raises NoWorkspace for who belongs to none."""

    @wraps(view)
    def page(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        found = actor(request)
        if found is None:
            raise NoWorkspace
        bind(found)
        request.actor = found  # type: ignore[attr-defined]  # for what every page shows
        return view(request, found, *args, **kwargs)

    return page


def same_workspace(request: HttpRequest, actor: Actor) -> None:
    """Raises OtherWorkspace for a form that names another workspace: another tab has switched since it was shown."""
    if request.POST.get(WORKSPACE, "") not in ("", str(actor.workspace.pk)):
        raise OtherWorkspace


class SessionAuthentication(BaseAuthentication):
    """The session of a page of ours, with the token against forgery from other sites; on OWN_PATHS alone."""

    def authenticate(self, request: Request) -> tuple[Actor, str] | None:
        """The caller; None without a session, or with any other credential. Raises CrossSite and OtherWorkspace."""
        http = request._request
        if "HTTP_AUTHORIZATION" in http.META or not http.path_info.startswith(OWN_PATHS):
            return None
        found = actor(http)
        if found is None:
            return None
        _check_csrf(http)
        if http.headers.get(IN_WORKSPACE, "") not in ("", str(found.workspace.pk)):
            raise OtherWorkspace
        bind(found)
        return found, ""

    def authenticate_header(self, request: Request) -> str:
        """What a 401 asks for."""
        return "Bearer"


def _check_csrf(request: HttpRequest) -> None:
    check = CSRFCheck(_answer_nothing)
    check.process_request(request)
    if check.process_view(request, None, (), {}):  # type: ignore[arg-type]  # as DRF's own session authentication does
        raise CrossSite


def _answer_nothing(request: HttpRequest) -> Any:
    return None
