"""Requests to countersign: how one is made, and the verbs by which everybody else deals with them."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now

from accounts.models import User
from approvals import live
from approvals.calls import Behind, Call
from approvals.models import Approval, Risk
from approvals.preferences import WAITING
from approvals.rules import Ask
from approvals.services import audit, outbox, rights
from approvals.services.ballots import Remember
from approvals.services.deciding import Result, decide, decide_many
from approvals.services.endings import ask as set_terms
from approvals.services.endings import cancel, entry, payload, renew, supersede, visible
from approvals.services.expiry import escalate_due, expire_due, remind_due
from approvals.services.grants import use as use_grant
from approvals.services.listing import Page, page
from approvals.services.rights import holding, may_decide, still_holds
from approvals.terms import terms_of
from core import ids

__all__ = [
    "Page", "Remember", "Result", "cancel", "decide", "decide_many", "escalate_due", "expire_due", "holding",
    "may_decide", "page", "remind_due", "renew", "request", "still_holds", "supersede", "terms_of", "use_grant",
    "visible",
]  # fmt: skip

REMINDED = 0.75  # of its time is over when those who have not decided are reminded
REMINDED_OF = timedelta(minutes=20)  # what lasts for less is asked for once
# What the database says of it.
STORED = ("created_at", "expires_at", "escalates_at", "agent_name", "companion_name", "workspace_name")
RANKS: Sequence[str] = [risk.value for risk in Risk]


@transaction.atomic(savepoint=False)
def request(
    *,
    call: Call,
    ask: Ask,
    kind: str,
    subject_id: UUID,
    call_id: str,
    tool_version: str,
    digest: str,
    preview: dict[str, Any],
    policy_version: int,
    requested_by: User | None,
    behind: Behind,
    key_maker: User | None = None,
) -> Approval:
    """Ask that a call be countersigned, in the caller's transaction and under its locks.

    Neither `requested_by` decides nor who made the key for that, nor who else stands `behind` it: see `rights.barred`.
    """
    approval = Approval(
        id=ids.new(),
        workspace_id=call.workspace_id,
        kind=kind,
        subject_id=subject_id,
        run_id=call.run_id,
        session_id=call.session_id,
        call_id=call_id,
        agent_id=call.agent_id,
        agent=call.agent,
        companion=call.companion,
        requested_by=requested_by,
        behind=key_maker,
        behind_ids=sorted(behind.asked - {one.pk for one in (requested_by, key_maker) if one}),
        author_ids=sorted(behind.wrote),
        tool=call.tool,
        tool_version=tool_version,
        risk=call.risk,
        risk_rank=RANKS.index(call.risk),
        arguments=call.arguments,
        digest=digest,
        preview=preview,
        policy_version=policy_version,
        expires_at=Now() + ask.request_lasts,
        reminds_at=Now() + ask.request_lasts * REMINDED if ask.request_lasts >= REMINDED_OF else None,
    )
    set_terms(approval, ask)
    approval.save(force_insert=True)
    stored = Approval.objects.named().values(*STORED).get(pk=approval.pk)
    for name, value in stored.items():
        setattr(approval, name, value)
    who = audit.agent(call.agent_id, requested_by.pk if requested_by else None, call.agent)
    asked = entry(
        approval,
        "approval.requested",
        who,
        arguments=approval.arguments,
        policy=approval.policy_name,
        policy_version=policy_version,
        terms=approval.terms,
        expires_at=approval.expires_at,
        behind=key_maker and key_maker.pk,
        behind_ids=[str(one) for one in approval.behind_ids],
        author_ids=[str(one) for one in approval.author_ids],
    )
    audit.record(asked)
    whom = outbox.Audience(WAITING, rights.asked(approval))
    outbox.put(approval.workspace_id, "approval.requested", payload(approval), to=[whom])
    live.changed(approval.workspace_id)
    return approval
