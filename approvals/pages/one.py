"""One request as a person may see it, and what their page shows of it."""

from dataclasses import replace
from typing import Any
from uuid import UUID

from accounts.models import Actor, Workspace
from accounts.services import callers
from approvals import replies, standing
from approvals.models import Approval
from approvals.querysets import READERS
from approvals.services import rights
from core.errors import NotFound


class Unknown(NotFound):
    """There is no such request for this person, be it that there is none at all."""

    code = "unknown_approval"
    title = "There is no such approval"
    default_detail = "There is none, or it is not for you to see. Your inbox has what waits for you."


def find(approval_id: UUID, actor: Actor) -> Any:
    """The request with its times; raises Unknown."""
    rows = Approval.objects.visible_to(actor).named().select_related("workspace", "requested_by", "decided_by")
    row = standing.timed(rows).filter(pk=approval_id).first()
    if row is None:
        raise Unknown
    return row


def elsewhere(approval_id: UUID, actor: Actor) -> Workspace | None:
    """Another workspace of the person's in which they may see the request."""
    found = Approval.objects.filter(pk=approval_id, workspace__memberships__user=actor.user)
    for workspace_id in found.exclude(workspace=actor.workspace).values_list("workspace", flat=True):
        there = callers.by_member(actor.user.pk, workspace_id)
        if there is not None and Approval.objects.visible_to(there).filter(pk=approval_id).exists():
            return there.workspace
    return None


def log_stranger(approval_id: UUID, actor: Actor) -> None:
    """Write down in the request's workspace that somebody tried to decide who may not see it."""
    approval = Approval.objects.select_related("workspace").filter(pk=approval_id).first()
    if approval is not None:
        replies.log_stranger(approval, actor.user)


def stands(row: Approval, actor: Actor) -> dict[str, Any]:
    """What changes about a request while people look at it."""
    return {**standing.of(row), "beside": _beside(row, actor)}


def shown(row: Any, actor: Actor) -> dict[str, Any]:
    """All that a request's page shows, save what is filled in."""
    now = stands(row, actor)
    refusal = rights.refusal(row, actor) if now["open"] else None
    voted = now["open"] and refusal is None and rights.has_voted(row, actor)
    return {
        **now,
        "place": "approvals",
        "approval": row,
        "refusal": refusal and replies.told(refusal, row),
        "voted": voted,
        "decides": now["open"] and refusal is None and not voted,
        "asked": standing.asked(row),
        "earlier": standing.earlier(row) if actor.may(*READERS) else None,
        "page_of": "approval",
        "changes": standing.changes(row.proposed_arguments, row.arguments) if row.proposed_arguments else None,
    }


def _beside(row: Approval, actor: Actor) -> Any:
    """What was said around it, for who decides or reads the workspace; links into the admin are for staff."""
    found = standing.context(row)
    if found is None:
        return None
    if not actor.user.is_staff:
        found = replace(
            found,
            deed=found.deed and replace(found.deed, url=""),
            others=[replace(deed, url="") for deed in found.others],
        )
    if actor.may(*READERS) or rights.entitled(row, [actor.user.pk]):
        return found
    return replace(found, title="", said=[], others=[])
