"""Workspaces and the people in them."""

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils.text import slugify

from accounts.models import Membership, Role, Tier, User, Workspace
from accounts.services import letters
from core import ledger
from core.errors import Conflict, Invalid

ORDER = (Role.ADMIN, Role.MANAGER, Role.AUDITOR, Role.MEMBER)
"""Roles, by how much they may do."""


class AlreadyMember(Conflict):
    """The person belongs to the workspace already."""

    code = "already_member"
    default_detail = "This person is a member already."


class LastAdmin(Conflict):
    """A workspace without an admin could never get one again."""

    code = "last_admin"
    default_detail = "The workspace's last admin cannot leave or become less."


class SlugTaken(Conflict):
    """Another workspace has this slug."""

    code = "slug_taken"
    default_detail = "Another workspace has this short name."


def create_workspace(name: str, *, slug: str = "", tier: str = Tier.SELF_HOSTED, by: User | None = None) -> Workspace:
    """A new workspace; raises Invalid or SlugTaken. `by` is who makes it, here as below; None: a command."""
    slug = slug or slugify(name)[:60]
    if not name.strip() or not slug:
        raise Invalid.field("name", "a workspace has a name")
    if tier not in Tier.values:
        raise Invalid.field("tier", f"one of {', '.join(Tier.values)}")
    try:
        with transaction.atomic():
            made = Workspace.objects.create(name=name, slug=slug, tier=tier)
            told = {"name": name, "slug": slug, "tier": tier}
            ledger.record(
                ledger.Entry(
                    type="workspace.created",
                    workspace_id=made.pk,
                    who=_who(by),
                    target=("workspace", made.pk),
                    data=told,
                )
            )
            return made
    except IntegrityError:
        raise SlugTaken from None


@transaction.atomic
def add(
    workspace: Workspace,
    email: str,
    *,
    role: str = Role.MEMBER,
    name: str = "",
    password: str | None = None,
    by: User | None = None,
) -> Membership:
    """Make the person a member, and an account for who has none; raises Invalid or AlreadyMember.

    A password is set on a new account only: belonging to one workspace gives no power over a person in another.
    """
    email = email.strip().lower()
    _check_role(role)
    letters.check(email)
    user = User.objects.filter(email=email).first()
    if user is None:
        user = _new_user(email, name, password)
    membership, new = Membership.objects.get_or_create(workspace=workspace, user=user, defaults={"role": role})
    if not new:
        raise AlreadyMember
    _record("member.added", membership, by, after=role)
    return membership


@transaction.atomic
def change_role(membership: Membership, role: str, *, by: User | None = None) -> None:
    """Give the member another role; raises Invalid or LastAdmin."""
    _check_role(role)
    if role != Role.ADMIN:
        _keep_an_admin(membership)
    before = Membership.objects.select_for_update().filter(pk=membership.pk).values_list("role", flat=True).first()
    changed = Membership.objects.filter(pk=membership.pk).exclude(role=role).update(role=role)
    membership.role = role
    if changed:
        _record("member.changed", membership, by, before=before, after=role)


@transaction.atomic
def remove(membership: Membership, *, by: User | None = None) -> None:
    """End the membership, and with it the person's keys and tokens here; raises LastAdmin."""
    _keep_an_admin(membership)
    theirs = membership.user.keys.filter(workspace=membership.workspace)
    ended = sorted(theirs.values_list("public_id", flat=True))
    theirs.delete()
    if Membership.objects.filter(pk=membership.pk).delete()[0]:
        _record("member.removed", membership, by, before=membership.role, keys=ended)


def prefer_model(membership: Membership, model: str) -> None:
    """Remember the member's choice of a model; empty is none. Raises Invalid where the name is too long."""
    if len(model) > 200:
        raise Invalid.field("model", "at most 200 characters")
    Membership.objects.filter(pk=membership.pk).update(preferred_model=model)
    membership.preferred_model = model


def _record(type: str, membership: Membership, by: User | None, **told: object) -> None:
    ledger.record(
        ledger.Entry(
            type=type,
            workspace_id=membership.workspace_id,
            who=_who(by),
            target=("person", membership.user_id),
            data={"email": membership.user.email, **told},
        )
    )


def _who(by: User | None) -> ledger.Who:
    return ledger.person(by.pk, label=by.email) if by else ledger.SYSTEM


def _check_role(role: str) -> None:
    if role not in Role.values:
        raise Invalid.field("role", f"one of {', '.join(Role.values)}")


def _new_user(email: str, name: str, password: str | None) -> User:
    if password is not None:
        try:
            validate_password(password, User(email=email, name=name))
        except ValidationError as error:
            raise Invalid.field("password", " ".join(error.messages)) from None
    return User.objects.create_user(email, password, name=name)


def _keep_an_admin(membership: Membership) -> None:
    """Two admins who leave at once must not both find the other: the rows are locked, then looked at."""
    admins = Membership.objects.select_for_update().filter(workspace_id=membership.workspace_id, role=Role.ADMIN)
    if {admin.pk for admin in admins.order_by("pk")} == {membership.pk}:
        raise LastAdmin
