"""Approvals that are remembered: the same tool with the same arguments, in one conversation, for a time and a count."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from accounts.models import Actor, Role
from approvals import rules
from approvals.calls import Behind, Call
from approvals.models import Approval, Grant
from approvals.services import audit, policies, rights
from approvals.services.ballots import Remember
from approvals.services.endings import entry
from approvals.terms import asks_alike
from core import digest as digests
from core.errors import Forbidden, Invalid, NotFound

MOST_MINUTES = 1440
MOST_USES = 100


class RememberNotAllowed(Forbidden):
    """The policy wants to be asked each time."""

    code = "remember_not_allowed"
    default_detail = "The policy wants each of these calls to be decided for itself."


class UnknownGrant(NotFound):
    """No grant that the caller may end has this id."""

    code = "unknown_grant"


def check(approval: Approval, remember: Remember) -> None:
    """Raises RememberNotAllowed or Invalid where the approval cannot be remembered like this."""
    if not approval.terms["may_remember"]:
        raise RememberNotAllowed
    if approval.terms["quorum_approve"] > 1:
        raise Invalid.field("remember", "where several must approve, one cannot do so for later", "quorum")
    if approval.session_id is None:
        raise Invalid.field("remember", "there is no conversation in which it would hold")
    if not 1 <= remember.minutes <= MOST_MINUTES:
        raise Invalid.field("remember.minutes", f"from 1 to {MOST_MINUTES}")
    if not 1 <= remember.count <= MOST_USES:
        raise Invalid.field("remember.count", f"from 1 to {MOST_USES}")
    unknown = set(remember.arguments or ()) - approval.arguments.keys()
    if unknown or (remember.arguments == () and approval.arguments):
        raise Invalid.field("remember.arguments", "names of the call's arguments, one at least")


def give(approval: Approval, remember: Remember, *, by: Actor) -> Grant:
    """Remember an approval that `check` let pass."""
    assert approval.session_id is not None, "`check` saw to it"
    names = approval.arguments.keys() if remember.arguments is None else remember.arguments
    grant = Grant.objects.create(
        workspace_id=approval.workspace_id,
        approval=approval,
        session_id=approval.session_id,
        tool=approval.tool,
        tool_version=approval.tool_version,
        arguments={name: approval.arguments[name] for name in names},
        uses_left=remember.count,
        expires_at=Now() + timedelta(minutes=remember.minutes),
        author=by.user,
    )
    told = {"grant_id": str(grant.pk), "arguments": sorted(names), "minutes": remember.minutes, "count": remember.count}
    audit.record(entry(approval, "approval.remembered", audit.person(by), **told))
    return grant


def use(call: Call, tool_version: str, behind: Behind) -> Grant | None:
    """Use up one of a grant that covers the call, in the caller's transaction; None where there is none.

    A grant holds only where policy would ask on the terms of the approval that it came from, while its author may
    decide on those, and where they might decide on this call by hand as well: who stands `behind` it does not.
    """
    if call.session_id is None:
        return None
    live = Grant.objects.filter(
        workspace_id=call.workspace_id, session_id=call.session_id, tool=call.tool, tool_version=tool_version
    ).filter(revoked_at=None, uses_left__gt=0, expires_at__gt=Now())
    for grant in live.select_related("approval__requested_by").order_by("expires_at", "pk"):
        if covers(grant, call.arguments) and _holds(grant, call, behind) and _take(grant, call):
            return grant
    return None


def covers(grant: Grant, arguments: dict[str, Any]) -> bool:
    """Whether a call with these arguments is one of those that were meant."""
    if grant.arguments.keys() == grant.approval.arguments.keys():  # all must be the same, and none may come to them
        return digests.canonical(arguments) == digests.canonical(grant.arguments)
    same = {name: value for name, value in arguments.items() if name in grant.arguments}
    return digests.canonical(same) == digests.canonical(grant.arguments)


@transaction.atomic
def revoke(grant_id: UUID, *, by: Actor) -> bool:
    """End a grant; False where it was ended before. Raises UnknownGrant, or NotAnApprover for who is no manager."""
    grant = Grant.objects.visible_to(by).select_related("approval__requested_by").filter(pk=grant_id).first()
    if grant is None:
        raise UnknownGrant
    if not by.may(Role.MANAGER):
        raise rights.NotAnApprover("Only a manager or an admin ends what is remembered.")
    if not Grant.objects.filter(pk=grant_id, revoked_at=None).update(revoked_at=Now()):
        return False
    audit.record(_told(grant, "grant.revoked", audit.person(by)))
    return True


def still_holds(grant_id: UUID, call: Call, behind: Behind) -> bool:
    """Whether a call that used a grant up may start by it now: not revoked, and policy and its author's right hold."""
    grant = Grant.objects.select_related("approval__requested_by").filter(pk=grant_id, revoked_at=None).first()
    return grant is not None and covers(grant, call.arguments) and _holds(grant, call, behind)


def _holds(grant: Grant, call: Call, behind: Behind) -> bool:
    """Whether the call would be asked about on the terms that its author decided on, and they may still decide so.

    That is looked at for the request of then, and for this call: others may stand behind it.
    """
    if not asks_alike(rules.judge(call, policies.current(call.workspace_id)), grant.approval.terms):
        return False
    if grant.author_id is None or rights.is_barred(grant.author_id, behind, grant.workspace_id):
        return False
    return bool(rights.entitled(grant.approval, [grant.author_id]))


def _take(grant: Grant, call: Call) -> bool:
    usable = Grant.objects.filter(pk=grant.pk, revoked_at=None, uses_left__gt=0, expires_at__gt=Now())
    if not usable.update(uses_left=F("uses_left") - 1):
        return False
    grant.refresh_from_db(fields=["uses_left"])
    audit.record(
        _told(grant, "grant.used", audit.agent(call.agent_id, call.person.id if call.person else None, call.agent))
    )
    return True


def _told(grant: Grant, type: str, who: audit.Who) -> audit.Entry:
    return audit.Entry(
        type=type,
        workspace_id=grant.workspace_id,
        who=who,
        target=("grant", grant.pk),
        agent_id=grant.approval.agent_id,
        session_id=grant.session_id,
        data={"approval_id": str(grant.approval_id), "tool": grant.tool, "uses_left": grant.uses_left},
    )
