"""What a staff member may see and do in the admin: their role in each workspace decides, a superuser has them all."""

from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from accounts.models import Actor, Membership, Role, User, Workspace

READERS = (Role.ADMIN, Role.MANAGER, Role.AUDITOR)


def roles(request: HttpRequest) -> dict[UUID, Role]:
    """The person's role in each workspace that they may look into; read once a request."""
    found: dict[UUID, Role] | None = getattr(request, "staff_roles", None)
    if found is None:
        user, found = request.user, {}
        if isinstance(user, User) and user.is_active and user.is_staff:
            held = Membership.objects.filter(user=user, role__in=READERS)
            found = {workspace: Role(role) for workspace, role in held.values_list("workspace", "role")}
        request.staff_roles = found  # type: ignore[attr-defined]
    return found


def sees_all(request: HttpRequest) -> bool:
    """Whether the person operates the whole installation."""
    return isinstance(request.user, User) and request.user.is_active and request.user.is_superuser


def workspaces(request: HttpRequest, *wanted: Role) -> list[UUID]:
    """The workspaces in which the person has one of these roles."""
    return [workspace for workspace, role in roles(request).items() if role in wanted]


def holds(request: HttpRequest, *wanted: Role, workspace: UUID | None = None) -> bool:
    """Whether the person has one of these roles in the workspace, or in any where none is named."""
    if sees_all(request):
        return True
    held = workspaces(request, *wanted)
    return bool(held) if workspace is None else workspace in held


def reads(request: HttpRequest) -> bool:
    """Whether there is anything in the admin for this person."""
    return holds(request, *READERS)


def user(request: HttpRequest) -> User:
    """The person who is signed in; raises PermissionDenied where nobody is."""
    if not isinstance(request.user, User):
        raise PermissionDenied
    return request.user


def actor(request: HttpRequest, workspace: Workspace) -> Actor:
    """The person as services know them in this workspace; raises PermissionDenied where they have no role there."""
    person = user(request)
    membership = Membership.objects.filter(workspace=workspace, user=person).first()
    if sees_all(request):
        membership = Membership(workspace=workspace, user=person, role=Role.ADMIN)  # not stored: an operator's visit
    if membership is None:
        raise PermissionDenied
    return Actor(user=person, workspace=workspace, membership=membership)
