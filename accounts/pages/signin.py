"""Routes of signing in below `/account/`: django-allauth's views, save those that would let people make accounts."""

from allauth.account import views
from allauth.mfa.webauthn import views as keys
from django.contrib.auth.decorators import login_required
from django.db.transaction import atomic
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import include, path, re_path
from django.views.decorators.cache import never_cache

from accounts import oidc
from accounts.services import mfa


@never_cache
@login_required
def overview(request: HttpRequest) -> HttpResponse:
    """What belongs to one's own sign-in."""
    return render(request, "account/overview.html", {"factors": mfa.factors(request.user)})  # type: ignore[arg-type]


def closed(request: HttpRequest) -> HttpResponse:
    """Nobody makes an account for themselves."""
    return render(request, "account/signup_closed.html", status=403)


urlpatterns = [
    path("", overview, name="account_overview"),
    path("login/", views.login, name="account_login"),
    path("logout/", views.logout, name="account_logout"),
    path("inactive/", views.account_inactive, name="account_inactive"),
    path("signup/", closed, name="account_signup"),
    path("reauthenticate/", views.reauthenticate, name="account_reauthenticate"),
    # What the log is told of belongs into the change, as do the letters.
    path("password/change/", atomic(views.password_change), name="account_change_password"),
    path("password/set/", atomic(views.password_set), name="account_set_password"),
    path("password/reset/", views.password_reset, name="account_reset_password"),
    path("password/reset/done/", views.password_reset_done, name="account_reset_password_done"),
    re_path(
        r"^password/reset/key/(?P<uidb36>[0-9A-Za-z]{1,64})-(?P<key>[0-9A-Za-z-]{1,200})/$",
        atomic(views.password_reset_from_key),
        name="account_reset_password_from_key",
    ),
    path("password/reset/key/done/", views.password_reset_from_key_done, name="account_reset_password_from_key_done"),
    path("2fa/webauthn/add/", atomic(keys.add_webauthn), name="mfa_add_webauthn"),
    path("2fa/", include("allauth.mfa.urls")),
    path("sessions/", include("allauth.usersessions.urls")),
    path("oidc/<slug:provider_id>/login/", oidc.begin, name="openid_connect_login"),
    path("oidc/<slug:provider_id>/login/callback/", oidc.come_back, name="openid_connect_callback"),
    path("oidc/signup/", closed, name="socialaccount_signup"),
    path("oidc/cancelled/", views.login, name="socialaccount_login_cancelled"),
]
