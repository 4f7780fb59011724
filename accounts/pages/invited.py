"""Where the link of an invitation leads: who invites to what, and the way in."""

from allauth.usersessions.models import UserSession
from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import authenticate, login, password_validation
from django.contrib.auth.views import redirect_to_login
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render

from accounts import limits, signedin
from accounts.models import Invitation, Membership, Role, User
from accounts.pages.forms import refuse
from accounts.pages.members import ROLES
from accounts.services import invitations
from accounts.services.login import record_success
from core.errors import DomainError, RateLimited

TRIES_A_MINUTE = 20  # links that one address may open


class NewPersonForm(forms.Form):
    """Who somebody is, and what they sign in with from now on."""

    name = forms.CharField(max_length=200, label="Your name", widget=forms.TextInput({"autocomplete": "name"}))
    password = forms.CharField(
        max_length=1000,
        strip=False,
        help_text=" ".join(password_validation.password_validators_help_texts()),
        widget=forms.PasswordInput({"autocomplete": "new-password"}),
    )


def page(request: HttpRequest, token: str) -> HttpResponse:
    """The invitation, to whoever holds its link; a POST accepts it. Raises InvitationGone and RateLimited."""
    _count(request)
    invitation = invitations.by_token(token)
    user = request.user if isinstance(request.user, User) else None
    if user is not None:
        response = _signed_in(request, invitation, user)
    elif invitations.has_account(invitation) or settings.OIDC_ONLY:
        if request.method == "POST":
            return redirect_to_login(request.get_full_path())
        response = _shown(request, invitation, "sign-in")
    else:
        response = _new(request, invitation)
    response["Cache-Control"] = "no-store"
    return response


def _signed_in(request: HttpRequest, invitation: Invitation, user: User) -> HttpResponse:
    if user.email != invitation.email:
        return _shown(request, invitation, "other", status=403)
    if request.method != "POST":
        return _shown(request, invitation, "join")
    return _welcome(request, invitations.accept(invitation, user=user))


def _new(request: HttpRequest, invitation: Invitation) -> HttpResponse:
    form = NewPersonForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        try:
            membership = invitations.accept_new(invitation, **given)
        except DomainError as error:
            refuse(form, error)
        else:
            # Asked as any sign-in is: should the account have come about otherwise meanwhile, this is not its password.
            user = authenticate(request, username=invitation.email, password=given["password"])
            if user is None:
                return redirect_to_login("/")
            with transaction.atomic():
                login(request, user)
                UserSession.objects.create_from_request(request)  # which lists it, and ends it with the others
                record_success(membership.user, membership.workspace_id, via="invitation")
            return _welcome(request, membership)
    return _shown(request, invitation, "new", form=form, status=400 if form.errors else 200)


def _welcome(request: HttpRequest, membership: Membership) -> HttpResponse:
    request.session[signedin.WORKSPACE] = str(membership.workspace_id)
    messages.success(request, f"Welcome to {membership.workspace}.")
    return HttpResponseRedirect("/")


def _shown(
    request: HttpRequest, invitation: Invitation, way: str, *, form: forms.Form | None = None, status: int = 200
) -> HttpResponse:
    role = Role(invitation.role)
    context = {
        "invitation": invitation,
        "way": way,
        "form": form,
        "role": role.label,
        "role_about": ROLES[role],
        "groups_of": settings.OIDC_NAME if invitations.follows_groups(invitation.workspace) else "",
    }
    return render(request, "account/invited.html", context, status=status)


def _count(request: HttpRequest) -> None:
    """Count an opened link of this address, so that nobody tries them by the thousand; raises RateLimited."""
    who = f"ip:{limits.address(request)}"
    verdict = limits.hit("invited", limit=TRIES_A_MINUTE, who=who, fail_closed=True)
    if not verdict.allowed:
        raise RateLimited(f"Try again in {verdict.reset} seconds.", headers=verdict.headers)
