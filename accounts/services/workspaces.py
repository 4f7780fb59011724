"""The kill switch of a whole workspace, and the model that answers in it."""

from django.db import transaction

from accounts.models import Actor, Role, Workspace
from core import ledger
from core.errors import Forbidden, Invalid

LONGEST_REASON = 2_000
LONGEST_MODEL = 200


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


class MayNotConfigure(Forbidden):
    """The person's role does not carry this."""

    code = "role_required"
    default_detail = "Only an admin of the workspace says which model answers in it."


@transaction.atomic
def set_default_model(model: str, *, by: Actor) -> None:
    """Say which model answers where nobody chose one; empty: the first provider's. Raises MayNotConfigure, Invalid."""
    if not by.may():
        raise MayNotConfigure
    if len(model) > LONGEST_MODEL:
        raise Invalid.field("model", f"at most {LONGEST_MODEL} characters")
    row = Workspace.objects.select_for_update(no_key=True).get(pk=by.workspace.pk)
    before, row.default_model = row.default_model, model
    if before == model:
        return
    row.save(update_fields=["default_model"])
    told = {"before": {"default_model": before}, "after": {"default_model": model}}
    ledger.record(
        ledger.Entry(type="workspace.changed", workspace_id=row.pk, who=by.who, target=("workspace", row.pk), data=told)
    )


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
            who=by.who,
            target=("workspace", workspace_id),
            data={"before": not frozen, "after": frozen, "reason": reason[:LONGEST_REASON]},
        )
    )
    return True
