"""What all pages of the console share: its sections, who may read and change them, lists, and what a page does.

Each app has its sections' pages in its own `pages/`; where they are stands here alone, in one place for all floors.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any, Concatenate, ParamSpec
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.core.paginator import Page as Rows
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.http.response import HttpResponseBase
from django.shortcuts import render as rendered
from django.urls import URLPattern, re_path

from accounts import idempotency, limits
from accounts.models import Actor, Role
from accounts.pages.forms import SideForm, refuse
from accounts.signedin import same_workspace, signed_in
from core import digest, ids
from core.errors import Conflict, DomainError, Forbidden, Invalid, NotFound

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, Actor, P], HttpResponseBase]

ID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
SAFE = ("GET", "HEAD")
ROWS = 25  # on a page of a list
LONGEST_SEARCH = 200


class NotYours(Forbidden):
    """The person's role does not open this page."""

    code = "role_required"
    title = "This page is for others"
    default_detail = "Your role in this workspace does not open it. Ask an admin of the workspace."


class DoneAlready(Conflict):
    """Just this was sent before, by the same page."""

    code = "done_already"
    title = "This is done already"
    default_detail = (
        "It was made already: the page was sent twice, and nothing was done the second time. What is shown once is "
        "not shown again; who has not kept it makes another."
    )


class Gone(NotFound):
    """There is no such thing in the person's workspace."""

    title = "It is not there"
    default_detail = "There is no such thing in this workspace. It may have been deleted."


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the console. Beside admins, `reads` look at it, and `changes` may do something there."""

    title: str
    path: str
    about: str
    reads: tuple[Role, ...] = (Role.MANAGER, Role.AUDITOR)
    changes: tuple[Role, ...] = ()


SECTIONS = {
    "overview": Section("Overview", "/console/", "How the workspace stands."),
    "members": Section("Members", "/console/members/", "Who belongs to the workspace, as what, and who is invited."),
    "keys": Section("API keys", "/console/keys/", "What programs and pages sign in with."),
    "providers": Section("Providers", "/console/providers/", "Where models are, and who is asked first."),
    "companions": Section(
        "Companions", "/console/companions/", "Whom people talk to.", changes=(Role.MANAGER,)
    ),
    "agents": Section("Agents", "/console/agents/", "What answers, and what it may do.", changes=(Role.MANAGER,)),
    "tools": Section("Tools", "/console/tools/", "What agents can do, and its switches.", changes=(Role.MANAGER,)),
    "mcp": Section(
        "MCP servers", "/console/mcp/", "Servers of tools, and what is accepted of them.", changes=(Role.MANAGER,)
    ),
    "policies": Section("Policies", "/console/policies/", "What runs, what waits for a person, what is refused."),
    "budgets": Section("Budgets", "/console/budgets/", "What models may be used for."),
    "usage": Section("Usage", "/console/usage/", "What models were used for, and what it cost."),
    "webhooks": Section("Webhooks", "/console/webhooks/", "Where the workspace's programs are told what happens."),
}  # fmt: skip
"""The sidebar, in its order."""


def route(path: str, view: Callable[..., HttpResponseBase], name: str) -> URLPattern:
    """A route below /console/; `<id>` in the path stands for an id, and a trailing slash may be left out."""
    return re_path(rf"^console/{path.replace('<id>', f'(?P<pk>{ID})')}/?$", view, name=f"console-{name}")


def reads(name: str) -> Callable[[View[P]], Callable[Concatenate[HttpRequest, P], HttpResponseBase]]:
    """A page of a section for those who read it; what it is sent is taken from those alone who may change it.

    Raises NotYours, and RateLimited.
    """
    return _page(name, changing=False)


def changes(name: str) -> Callable[[View[P]], Callable[Concatenate[HttpRequest, P], HttpResponseBase]]:
    """A page of a section for those who may change it. Raises NotYours, and RateLimited."""
    return _page(name, changing=True)


def may_change(actor: Actor, name: str) -> bool:
    """Whether the person may do something in this section."""
    return actor.may(*SECTIONS[name].changes)


def render(
    request: HttpRequest,
    actor: Actor,
    name: str,
    template: str,
    context: dict[str, Any] | None = None,
    *,
    status: int = 200,
) -> HttpResponse:
    """A page of a section beside the sidebar; nothing of it is kept by browsers."""
    shared = {
        "place": "console",
        "section": SECTIONS[name],
        "sections": [one for one in SECTIONS.values() if actor.may(*one.reads)],
        "may_change": may_change(actor, name),
        "staff": request.user.is_authenticated and request.user.is_staff,
    }
    return rendered(request, template, {**shared, **(context or {})}, status=status)


def sent(request: HttpRequest) -> QueryDict | None:
    """What a form is bound to: what was sent, and nothing where the page is only looked at."""
    return request.POST if request.method == "POST" else None


def act(
    request: HttpRequest,
    actor: Actor,
    name: str,
    do: Callable[[Any], str | HttpResponse],
    *,
    form: forms.Form | None = None,
    **told: Any,
) -> HttpResponse:
    """A page that asks for something, and once its form is sent does it, says that it is done, and goes back.

    `do` gets what was filled in, and gives what is then said, or an answer of its own; what it raises, the page says.
    The page shows `title`, `text`, `exact` as it is, and `button`, which `danger` colours; who cancels goes `back`, who
    is done goes on (`then`), both to the section where nothing else is said.
    """
    form, status = form or forms.Form(sent(request)), 200
    then = told.pop("then", told.setdefault("back", SECTIONS[name].path))
    if request.method == "POST":
        status = 400
        if form.is_valid():
            try:
                with _one_time(request, actor):
                    answer = do(form.cleaned_data)
            except DoneAlready as error:
                messages.warning(request, error.detail)
                return HttpResponseRedirect(then)
            except DomainError as error:
                refuse(form, error)
                status = error.status
            else:
                return done(then, request, answer) if isinstance(answer, str) else answer
    return render(request, actor, name, "console/form.html", {"form": form, "once": ids.new(), **told}, status=status)


def switch(
    request: HttpRequest, actor: Actor, name: str, do: Callable[[bool], object], *, what: str, on: bool, text: str
) -> HttpResponse:
    """A page that switches something to its other side; one that is old switches nothing the other way round."""
    to = "off" if on else "on"

    def switched(given: dict[str, Any]) -> str:
        do(given["to"] == "on")
        return f"{what} is {given['to']}."

    form = SideForm(sent(request), initial={"to": to})
    told = {"title": f"Switch {what} {to}", "text": text, "button": f"Switch {to}", "danger": on}
    return act(request, actor, name, switched, form=form, **told)


def once(request: HttpRequest, actor: Actor, name: str, *, secret: str, **told: Any) -> HttpResponse:
    """A page that shows a secret this one time: `title`, `text`, and `back`."""
    told.setdefault("back", SECTIONS[name].path)
    return render(request, actor, name, "console/once.html", {"secret": secret, **told})


def done(path: str, request: HttpRequest, said: str) -> HttpResponse:
    """On to another page, which says what was done."""
    messages.success(request, said)
    return HttpResponseRedirect(path)


class ListQuery(forms.Form):
    """What a list is asked for."""

    q = forms.CharField(required=False, max_length=LONGEST_SEARCH)
    page = forms.IntegerField(required=False, min_value=1, max_value=100_000)


@dataclass(frozen=True, slots=True)
class Listed:
    """A page of a list, and the search that it came from."""

    rows: Rows[Any]
    search: str

    @property
    def before(self) -> str:
        """The address of the page before; empty on the first."""
        return self._link(self.rows.number - 1) if self.rows.has_previous() else ""

    @property
    def after(self) -> str:
        """The address of the next page; empty on the last."""
        return self._link(self.rows.number + 1) if self.rows.has_next() else ""

    def _link(self, number: int) -> str:
        return "?" + urlencode({"q": self.search, "page": number} if self.search else {"page": number})


def listed(request: HttpRequest, rows: Callable[[str], Any]) -> Listed:
    """The asked-for page of what `rows` gives for a search, in its order; raises Invalid for what asks for nothing."""
    query = ListQuery(request.GET)
    if not query.is_valid():
        raise Invalid("The list cannot be searched for this. Go back, and search for something else.")
    search = str(query.cleaned_data["q"])
    return Listed(Paginator(rows(search), ROWS).get_page(query.cleaned_data["page"] or 1), search)


def _page(name: str, *, changing: bool) -> Callable[[View[P]], Callable[Concatenate[HttpRequest, P], HttpResponseBase]]:
    def wrap(view: View[P]) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
        @signed_in
        @wraps(view)
        def page(request: HttpRequest, actor: Actor, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            _admit(request, actor, name, changing=changing)
            response = view(request, actor, *args, **kwargs)
            response["Cache-Control"] = "no-store"
            return response

        return page

    return wrap


@contextmanager
def _one_time(request: HttpRequest, actor: Actor) -> Iterator[None]:
    """Do what a page asks for once, however often its form is sent; raises DoneAlready."""
    if "once" not in request.POST:
        yield
        return
    try:
        claim = idempotency.begin(actor, digest.hexdigest(dict(request.POST.lists())), f"page {request.path}", b"")
    except idempotency.InFlight:
        raise DoneAlready("The page was sent twice, and is being done. Look again in a minute.") from None
    if isinstance(claim, idempotency.Replay):
        raise DoneAlready
    try:
        yield
    except BaseException:
        idempotency.abandon(claim)
        raise
    idempotency.complete(claim, 200, None)


def _admit(request: HttpRequest, actor: Actor, name: str, *, changing: bool) -> None:
    section, safe = SECTIONS[name], request.method in SAFE
    if not actor.may(*section.reads) or ((changing or not safe) and not actor.may(*section.changes)):
        raise NotYours
    same_workspace(request, actor)
    limits.count_page(request, actor)
