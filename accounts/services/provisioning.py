"""People whom an identity provider sends: who gets an account, and which role its groups give."""

import logging
from typing import Any

from django.conf import settings
from django.db import transaction

from accounts.models import Membership, Role, User, Workspace
from accounts.services import invitations, keys, login, members, mfa, people, sessions
from core.errors import Forbidden, Unavailable

log = logging.getLogger(__name__)


class NotInGroups(Forbidden):
    """The provider's groups give this person no part here."""

    code = "not_in_groups"
    default_detail = "You are in none of the groups that may use this. Ask whoever runs your identity provider."


class WorkspaceMissing(Unavailable):
    """The settings' rules for people of the provider are about a workspace that is not there."""

    code = "oidc_workspace_missing"
    title = "Signing in is not set up as it should be"
    default_detail = (
        "OIDC_WORKSPACE names no workspace of this installation, so that it is not known what you may do here. "
        "Tell whoever runs it."
    )


def may_come(email: str) -> bool:
    """Whether somebody whom nobody here knows gets an account for this address, which the provider verified.

    Those do who were invited, and those of the domains that the settings name.
    """
    return bool(email) and (_of_domain(email) or bool(invitations.waiting_for(email)))


def check_workspace(user: User | None, email: str) -> None:
    """Raises WorkspaceMissing for whom the settings give a part in a workspace that is not there; superusers need none.

    `email` is the address that the provider verified, empty where it did not.
    """
    if user and user.is_superuser:
        return
    if (settings.OIDC_ROLES or (user is None and _of_domain(email))) and lacks_workspace():
        log.error("OIDC_WORKSPACE names no workspace", extra={"workspace": settings.OIDC_WORKSPACE})
        raise WorkspaceMissing


def lacks_workspace() -> bool:
    """Whether the settings name a workspace that is not there."""
    named = settings.OIDC_WORKSPACE
    return bool(named) and not Workspace.objects.filter(slug=named).exists()


def check_groups(user: User | None, claims: dict[str, Any]) -> None:
    """Raises NotInGroups where roles follow groups and none of theirs is named; superusers need none."""
    if settings.OIDC_ROLES and role_of(claims) is None and not (user and user.is_superuser):
        raise NotInGroups


@transaction.atomic
def claim(user: User, email: str) -> list[str]:
    """Take from an account, as its person comes, what somebody else may have made to open it: factors and API keys.

    An account whose address was proved here before keeps them. The password, and tokens and sessions with it, end as
    the provider's person is connected. Gives what ends in words; a letter of its own tells of factors.
    """
    if people.is_proved(user, email):
        return []
    mfa.disown(user)
    open_keys = list(user.keys.filter(revoked_at=None).select_related("workspace", "user"))
    for key in open_keys:
        keys.revoke(key)
    password = ["the password"] if user.has_usable_password() else []
    counted = [f"{len(open_keys)} API key{'s' if len(open_keys) > 1 else ''}"] if open_keys else []
    return [*password, *counted]


@transaction.atomic
def put_out(user: User) -> None:
    """End the sessions and tokens of a known person whom the provider's groups let in no more; the role stays."""
    login.record_failure(user, via="oidc")
    ended = sessions.end_all(user)
    people.tell("person.signed_out", user, None, email=user.email, sessions=ended, reason=NotInGroups.code)


def role_of(claims: dict[str, Any]) -> Role | None:
    """The highest role that the person's groups give; None where no group of theirs is named."""
    told = claims.get(settings.OIDC_GROUPS_CLAIM)
    groups = [told] if isinstance(told, str) else told if isinstance(told, list) else []
    held = {settings.OIDC_ROLES[one] for one in groups if isinstance(one, str) and one in settings.OIDC_ROLES}
    return next((role for role in members.ORDER if role in held), None)


@transaction.atomic
def welcome(user: User, claims: dict[str, Any], *, by_link: bool) -> None:
    """Make somebody new a member where they were invited, save where they come by the link that asks them itself.

    Whose domain the settings name is a member of the settings' workspace, save where an invitation says as what. The
    log is told that no person did it. Raises WorkspaceMissing.
    """
    people.tell("person.changed", user, None, before=None, after={"email": user.email, "name": user.name})
    waiting = invitations.waiting_for(user.email)
    for invitation in [] if by_link else waiting:
        invitations.accept(invitation, user=user)
    if not _of_domain(user.email) or settings.OIDC_WORKSPACE in {one.workspace.slug for one in waiting}:
        return
    workspace = Workspace.objects.filter(slug=settings.OIDC_WORKSPACE).first()
    if workspace is None:
        raise WorkspaceMissing
    members.add(workspace, user.email, role=role_of(claims) or Role.MEMBER)


def _of_domain(email: str) -> bool:
    return settings.OIDC_CREATE_PEOPLE and email.rpartition("@")[2] in settings.OIDC_DOMAINS


def follow_groups(user: User, claims: dict[str, Any]) -> None:
    """Give the person the role of their groups, as it is today; the last admin stays one."""
    role = role_of(claims)
    workspace = Workspace.objects.filter(slug=settings.OIDC_WORKSPACE).first() if role else None
    if role is None or workspace is None:
        return
    membership = Membership.objects.filter(workspace=workspace, user=user).first()
    try:
        if membership is None:
            members.add(workspace, user.email, role=role)
        else:
            members.change_role(membership, role)
    except members.LastAdmin:
        log.warning("the last admin stays one, whatever their groups", extra={"account": str(user.pk)})
