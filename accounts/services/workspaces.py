"""The kill switch of a whole workspace."""

from django.db import transaction

from accounts.models import Actor, Role, Workspace
from core import ledger
from core.errors import Forbidden

LONGEST_REASON = 2_000


class MayNotFreeze(Forbidden):
    """The person's role does not carry this."""

    code = "role_required"
    default_detail = "A manager or an admin freezes the workspace, and an admin lets it go on."


@transaction.atomic
def freeze(*, by: Actor, reason: str = "") -> bool:
    """Let no action of the caller's workspace run any more; False where it was so before. Raises MayNotFreeze."""
    return _set(True, by, reason, Role.MANAGER)


@transaction.atomic
def unfreeze(*, by: Actor, reason: str = "") -> bool:
    """Let actions run again; False where they did. Raises MayNotFreeze for who is no admin."""
    return _set(False, by, reason, Role.ADMIN)


def _set(frozen: bool, by: Actor, reason: str, least: Role) -> bool:
    if not by.may(least):
        raise MayNotFreeze
    workspace_id = by.workspace.pk
    if not Workspace.objects.filter(pk=workspace_id, frozen=not frozen).update(frozen=frozen):
        return False
    ledger.record(
        ledger.Entry(
            type="workspace.frozen" if frozen else "workspace.unfrozen",
            workspace_id=workspace_id,
            who=ledger.person(by.user.pk, label=str(by.user), key=by.key.public_id if by.key else ""),
            target=("workspace", workspace_id),
            data={"before": not frozen, "after": frozen, "reason": reason[:LONGEST_REASON]},
        )
    )
    return True
