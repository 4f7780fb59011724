"""By whom a request was decided, and who changed what it asks for: read from its votes."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from django.db.models import Prefetch, prefetch_related_objects

from accounts.models import User
from approvals.models import Approval, ApprovalStatus, Decision, Vote


@dataclass(frozen=True, slots=True)
class Edited:
    """What stands in the place of what the agent asked for, and who put it there; nobody, where they were erased."""

    by: User | None
    arguments: dict[str, Any]


def gather(approvals: Collection[Approval]) -> None:
    """Read at once for many requests what is asked of each below."""
    changed = [one for one in approvals if one.version > 1]
    told = [one for one in approvals if one.decided_at or one.version > 1]
    votes = Vote.objects.select_related("user").order_by("created_at", "pk")
    prefetch_related_objects(told, Prefetch("votes", queryset=votes))
    names = ("arguments", "proposed_arguments")
    rows = Approval.objects.filter(pk__in=[one.pk for one in changed]).values("pk", *names) if changed else ()
    stored = {row["pk"]: row for row in rows}
    for one in changed:
        for name in names:  # a list leaves these unread
            setattr(one, name, stored[one.pk][name])


def deciders(approval: Approval) -> list[User]:
    """Whose votes decided it, in their order: all of those it took; nobody where people did not decide."""
    if approval.status not in (ApprovalStatus.APPROVED, ApprovalStatus.REJECTED):
        return []
    if approval.break_glass:
        return [approval.decided_by] if approval.decided_by else []
    rejected = approval.status == ApprovalStatus.REJECTED
    votes = [one for one in _votes(approval) if not one.void and (one.decision == Decision.REJECT) is rejected]
    return [one.user for one in votes if one.user]


def edited(approval: Approval) -> Edited | None:
    """What an approver made of the arguments; None where they are the agent's."""
    if approval.version == 1 or approval.proposed_arguments is None:
        return None
    by: User | None = None
    before = ""
    for vote in _votes(approval):  # an edit is its editor's vote: the first of those on what stands
        if vote.digest != before:
            before, by = vote.digest, vote.user
    return Edited(by if before == approval.digest else None, approval.arguments)


def _votes(approval: Approval) -> list[Vote]:
    """The votes, oldest first, as `gather` read them."""
    if "votes" in getattr(approval, "_prefetched_objects_cache", {}):
        return list(approval.votes.all())
    return list(approval.votes.select_related("user").order_by("created_at", "pk"))
