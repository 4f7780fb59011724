"""Routes of the inbox, and of what people want to be told. Links have the trailing slash; without it they work too."""

from collections.abc import Callable

from django.http.response import HttpResponseBase
from django.urls import URLPattern, path

from approvals.pages import deciding, notifications, views

ONE = "approvals/<uuid:approval_id>"


def _both(route: str, view: Callable[..., HttpResponseBase], name: str) -> list[URLPattern]:
    return [path(f"{route}/", view, name=name), path(route, view)]


urlpatterns = [
    *_both("approvals", views.inbox, "inbox"),
    *_both("approvals/waiting", views.waits, "inbox-waiting"),
    *_both("approvals/together", deciding.together, "inbox-together"),
    *_both(ONE, deciding.approval, "approval"),
    *_both(f"{ONE}/standing", views.standing_now, "approval-standing"),
    *_both(f"{ONE}/approve", deciding.approve, "approval-approve"),
    *_both(f"{ONE}/edit", deciding.edit, "approval-edit"),
    *_both("account/notifications", notifications.page, "notifications"),
]
