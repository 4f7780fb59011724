"""Which workspace somebody works in, in this browser."""

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from accounts import signedin
from accounts.models import Actor, Workspace
from core.errors import NotFound

ACCOUNT = "/account/"


def shown(request: HttpRequest) -> dict[str, Any]:
    """What every page shows of who is there: their workspaces, read where a page asks for them."""
    actor: Actor | None = getattr(request, "actor", None)
    # Views of /account/ are django-allauth's; what was refused may have come to no view of ours.
    unasked = request.path.startswith(ACCOUNT) or getattr(request, "is_refused", False)
    if actor is None and unasked and hasattr(request, "user"):
        actor = request.actor = signedin.actor(request)  # type: ignore[attr-defined]
    if actor is None:
        return {}
    return {"workspaces": Workspace.objects.filter(memberships__user=actor.user).order_by("name")}


@require_POST
@signedin.signed_in
def switch(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Work in another of one's workspaces from now on; raises NotFound for one that is not theirs."""
    try:
        wanted = UUID(request.POST.get("workspace", ""))
    except ValueError:
        raise NotFound("There is no such workspace.") from None
    if not actor.user.memberships.filter(workspace=wanted).exists():
        raise NotFound("There is no such workspace.")
    request.session[signedin.WORKSPACE] = str(wanted)
    back = request.POST.get("next", "")
    safe = url_has_allowed_host_and_scheme(back, {request.get_host()}, require_https=request.is_secure())
    return HttpResponseRedirect(back if safe else "/")
