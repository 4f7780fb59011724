"""Pages of the admin that are no model's: the inbox and the trust table."""

from collections.abc import Callable
from functools import partial

from django.contrib.admin import AdminSite
from django.http import HttpResponse
from django.urls import URLPattern, path

from approvals.admin import inbox, trust


def pages(site: AdminSite) -> list[URLPattern]:
    """The routes, for staff alone."""
    return [
        path("approvals/inbox/", _page(site, inbox.inbox), name="approvals_inbox"),
        path("approvals/inbox/decide/", _page(site, inbox.decide), name="approvals_inbox_decide"),
        path("approvals/trust/", _page(site, trust.table), name="approvals_trust"),
        path("approvals/trust/accept/", _page(site, trust.accept), name="approvals_trust_accept"),
    ]


def _page(site: AdminSite, view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    return site.admin_view(partial(view, site=site))
