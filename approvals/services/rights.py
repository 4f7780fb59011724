"""Who may decide: asked of the database each time, because rights end while requests wait.

Nobody countersigns what they themselves asked for: `barred` is the one place that says who that is, for votes, lists
and notices, for approvals that are remembered, and for what starts by either.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Coalesce, Now

from accounts.models import Actor, Group, Membership, Role, Tier, User
from approvals.calls import Behind
from approvals.models import Approval, ApprovalStatus, Decision
from core.errors import Forbidden

SCOPE = "approvals"
NOBODY = "Nobody in this workspace may decide it: an admin adds another manager, or names others in the policy."


class Denied(Forbidden):
    """Somebody tried to decide who may not; the audit log has it."""


class TierRequired(Denied):
    """The workspace's tier has no approvals."""

    code = "tier_required"
    default_detail = "Approvals need the tier `pro` or a higher one."


class IsRequester(Denied):
    """Nobody countersigns what they asked for, with whichever account: by a message, a key, or words of an agent."""

    code = "requester"
    default_detail = (
        "What was requested on your behalf, by a key that you made, or in words of the agent or companion that you "
        "wrote, is decided by somebody else."
    )


class NotAnApprover(Denied):
    """The policy asks others."""

    code = "role_required"
    default_detail = "The policy asks others to decide this."


class KeyOfAnother(Denied):
    """Whoever was shown a key can use it: a decision by it may be theirs instead of the person's."""

    code = "key_of_another"
    default_detail = "This key was made by somebody else than the person it acts for, and decides nothing."


class KeyNotForApprovals(Denied):
    """A key decides only where its scopes name approvals; one without scopes does not."""

    code = "scope_required"
    default_detail = "A key decides only if its scopes name `approvals`."


def may_decide(approval: Approval, actor: Actor) -> str | None:
    """None where the person may decide it now, else the code of what they would be told."""
    if approval.status != ApprovalStatus.PENDING:
        return "expired" if approval.status == ApprovalStatus.EXPIRED else "already_decided"
    if Approval.objects.overdue().filter(pk=approval.pk).exists():
        return "expired"
    found = refusal(approval, actor)
    if found is not None:
        return found.code
    return "already_voted" if has_voted(approval, actor) else None


def has_voted(approval: Approval, actor: Actor) -> bool:
    """Whether the person, with whichever account, has a vote on it that is not void."""
    one = actor.user.identity
    return approval.votes.filter(Q(user=one) | Q(user__same_person_as=one), void=False).exists()


def refusal(approval: Approval, actor: Actor) -> type[Denied] | None:
    """What would be raised if this person decided; None where they may."""
    if approval.workspace.tier == Tier.FREE:
        return TierRequired
    if is_barred(actor.user.pk, standing_behind(approval), approval.workspace_id):
        return IsRequester
    if actor.workspace.pk != approval.workspace_id or not entitled(approval, [actor.user.pk]):
        return NotAnApprover
    if actor.key is not None and actor.key.maker is not None:
        return KeyOfAnother
    if actor.key is not None and SCOPE not in actor.key.scopes:
        return KeyNotForApprovals
    return None


def entitled(approval: Approval, user_ids: Iterable[UUID]) -> dict[UUID, UUID]:
    """Those of these people who may decide now, each with the identity behind the account."""
    rows = asked(approval).filter(pk__in=list(user_ids))
    return dict(rows.values_list("pk", Coalesce("same_person_as", "pk")))


def asked_in(approval: Approval, group_id: str) -> QuerySet[User]:
    """Of those who may decide now, the ones of this group."""
    return asked(approval).filter(_in_groups(approval, [group_id]))


def undecided(approval: Approval) -> QuerySet[User]:
    """Of those who may decide now, the people without a vote that holds, be it by another account of theirs."""
    given = approval.votes.filter(void=False, user__isnull=False)
    voted = set(given.values_list(Coalesce("user__same_person_as", "user"), flat=True))
    return asked(approval).exclude(Q(pk__in=voted) | Q(same_person_as__in=voted)) if voted else asked(approval)


@dataclass(frozen=True, slots=True)
class Tally:
    """How many of those who may decide now are for it, and how many against."""

    approve: int
    reject: int


def tally(approval: Approval) -> Tally:
    """Count the votes that hold: not void, by people who have the right now, one for each person."""
    votes = list(approval.votes.filter(void=False).values_list("user_id", "decision"))
    identities = entitled(approval, [user_id for user_id, _ in votes if user_id])
    reject = {identities[user_id] for user_id, said in votes if user_id in identities and said == Decision.REJECT}
    approve = {identities[user_id] for user_id, said in votes if user_id in identities and said != Decision.REJECT}
    return Tally(len(approve), len(reject))


def still_holds(approval: Approval) -> bool:
    """Whether what was approved may start now."""
    return holding(approval.pk) is not None


def holding(approval_id: UUID) -> Approval | None:
    """What was approved, if it may start now: in time, and approved by enough people who still have the right."""
    row = (
        Approval.objects.filter(pk=approval_id, status=ApprovalStatus.APPROVED, valid_until__gt=Now())
        .select_related("requested_by", "workspace")
        .first()
    )
    if row is None or row.workspace.tier == Tier.FREE:
        return None
    if row.break_glass:
        holds = row.workspace.break_glass and is_admin(row.workspace_id, row.decided_by_id)
    else:
        holds = tally(row).approve >= row.terms["quorum_approve"]
    return row if holds else None


def is_admin(workspace_id: UUID, user_id: UUID | None) -> bool:
    """Whether the person is an admin of the workspace now."""
    admins = Membership.objects.filter(workspace_id=workspace_id, role=Role.ADMIN, user__is_active=True)
    return user_id is not None and admins.filter(user_id=user_id).exists()


def nobody_left(approval: Approval) -> bool:
    """Whether no member may decide it now, because all whom the policy asks stand behind it."""
    return not asked(approval).exists()


def standing_behind(approval: Approval) -> Behind:
    """Who stands behind a request: on whose behalf it was asked, who made the key for that, who wrote what asked."""
    people = {user_id for user_id in (approval.requested_by_id, approval.behind_id) if user_id}
    return Behind(asked=frozenset({*people, *approval.behind_ids}), wrote=frozenset(approval.author_ids))


def barred(behind: Behind, workspace_id: UUID) -> Q:
    """The accounts that decide nothing of what these stand behind, by the roles that they have in this moment.

    Those who asked, with whichever account. Those who wrote what a person's agent was told, save with an account that
    is an admin's: admins write the rules of what is countersigned too, in the open (docs/decisions/0019).
    """
    found = _accounts_of(behind.asked)
    if behind.wrote:
        admins = Membership.objects.filter(workspace_id=workspace_id, user=OuterRef("pk"), role=Role.ADMIN)
        found |= _accounts_of(behind.wrote) & ~Q(Exists(admins))
    return found


def is_barred(user_id: UUID, behind: Behind, workspace_id: UUID) -> bool:
    """Whether this account decides nothing of what these stand behind."""
    return User.objects.filter(barred(behind, workspace_id), pk=user_id).exists()


def _accounts_of(user_ids: Iterable[UUID]) -> Q:
    """All accounts of the people behind these."""
    people = User.objects.filter(pk__in=list(user_ids)).values_list(Coalesce("same_person_as", "pk"))
    return Q(pk__in=people) | Q(same_person_as__in=people)


def asked(approval: Approval) -> QuerySet[User]:
    """The active members whom the policy asks, by role, group or name, save the people behind the request."""
    terms = approval.terms
    member = Membership.objects.filter(workspace_id=approval.workspace_id, user=OuterRef("pk"))
    asked = Q(pk__in=terms["people"]) | _in_groups(approval, terms["groups"])
    if terms["roles"]:
        asked |= Q(Exists(member.filter(role__in=[*terms["roles"], Role.ADMIN])))
    if terms["escalate_to"]:
        late = Approval.objects.filter(pk=approval.pk, escalates_at__lte=Now())
        asked |= Q(Exists(late)) & _in_groups(approval, [terms["escalate_to"]])
    found = User.objects.filter(asked, Exists(member), is_active=True)
    return found.exclude(barred(standing_behind(approval), approval.workspace_id))


def _in_groups(approval: Approval, group_ids: list[str]) -> Q:
    groups = Group.objects.filter(workspace_id=approval.workspace_id, pk__in=group_ids)
    return Q(pk__in=groups.values("members"))
