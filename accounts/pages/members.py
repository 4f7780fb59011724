"""Members of a workspace and their roles, and who is invited."""

from typing import Any

from django import forms
from django.conf import settings
from django.db.models import Q
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse

from accounts import limits
from accounts.models import Actor, Invitation, Membership, Role
from accounts.pages import console
from accounts.services import invitations, members
from core.errors import RateLimited

MEMBERS = "members"
BACK = console.SECTIONS[MEMBERS].path
INVITED_AN_HOUR = 60  # letters that a workspace may send to addresses that somebody typed
HOUR_MS = 3_600_000
ROLES = {
    Role.MEMBER: "talks to companions, and sees what is theirs",
    Role.MANAGER: "also decides what waits for approval, and switches agents and tools",
    Role.AUDITOR: "also reads the audit log, usage and settings, and changes nothing",
    Role.ADMIN: "does all of it, and says who belongs here",
}
CHOICES = [(role.value, f"{role.label}: {about}") for role, about in ROLES.items()]


class RoleForm(forms.Form):
    """What a member is."""

    role = forms.ChoiceField(choices=CHOICES, widget=forms.RadioSelect)


class InviteForm(RoleForm):
    """Who is asked to join, and as what."""

    email = forms.EmailField(
        max_length=254,
        label="E-mail address",
        help_text="A letter with a link goes there. Whoever reads it can join.",
        widget=forms.EmailInput({"autocomplete": "off"}),
    )
    field_order = ("email", "role")


@console.reads(MEMBERS)
def index(request: HttpRequest, actor: Actor) -> HttpResponse:
    """The members, and above them the invitations that nobody has answered."""

    def found(search: str) -> Any:
        rows = Membership.objects.visible_to(actor).select_related("user").order_by("user__email")
        return rows.filter(Q(user__email__icontains=search) | Q(user__name__icontains=search)) if search else rows

    waiting = Invitation.objects.visible_to(actor).open().select_related("invited_by").order_by("-sent_at")
    context = {
        "list": console.listed(request, found),
        "invitations": waiting.annotate(gone=Q(expires_at__lte=Now()))[: invitations.MOST_OPEN],
        "roles": [(role.label, about) for role, about in ROLES.items()],
    }
    return console.render(request, actor, MEMBERS, "console/members.html", context)


@console.changes(MEMBERS)
def change(request: HttpRequest, actor: Actor, pk: str) -> HttpResponse:
    """Give a member another role."""
    membership = _member(actor, pk)
    own = membership.user_id == actor.user.pk

    def give(given: dict[str, Any]) -> str:
        members.change_role(membership, given["role"], by=actor.user)
        return f"{membership.user} is {membership.get_role_display().lower()} now."

    warning = "This is you: as anything less than admin you cannot come back here by yourself. "
    return console.act(
        request,
        actor,
        MEMBERS,
        give,
        form=RoleForm(console.sent(request), initial={"role": membership.role}),
        title=f"Role of {membership.user}",
        text=f"{warning if own else ''}The new role holds at once.",
        button="Set the role",
        then="/" if own else BACK,
    )


@console.changes(MEMBERS)
def remove(request: HttpRequest, actor: Actor, pk: str) -> HttpResponse:
    """Ask, then end a membership."""
    membership = _member(actor, pk)

    def end(given: object) -> str:
        members.remove(membership, by=actor.user)
        return f"{membership.user} is no member any more."

    return console.act(
        request,
        actor,
        MEMBERS,
        end,
        title=f"Remove {membership.user}",
        text="They lose access at once, and their API keys of this workspace end. What they said stays here.",
        button="Remove them",
        danger=True,
    )


@console.changes(MEMBERS)
def invite(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Ask an address to join."""

    def send(given: dict[str, Any]) -> str | HttpResponse:
        _count(actor)
        return _sent(request, actor, *invitations.invite(by=actor, **given))

    by_groups = f" Who signs in at {settings.OIDC_NAME} has the role here that their groups there give."
    return console.act(
        request,
        actor,
        MEMBERS,
        send,
        form=InviteForm(console.sent(request), initial={"role": Role.MEMBER}),
        title="Invite somebody",
        text=f"The link in the letter works once, for {invitations.LASTS.days} days. You can take it back until then."
        + (by_groups if invitations.follows_groups(actor.workspace) else ""),
        button="Send the invitation",
    )


@console.changes(MEMBERS)
def resend(request: HttpRequest, actor: Actor, pk: str) -> HttpResponse:
    """Ask, then send an invitation anew."""
    invitation = invitations.find(actor, pk)

    def send(given: object) -> str | HttpResponse:
        _count(actor)
        return _sent(request, actor, *invitations.resend(invitation, by=actor))

    return console.act(
        request,
        actor,
        MEMBERS,
        send,
        title=f"Invite {invitation.email} again",
        text=f"A new letter is sent. The old link works no more, the new one {invitations.LASTS.days} days.",
        button="Send it again",
    )


@console.changes(MEMBERS)
def revoke(request: HttpRequest, actor: Actor, pk: str) -> HttpResponse:
    """Ask, then take an invitation back."""
    invitation = invitations.find(actor, pk)

    def end(given: object) -> str:
        invitations.revoke(invitation, by=actor)
        return f"The invitation of {invitation.email} works no more."

    return console.act(
        request,
        actor,
        MEMBERS,
        end,
        title=f"Revoke the invitation of {invitation.email}",
        text="The link in the letter works no more. You can invite them again later.",
        button="Revoke it",
        danger=True,
    )


def _member(actor: Actor, pk: str) -> Membership:
    found = Membership.objects.visible_to(actor).filter(pk=pk).select_related("user", "workspace").first()
    if found is None:
        raise console.Gone
    return found


def _count(actor: Actor) -> None:
    """Count a letter; raises RateLimited, and Unavailable where it cannot be counted."""
    who = str(actor.workspace.pk)
    verdict = limits.hit("invitations", limit=INVITED_AN_HOUR, who=who, fail_closed=True, window_ms=HOUR_MS)
    if not verdict.allowed:
        minutes = -(-verdict.reset // 60)
        raise RateLimited(
            f"{INVITED_AN_HOUR} letters were sent within an hour. Try again in {minutes} min.", headers=verdict.headers
        )


def _sent(request: HttpRequest, actor: Actor, invitation: Invitation, link: str) -> str | HttpResponse:
    """What is said of it; where no mail server is set, a page with the link, for nobody else would tell of it."""
    if settings.EMAIL_HOST:
        return f"A letter is on its way to {invitation.email}."
    return console.once(
        request,
        actor,
        MEMBERS,
        secret=link,
        title=f"Give {invitation.email} this link",
        text="This installation has no mail server (EMAIL_HOST), so no letter was sent. The link is not shown again: "
        "give it to nobody else, for whoever opens it can join.",
    )
