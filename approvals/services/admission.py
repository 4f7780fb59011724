"""What keeps a ballot from being cast: the request is over, not theirs, not what was shown, or judged otherwise now."""

from accounts.models import Actor, Tier
from approvals import kinds, rules
from approvals.calls import Call
from approvals.models import Approval, ApprovalStatus, Decision
from approvals.services import audit, endings, grants, policies, rights
from approvals.services.ballots import Ballot
from approvals.services.endings import entry, standing
from approvals.services.rights import Denied, IsRequester, NotAnApprover
from approvals.terms import asks_alike
from core import digest as digests
from core.errors import Conflict, Forbidden, Invalid


class DigestMismatch(Conflict):
    """What was shown is not what would run."""

    code = "digest_mismatch"
    default_detail = "This is not the digest of what would run now; look at the request again."


class Outdated(Conflict):
    """What was asked for was changed since; `approval` in the problem tells how the request ended by that."""

    code = "superseded"
    title = "What was asked for has changed"


class AlreadyVoted(Conflict):
    """One vote a person, with whichever of their accounts."""

    code = "already_voted"
    default_detail = "You have voted on this."


class FreshPasswordRequired(Forbidden):
    """The policy wants the password typed again."""

    code = "fresh_password_required"
    default_detail = "Sign in with your password again: this needs a sign-in of the last five minutes."


class BreakGlassOff(Denied):
    """The workspace lets nobody decide alone."""

    code = "break_glass_off"
    default_detail = "This workspace lets nobody decide alone."


class BreakGlassByKey(Denied):
    """An emergency is a person's to declare."""

    code = "break_glass_by_key"
    default_detail = "A key decides nothing alone."


def check(approval: Approval, ballot: Ballot, by: Actor) -> None:
    """Raises what keeps this ballot from being cast, in the order in which people should learn of it."""
    endings.check_pending(approval)
    check_right(approval, ballot, by)
    _check_subject(approval)
    digest, call = kinds.of(approval.kind).current(approval)
    _check_digest(approval, ballot, by, digest)
    _check_policy(approval, call)
    if not edits(approval, ballot):  # else on the terms that hold for what it becomes
        check_terms(approval, ballot)
    if not ballot.break_glass and rights.has_voted(approval, by):
        raise AlreadyVoted


def check_right(approval: Approval, ballot: Ballot, by: Actor) -> None:
    """Raises a kind of Denied for who may not decide, or not alone."""
    denied = _alone(approval, by) if ballot.break_glass else rights.refusal(approval, by)
    if denied is IsRequester and rights.nobody_left(approval):
        raise IsRequester(f"{IsRequester.default_detail} {rights.NOBODY}")
    if denied is not None:
        raise denied


def check_terms(approval: Approval, ballot: Ballot) -> None:
    """Raises what the terms of the request have against the ballot."""
    if (approval.terms["fresh_password"] or ballot.break_glass) and not ballot.fresh:
        raise FreshPasswordRequired
    if ballot.decision == Decision.RESPOND and approval.terms["quorum_approve"] > 1:
        raise Invalid.field("decision", "where several must approve, nobody can respond instead", "quorum")
    if ballot.remember is not None:
        grants.check(approval, ballot.remember)


def _alone(approval: Approval, by: Actor) -> type[Denied] | None:
    """What forbids the person to decide alone."""
    if approval.workspace.tier == Tier.FREE:
        return rights.TierRequired
    if not approval.workspace.break_glass:
        return BreakGlassOff
    if by.key is not None:
        return BreakGlassByKey
    return None if rights.is_admin(approval.workspace_id, by.user.pk) else NotAnApprover


def _check_subject(approval: Approval) -> None:
    """Raises where what was asked for could not run as it was shown: the request is superseded by that."""
    if reason := kinds.of(approval.kind).changed(approval):
        endings.end(approval, ApprovalStatus.SUPERSEDED, who=audit.SYSTEM, reason=reason)
        raise Outdated(reason, extra={"approval": standing(approval)})


def _check_digest(approval: Approval, ballot: Ballot, by: Actor, digest: str) -> None:
    """Raises where what was shown is not what would run; a request that is itself out of date is superseded."""
    if ballot.digest is None and approval.terms["digest_required"]:
        raise Invalid.field("digest", "the policy wants the digest of what was shown", "required")
    if ballot.digest is not None and ballot.digest != approval.digest:
        audit.record(attempt(approval, ballot, by, DigestMismatch.code))
        raise DigestMismatch
    if digest != approval.digest:
        reason = "What would run is not what was shown any more."
        endings.end(approval, ApprovalStatus.SUPERSEDED, who=audit.SYSTEM, reason=reason)
        raise DigestMismatch(reason, extra={"approval": standing(approval)})


def _check_policy(approval: Approval, call: Call) -> None:
    """Raises where it is judged otherwise now: by newer rules, the agent's autonomy, the person's role or the time."""
    held = policies.current(approval.workspace_id)
    if not asks_alike(rules.judge(call, held), approval.terms):
        endings.end(approval, ApprovalStatus.SUPERSEDED, who=audit.SYSTEM, reason=policies.SUPERSEDED)
        raise endings.AlreadyDecided(policies.SUPERSEDED, extra={"approval": standing(approval)})


def edits(approval: Approval, ballot: Ballot) -> bool:
    """Whether the ballot's arguments are others than those that would run."""
    if ballot.arguments is None:
        return False
    return digests.canonical(ballot.arguments) != digests.canonical(approval.arguments)


def attempt(approval: Approval, ballot: Ballot, by: Actor, code: str) -> audit.Entry:
    """What the log says of who tried to decide and was refused."""
    said = {"code": code, "decision": ballot.decision.value, "sent_digest": (ballot.digest or "")[:64]}
    return entry(approval, "approval.denied_attempt", audit.person(by), **said)
