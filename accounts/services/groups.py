"""Groups of approvers: who is asked together. A change is logged, for it changes who may decide."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import ProtectedError

from accounts.models import Actor, Group, Membership, User
from core import ledger
from core.errors import Conflict, Forbidden, Invalid


class MayNotGroup(Forbidden):
    """The person's role does not carry this."""

    code = "role_required"
    default_detail = "Only an admin of the workspace changes its groups."


class GroupInUse(Conflict):
    """A policy escalates to the group."""

    code = "group_in_use"
    default_detail = "A policy escalates to this group; change the policy first."


@transaction.atomic
def save(group: Group, *, members: Iterable[UUID], by: Actor) -> Group:
    """Make a group or change its name and members; raises MayNotGroup, or Invalid for who is no member here."""
    _check(group, by)
    wanted = set(members)
    known = Membership.objects.filter(workspace=group.workspace_id, user__in=wanted).values_list("user", flat=True)
    if wanted - set(known):
        raise Invalid.field("members", "only members of the workspace can be in its groups")
    before = _told(Group.objects.select_for_update().filter(pk=group.pk).first())
    group.save()
    group.members.set(User.objects.filter(pk__in=wanted))
    _record(group, by, before=before, after=_told(group))
    return group


@transaction.atomic
def delete(group: Group, *, by: Actor) -> None:
    """End a group; raises MayNotGroup, or GroupInUse."""
    _check(group, by)
    before, pk = _told(group), group.pk
    try:
        group.delete()
    except ProtectedError as error:
        raise GroupInUse from error
    group.pk = pk
    _record(group, by, before=before, after=None)


def _check(group: Group, by: Actor) -> None:
    if group.workspace_id != by.workspace.pk or not by.may():
        raise MayNotGroup


def _told(group: Group | None) -> dict[str, Any] | None:
    """A group as the log has it."""
    if group is None:
        return None
    return {"name": group.name, "members": sorted(group.members.values_list("email", flat=True))}


def _record(group: Group, by: Actor, **told: Any) -> None:
    entry = ledger.Entry(
        type="group.changed", workspace_id=group.workspace_id, who=by.who, target=("group", group.pk), data=told
    )
    ledger.record(entry)
