"""How a request leaves `pending`: once, under the locks, with what waits for it, the log and the outbox."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now

from accounts.models import Actor, User
from approvals import kinds, live
from approvals.models import Approval, ApprovalStatus, Decision
from approvals.preferences import DECIDED
from approvals.rules import Ask
from approvals.services import audit, outbox, rights, veil
from approvals.terms import terms_of
from core.errors import Conflict, NotFound

DECIDED_BY_PEOPLE = (ApprovalStatus.APPROVED, ApprovalStatus.REJECTED, ApprovalStatus.EXPIRED)


class UnknownApproval(NotFound):
    """No request that the caller may see has this id."""

    code = "unknown_approval"
    title = "There is no such approval"


class AlreadyDecided(Conflict):
    """It was decided before; `approval` in the problem tells how it stands."""

    code = "already_decided"
    title = "This was decided already"


class Expired(Conflict):
    """Nobody decided in time; `approval` in the problem tells how it stands."""

    code = "expired"
    title = "The time to decide is over"


def locked(approval_id: UUID, *, by: Actor | None = None) -> Approval | None:
    """The request, with it and all that stands above it locked in the order that holds everywhere.

    None where there is none, or none that `by` may see.
    """
    seen = Approval.objects.visible_to(by) if by else Approval.objects.all()
    found = seen.filter(pk=approval_id).values_list("kind", "subject_id").first()
    if found is None:
        return None
    kind, subject_id = found
    kinds.of(kind).lock(subject_id)
    rows = Approval.objects.named().select_for_update(of=("self",))
    rows = rows.select_related("requested_by", "workspace", "decided_by")
    return rows.filter(pk=approval_id).first()


def ask(approval: Approval, terms: Ask) -> None:
    """Set the terms on which the request asks; it is the caller who stores them."""
    approval.policy_name, approval.terms = terms.policy, terms_of(terms)
    approval.escalates_at = Now() + terms.escalate_after if terms.escalate_after and terms.escalate_to else None
    approval.escalated_at = None


def check_pending(approval: Approval) -> None:
    """Raises Expired or AlreadyDecided for a locked request that is over; one past its time is ended by that."""
    if Approval.objects.pending().overdue().filter(pk=approval.pk).exists():
        end(approval, ApprovalStatus.EXPIRED, who=audit.SYSTEM)
    if approval.status == ApprovalStatus.PENDING:
        return
    refusal = Expired if approval.status == ApprovalStatus.EXPIRED else AlreadyDecided
    raise refusal(f"It is {approval.status}.", extra={"approval": standing(approval)})


def end(
    approval: Approval,
    status: ApprovalStatus,
    *,
    who: audit.Who,
    by: User | None = None,
    decision: Decision | None = None,
    reason: str = "",
    response: str = "",
    break_glass: bool = False,
    entries: Sequence[audit.Entry] = (),
    to: Sequence[outbox.Audience] = (),
) -> None:
    """Give a locked request its terminal status, tell its owner, the log (after `entries`) and the outbox.

    Raises AlreadyDecided where it has one.
    """
    told: dict[str, Any] = {"status": status.value, "decision": decision.value if decision else "", "reason": reason}
    told |= {"response": response, "break_glass": break_glass, "decided_by": by}
    lasts = timedelta(seconds=approval.terms["approval_lasts"])
    until = Now() + lasts if status == ApprovalStatus.APPROVED else None
    pending = Approval.objects.pending().filter(pk=approval.pk)
    if not pending.update(**told, decided_at=Now(), valid_until=until):
        approval.refresh_from_db()
        raise AlreadyDecided(extra={"approval": standing(approval)})
    for name, value in told.items():
        setattr(approval, name, value)
    approval.refresh_from_db(fields=["decided_at", "valid_until"])
    ending = entry(
        approval,
        f"approval.{status.value}",
        who,
        before=ApprovalStatus.PENDING.value,
        after=approval.status,
        decision=approval.decision,
        reason=reason,
        response=response,
        valid_until=approval.valid_until,
    )
    audit.record(*entries, ending)
    kinds.of(approval.kind).decided(approval)
    event = "approval.expired" if status == ApprovalStatus.EXPIRED else "approval.decided"
    outbox.put(approval.workspace_id, event, payload(approval), to=[*to, *_owner(approval)])
    live.changed(approval.workspace_id)


def _owner(approval: Approval) -> list[outbox.Audience]:
    """On whose behalf it was requested, where somebody decided or nobody did so in time."""
    if approval.requested_by_id is None or approval.status not in DECIDED_BY_PEOPLE:
        return []
    return [outbox.Audience(DECIDED, User.objects.filter(pk=approval.requested_by_id))]


@transaction.atomic
def supersede(approval_id: UUID, *, reason: str) -> bool:
    """End a pending request because what it asks for has changed; False where it was over already."""
    return _end_pending(approval_id, ApprovalStatus.SUPERSEDED, who=audit.SYSTEM, reason=reason)


@transaction.atomic
def cancel(run_id: UUID, *, who: audit.Who, reason: str) -> int:
    """End the pending requests of a run, whose lock the caller holds; returns how many there were."""
    pending = Approval.objects.pending().filter(run_id=run_id).order_by("pk").values_list("pk", flat=True)
    return sum([_end_pending(pk, ApprovalStatus.CANCELLED, who=who, reason=reason) for pk in list(pending)])


def renew(approval_id: UUID, *, by: Actor) -> bool:
    """Give what was approved its time to start anew, because a person said that it never ran; False if it was not.

    Raises a kind of Denied for who may not decide it, save where one person alone did.
    """
    rows = Approval.objects.filter(pk=approval_id, status=ApprovalStatus.APPROVED)
    approval = rows.select_related("workspace", "requested_by").first()
    if approval is None:
        return False
    if not approval.break_glass and (denied := rights.refusal(approval, by)):
        raise denied
    return bool(rows.update(valid_until=Now() + timedelta(seconds=approval.terms["approval_lasts"])))


def _end_pending(approval_id: UUID, status: ApprovalStatus, *, who: audit.Who, reason: str) -> bool:
    approval = locked(approval_id)
    if approval is None or approval.status != ApprovalStatus.PENDING:
        return False
    end(approval, status, who=who, reason=reason)
    return True


def entry(approval: Approval, type: str, who: audit.Who, **data: Any) -> audit.Entry:
    """What the log says of a request, on behalf of whom it was made: what it is about, its digest, what is given."""
    about = {
        "tool": approval.tool,
        "risk": approval.risk,
        "call_id": approval.call_id,
        "run_id": approval.run_id and str(approval.run_id),
        "digest": approval.digest,
        "version": approval.version,
    }
    return audit.Entry(
        type=type,
        workspace_id=approval.workspace_id,
        who=replace(who, person_id=approval.requested_by_id),
        target=("approval", approval.pk),
        agent_id=approval.agent_id,
        session_id=approval.session_id,
        data={**about, **data},
    )


def standing(approval: Approval) -> dict[str, Any]:
    """The decision as it stands, for who comes too late."""
    return {
        "id": str(approval.pk),
        "status": approval.status,
        "decision": approval.decision or None,
        "decided_by": named(approval.decided_by),
        "reason": approval.reason,
        "decided_at": approval.decided_at and approval.decided_at.isoformat().replace("+00:00", "Z"),
    }


def called(user: User | None) -> str:
    """What a person is called, by name or else by address; empty for nobody."""
    return user.name or user.email if user else ""


def told_apart(user: User | None) -> str:
    """A person by name, with the address that tells them from others of that name; empty for nobody."""
    return f"{user.name} ({user.email})" if user and user.name else called(user)


def named(user: User | None) -> dict[str, str] | None:
    """A person as answers name them."""
    return {"id": str(user.pk), "name": called(user)} if user else None


def payload(approval: Approval, **more: Any) -> dict[str, Any]:
    """What is told outside of a request that is `named()`: what it is about and how it stands, without arguments."""
    told = standing(approval)
    return {
        "approval_id": told.pop("id"),
        **told,
        "reason": veil.over(approval.reason, workspace_id=approval.workspace_id),
        "tool": approval.tool,
        "risk": approval.risk,
        "agent": approval.agent,
        "agent_name": approval.agent_name,
        "companion": approval.companion,
        "companion_name": approval.companion_name,
        "workspace": approval.workspace_name,
        "requested_by": named(approval.requested_by),
        "summary": veil.over(approval.preview.get("sentence", ""), workspace_id=approval.workspace_id),
        "run_id": approval.run_id and str(approval.run_id),
        "session_id": approval.session_id and str(approval.session_id),
        "call_id": approval.call_id,
        "digest": approval.digest,
        "expires_at": approval.expires_at.isoformat().replace("+00:00", "Z"),
        "break_glass": approval.break_glass,
        **more,
    }


def visible(approval_id: UUID, *, by: Actor) -> Approval:
    """The request as the caller may see it; raises UnknownApproval."""
    found: Approval | None = (
        Approval.objects.visible_to(by)
        .select_related("requested_by", "workspace", "decided_by")
        .filter(pk=approval_id)
        .first()
    )
    if found is None:
        raise unknown(approval_id)
    return found


def unknown(approval_id: UUID) -> UnknownApproval:
    """What is told of a request that is not there for the caller."""
    return UnknownApproval(f"No approval {approval_id} is for you to see. GET /v1/ai/approvals lists them.")
