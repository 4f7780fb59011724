"""To whom agents report: a member of the workspace, named by e-mail address, or a group of it, named by its name."""

from uuid import UUID

from accounts.models import Group, User
from core.errors import Invalid

MOST = 100  # people that a name may mean


def people(workspace_id: UUID, name: str) -> list[User]:
    """Those of the workspace whom a name means, by id; nobody for an unknown name, or a group without active members.

    Raises Invalid for a group of more than MOST.
    """
    members = User.objects.filter(memberships__workspace=workspace_id, is_active=True)
    found = list(members.filter(email=name.strip().lower()))
    if not found:
        within = Group.objects.filter(workspace=workspace_id, name=name).values("members")
        found = list(members.filter(pk__in=within).order_by("pk")[: MOST + 1])
    if len(found) > MOST:
        raise Invalid.field("to", f"the group has more than {MOST} members", "too_many")
    return found


def known(workspace_id: UUID, name: str) -> str:
    """The name as it is kept; raises Invalid where it is neither a member's address nor a group's name."""
    if not name:
        return ""
    address = name.strip().lower()
    if User.objects.filter(memberships__workspace=workspace_id, email=address).exists():
        return address
    if Group.objects.filter(workspace=workspace_id, name=name).exists():
        return name
    raise Invalid.field(
        "reports_to", "neither the e-mail address of a member of this workspace nor a group's name", "unknown_person"
    )
