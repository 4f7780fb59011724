"""What every page of the inbox shares: who is signed in, that browsers keep nothing of it, and that it is counted."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.views.decorators.cache import never_cache

from accounts import limits
from accounts.models import Actor
from accounts.signedin import signed_in

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, Actor, P], HttpResponseBase]


def counted(view: View[P]) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
    """A page for people of a workspace. What it is sent counts as decisions do at the API.

    Raises RateLimited, and Unavailable for a decision that cannot be counted.
    """

    @wraps(view)
    def page(request: HttpRequest, actor: Actor, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        limits.count_page(request, actor, changes="decide", fail_closed=True)
        return view(request, actor, *args, **kwargs)

    return never_cache(signed_in(page))
