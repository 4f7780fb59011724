"""Invitations: an admin asks an address to join, and whoever reads its mail accepts.

The link carries 256 bits, of which only the SHA-256 is kept, works once, and for a week. It holds only while who sent
it could send it still. Nobody is told whether an address has an account but by a letter to that address.
"""

import hashlib
import hmac
import secrets
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.template.loader import render_to_string

from accounts.models import Actor, Invitation, Membership, Role, User, Workspace
from accounts.services import letters, members, people
from core import ledger
from core.errors import Conflict, Forbidden, Invalid, NotFound

LASTS = timedelta(days=7)
MOST_OPEN = 500  # invitations of a workspace that nobody has answered
PAGE = "/account/invited/{}/"
PREFIX = "iv_cs_"  # by which logs know such a token, and leave it out
_LONGEST = 100  # characters of what stands in a link


class MayNotInvite(Forbidden):
    """The person's role does not carry this."""

    code = "role_required"
    default_detail = "Only an admin of the workspace invites people."


class AlreadyInvited(Conflict):
    """The address has an invitation that it can still accept."""

    code = "already_invited"
    default_detail = "This address is invited already. Send the invitation again, or revoke it first."


class InvitationGone(NotFound):
    """The link is unknown, used, revoked or too old; which of these is not told."""

    code = "invitation_gone"
    title = "This invitation cannot be used"
    default_detail = "It was used, revoked, or is older than a week. Ask an admin of the workspace for a new one."


class ForAnother(Forbidden):
    """The invitation is for another address than that of the person who is signed in."""

    code = "invitation_for_another"
    title = "This invitation is for somebody else"
    default_detail = "It was sent to another address than the one that you signed in with."


class HasAccount(Conflict):
    """The address has an account: its person signs in, and sets no second password."""

    code = "account_exists"
    default_detail = "There is an account of this address. Sign in with it, then open the link again."


def find(actor: Actor, invitation_id: UUID | str) -> Invitation:
    """An open invitation of the caller's workspace; raises InvitationGone."""
    found = Invitation.objects.visible_to(actor).open().filter(pk=invitation_id).first()
    if found is None:
        raise InvitationGone("There is no such open invitation in this workspace.")
    return found


@transaction.atomic
def invite(*, by: Actor, email: str, role: str = Role.MEMBER) -> tuple[Invitation, str]:
    """Ask an address to join, by a letter, and give the link that stands in it.

    Raises MayNotInvite, Invalid, AlreadyInvited, or members.AlreadyMember.
    """
    _admit(by)
    email = email.strip().lower()
    if role not in Role.values:
        raise Invalid.field("role", f"one of {', '.join(Role.values)}")
    letters.check(email)
    workspace = Workspace.objects.select_for_update(no_key=True).get(pk=by.workspace.pk)
    if Membership.objects.filter(workspace=workspace, user__email=email).exists():
        raise members.AlreadyMember
    here = Invitation.objects.visible_to(by).open()
    here.filter(email=email, expires_at__lte=Now()).update(revoked_at=Now())
    if here.count() >= MOST_OPEN:
        raise Invalid(f"A workspace has {MOST_OPEN} open invitations at most. Revoke some first.")
    token = _new_token()
    made = Invitation(workspace=workspace, email=email, role=role, invited_by=by.user, token_hash=_hash(token))
    made.expires_at = Now() + LASTS  # the database's clock says
    try:
        with transaction.atomic():
            made.save(force_insert=True)
    except IntegrityError:
        raise AlreadyInvited from None
    made.refresh_from_db()
    _record("invitation.sent", made, by.who, role=role)
    return made, _post(made, token, by)


@transaction.atomic
def resend(invitation: Invitation, *, by: Actor) -> tuple[Invitation, str]:
    """Send an open invitation anew: the link before it works no more. Raises MayNotInvite or InvitationGone."""
    _admit(by, invitation)
    token = _new_token()
    open_ = Invitation.objects.open().filter(pk=invitation.pk)
    fresh = {"token_hash": _hash(token), "invited_by": by.user, "sent_at": Now(), "expires_at": Now() + LASTS}
    if not open_.update(**fresh):
        raise InvitationGone
    invitation.refresh_from_db()
    _record("invitation.sent", invitation, by.who, role=invitation.role, again=True)
    return invitation, _post(invitation, token, by)


@transaction.atomic
def revoke(invitation: Invitation, *, by: Actor) -> None:
    """Take an invitation back; a second time changes nothing. Raises MayNotInvite."""
    _admit(by, invitation)
    if Invitation.objects.open().filter(pk=invitation.pk).update(revoked_at=Now()):
        _record("invitation.revoked", invitation, by.who, role=invitation.role)


def by_token(token: str) -> Invitation:
    """The invitation that a link means, while it can be accepted; raises InvitationGone."""
    digest = _hash(token[:_LONGEST])
    rows = Invitation.objects.open().filter(token_hash=digest, expires_at__gt=Now())
    found = rows.select_related("workspace", "invited_by").first()
    if found is None or not hmac.compare_digest(bytes(found.token_hash), digest) or not _stands(found):
        raise InvitationGone
    return found


def waiting_for(email: str) -> list[Invitation]:
    """The invitations that an address can accept, for who has proved by other means that it is theirs."""
    rows = Invitation.objects.open().filter(email=email.strip().lower(), expires_at__gt=Now())
    return [one for one in rows.select_related("workspace", "invited_by").order_by("created_at") if _stands(one)]


@transaction.atomic
def accept(invitation: Invitation, *, user: User) -> Membership:
    """Let a person join whose account has the very address; raises ForAnother or InvitationGone.

    Who became a member by other means meanwhile has the role of the invitation, if that may do more and is not the
    provider's to give.
    """
    if user.email != invitation.email or not user.is_active:
        raise ForAnother
    _use(invitation)
    held = Membership.objects.filter(workspace=invitation.workspace_id, user=user).first()
    if held is None:
        return _joined(invitation)
    more = members.ORDER.index(Role(invitation.role)) < members.ORDER.index(Role(held.role))
    if more and not follows_groups(invitation.workspace):
        members.change_role(held, invitation.role, by=invitation.invited_by)
    _accepted(invitation, user)
    return held


@transaction.atomic
def accept_new(invitation: Invitation, *, name: str, password: str | None) -> Membership:
    """Make an account of the address and let it join; without a password it signs in by other means.

    Raises HasAccount, Invalid for what a password may not be, or InvitationGone.
    """
    if has_account(invitation):
        raise HasAccount
    _use(invitation)
    membership = _joined(invitation, name=name, password=password)
    if settings.EMAIL_HOST:  # else the link was shown to who invited, and proves nothing of the address
        people.proved(membership.user)
    return membership


def has_account(invitation: Invitation) -> bool:
    """Whether somebody signs in with the address already; told to nobody but who holds the link."""
    return User.objects.filter(email=invitation.email).exists()


def follows_groups(workspace: Workspace) -> bool:
    """Whether who signs in at the identity provider has the role there that their groups give, at each sign-in."""
    return bool(settings.OIDC_ROLES) and workspace.slug == settings.OIDC_WORKSPACE


def _joined(invitation: Invitation, **new: str | None) -> Membership:
    membership = members.add(
        invitation.workspace,
        invitation.email,
        role=invitation.role,
        name=new.get("name") or "",
        password=new.get("password"),
        by=invitation.invited_by,
    )
    _accepted(invitation, membership.user)
    return membership


def _accepted(invitation: Invitation, user: User) -> None:
    _record("invitation.accepted", invitation, ledger.person(user.pk, label=user.email), role=invitation.role)


def _use(invitation: Invitation) -> None:
    """Compare and set: of several who accept at once, one does. Raises InvitationGone."""
    rows = Invitation.objects.open().filter(pk=invitation.pk, expires_at__gt=Now(), token_hash=invitation.token_hash)
    if not _stands(invitation) or not rows.update(accepted_at=Now()):
        raise InvitationGone


def _stands(invitation: Invitation) -> bool:
    """Whether who sent it could send it still."""
    held = Membership.objects.filter(workspace=invitation.workspace_id, user=invitation.invited_by_id, role=Role.ADMIN)
    return held.filter(user__is_active=True).exists()


def _admit(by: Actor, invitation: Invitation | None = None) -> None:
    if not by.may() or (invitation is not None and invitation.workspace_id != by.workspace.pk):
        raise MayNotInvite


def _new_token() -> str:
    return PREFIX + secrets.token_urlsafe(32)


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="replace")).digest()


def _post(invitation: Invitation, token: str, by: Actor) -> str:
    """Write the letter, and give the link that stands in it."""
    link = settings.PUBLIC_URL + PAGE.format(token)
    name, workspace = _line(by.user.name or by.user.email), _line(by.workspace.name)
    subject = f"{name} invites you to {workspace}"
    text = render_to_string(
        "account/email/invitation.txt",
        {
            "name": name,
            "email": _line(by.user.email),
            "workspace": workspace,
            "role": Role(invitation.role).label.lower(),
            "groups_of": settings.OIDC_NAME if follows_groups(by.workspace) else "",
            "link": link,
            "days": LASTS.days,
        },
    )
    letters.write(invitation.email, settings.ACCOUNT_EMAIL_SUBJECT_PREFIX + subject, text)
    return link


def _line(text: str) -> str:
    """What people wrote as one short line, of which mail programs make no link."""
    seen = "".join(c if c.isprintable() else " " for c in text[:80])
    return " ".join(seen.split()).replace("://", ": //")


def _record(type: str, invitation: Invitation, who: ledger.Who, **told: object) -> None:
    ledger.record(
        ledger.Entry(
            type=type,
            workspace_id=invitation.workspace_id,
            who=who,
            target=("invitation", invitation.pk),
            data={"email": invitation.email, **told},
        )
    )
