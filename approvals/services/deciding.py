"""Deciding on a request: one transaction from the checks to the vote, the verdict, the log and what waits for it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction

from accounts.models import Actor
from approvals import kinds, live
from approvals.models import Approval, ApprovalStatus, Decision, Vote
from approvals.preferences import EMERGENCY, WAITING
from approvals.services import admission, audit, endings, grants, outbox, rights
from approvals.services.ballots import Ballot, Remember
from approvals.services.endings import entry
from approvals.services.rights import Denied
from core import faults
from core.errors import Conflict, DomainError, Forbidden, Invalid

MOST_AT_ONCE = 100
_EDITED = (
    "proposed_arguments", "arguments", "digest", "preview", "policy_version", "version", "policy_name", "terms",
    "escalates_at", "escalated_at",
)  # fmt: skip


class EditNotAllowed(Forbidden):
    """The policy lets nobody change the arguments."""

    code = "edit_not_allowed"
    default_detail = "The policy lets nobody edit these arguments."


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one of several requests: the request as it is now, or the error."""

    approval_id: UUID
    approval: Approval | None = None
    error: DomainError | None = None


def decide(
    approval_id: UUID,
    *,
    by: Actor,
    decision: Decision,
    digest: str | None = None,
    reason: str = "",
    arguments: dict[str, Any] | None = None,
    response: str = "",
    remember: Remember | None = None,
    fresh: bool = False,
    break_glass: bool = False,
    also: Callable[[Approval], None] | None = None,
) -> Approval:
    """Give a vote, and with the last one needed the verdict; returns the request as it is then.

    `arguments` edits what will run, `response` stands in for the tool's result, `fresh` says that the password was
    typed just now, `break_glass` decides alone; `also` is called in the transaction. Not to be called in another one:
    an attempt of somebody who may not decide is logged though nothing else is written. Raises Invalid,
    UnknownApproval, Expired, AlreadyDecided, AlreadyVoted, DigestMismatch, or a kind of Forbidden.
    """
    ballot = Ballot(
        decision=decision,
        digest=digest,
        reason=reason,
        arguments=arguments,
        response=response,
        remember=remember,
        fresh=fresh,
        break_glass=break_glass,
    )
    ballot.check()
    try:
        return _decide(approval_id, ballot, by, also)
    except Denied as denied:
        _log_attempt(approval_id, ballot, by, denied)
        raise


def decide_many(ids: Sequence[UUID], *, by: Actor, decision: Decision, reason: str = "") -> list[Result]:
    """Decide on several requests for one tool, each in a transaction of its own; raises Invalid for what is no lot."""
    if not 0 < len(ids) <= MOST_AT_ONCE:
        raise Invalid.field("ids", f"from 1 to {MOST_AT_ONCE}")
    if len(set(ids)) != len(ids):
        raise Invalid.field("ids", "each may stand here once", "repeated")
    Ballot(decision=decision, reason=reason).check()
    tools = set(Approval.objects.visible_to(by).filter(pk__in=ids).values_list("tool", flat=True).distinct())
    if len(tools) > 1:
        raise Invalid.field("ids", f"of one tool only, not of {', '.join(sorted(tools))}", "several_tools")
    results = []
    for approval_id in ids:
        try:
            approval = decide(approval_id, by=by, decision=decision, reason=reason)
        except DomainError as error:
            results.append(Result(approval_id, error=error))
        else:
            results.append(Result(approval_id, approval))
    return results


def _decide(approval_id: UUID, ballot: Ballot, by: Actor, also: Callable[[Approval], None] | None) -> Approval:
    refusal = None
    with transaction.atomic(), audit.together():
        approval = endings.locked(approval_id, by=by)
        if approval is None:
            raise endings.unknown(approval_id)
        try:
            admission.check(approval, ballot, by)
        except Conflict as conflict:
            refusal = conflict  # not raised in here: what it found to be over has been ended, and that stays
        else:
            _vote(approval, ballot, by)
            if also is not None:
                also(approval)
        faults.reach("decision.before_commit")
    faults.reach("decision.committed")
    if refusal is not None:
        raise refusal
    return approval


def _vote(approval: Approval, ballot: Ballot, by: Actor) -> None:
    """Store the vote, and end the request where it was the last one needed."""
    who = audit.person(by)
    edited = admission.edits(approval, ballot)
    entries = _edit(approval, ballot, by, who) if edited else []
    if ballot.break_glass:
        approval.votes.filter(user=by.user, void=False).update(void=True)
        entries.append(entry(approval, "approval.break_glass", who, reason=ballot.reason))
    Vote.objects.create(
        approval=approval, user=by.user, decision=ballot.decision, digest=approval.digest, reason=ballot.reason
    )
    status = ApprovalStatus.APPROVED if ballot.break_glass else _verdict(approval, ballot.decision)
    if status is None:
        said = {"decision": ballot.decision.value, "reason": ballot.reason}
        audit.record(*entries, entry(approval, "approval.voted", who, **said))
        if edited:  # who voted before must do so again
            told = endings.payload(approval, edited=True)
            whom = outbox.Audience(WAITING, rights.asked(approval))
            outbox.put(approval.workspace_id, "approval.requested", told, to=[whom])
        live.changed(approval.workspace_id)
        return
    endings.end(
        approval,
        status,
        who=who,
        by=by.user,
        decision=ballot.decision,
        reason=ballot.reason,
        response=ballot.response,
        break_glass=ballot.break_glass,
        entries=entries,
        to=[outbox.Audience(EMERGENCY, rights.asked(approval))] if ballot.break_glass else (),
    )
    if ballot.remember is not None:
        grants.give(approval, ballot.remember, by=by)


def _verdict(approval: Approval, said: Decision) -> ApprovalStatus | None:
    """What the votes come to, by the rights that people have now; None where more are needed."""
    needed, verdict = approval.terms["quorum_approve"], ApprovalStatus.APPROVED
    if said == Decision.REJECT:
        needed, verdict = approval.terms["quorum_reject"], ApprovalStatus.REJECTED
    if needed == 1:  # and one there is, by who was found to have the right just now
        return verdict
    votes = rights.tally(approval)
    if votes.reject >= approval.terms["quorum_reject"]:
        return ApprovalStatus.REJECTED
    return ApprovalStatus.APPROVED if votes.approve >= approval.terms["quorum_approve"] else None


def _edit(approval: Approval, ballot: Ballot, by: Actor, who: audit.Who) -> list[audit.Entry]:
    """Put other arguments in place of those proposed: a new artefact, on the terms on which policy asks about it.

    Nobody has voted on it yet. Raises what the kind refuses, and what keeps its editor from deciding on those terms.
    """
    if not approval.terms["editable"]:
        raise EditNotAllowed
    before = {"arguments": approval.arguments, "digest": approval.digest}
    revision = kinds.of(approval.kind).revise(approval, ballot.arguments or {})
    if approval.proposed_arguments is None:
        approval.proposed_arguments = approval.arguments
    approval.arguments, approval.digest, approval.preview = revision.arguments, revision.digest, revision.preview
    approval.policy_version, approval.version = revision.policy_version, approval.version + 1
    if revision.ask is not None:
        endings.ask(approval, revision.ask)
    approval.save(update_fields=_EDITED)
    approval.refresh_from_db(fields=["escalates_at"])
    admission.check_right(approval, ballot, by)
    admission.check_terms(approval, ballot)
    void = approval.votes.filter(void=False).update(void=True)
    after = {"arguments": approval.arguments, "digest": approval.digest}
    return [entry(approval, "approval.edited", who, before=before, after=after, terms=approval.terms, votes_void=void)]


def _log_attempt(approval_id: UUID, ballot: Ballot, by: Actor, denied: Denied) -> None:
    """Write down that somebody tried, in a transaction of its own: the attempt's is gone."""
    approval = Approval.objects.filter(pk=approval_id).first()
    if approval is not None:
        with transaction.atomic():
            audit.record(admission.attempt(approval, ballot, by, denied.code))
