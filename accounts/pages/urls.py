"""Routes of the pages of accounts."""

from django.urls import include, path, re_path

from accounts.pages import invited, keys, members, usage, views
from accounts.pages.console import route

urlpatterns = [
    re_path(r"^account/workspace/?$", views.switch, name="switch-workspace"),
    re_path(r"^account/invited/(?P<token>[-\w]{1,100})/?$", invited.page, name="invited"),
    path("account/", include("accounts.pages.signin")),
    route("members", members.index, "members"),
    route("members/invite", members.invite, "invite"),
    route("members/<id>", members.change, "member"),
    route("members/<id>/remove", members.remove, "member-remove"),
    route("invitations/<id>/resend", members.resend, "invitation-resend"),
    route("invitations/<id>/revoke", members.revoke, "invitation-revoke"),
    route("keys", keys.index, "keys"),
    route("keys/new", keys.new, "key-new"),
    route("keys/<id>/rotate", keys.rotate, "key-rotate"),
    route("keys/<id>/revoke", keys.revoke, "key-revoke"),
    route("usage", usage.index, "usage"),
]
