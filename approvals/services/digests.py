"""What was held for later, sent when it is due: one e-mail for each member, however often the clock strikes.

The held rows go, or are set to their next period, in the transaction that puts the e-mail into the outbox.
"""

import logging
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now

from accounts.models import Actor, Membership
from approvals import waiting as inbox
from approvals.emails import DIGEST
from approvals.models import HeldNotice
from approvals.preferences import WAITS, By, Preferences, When
from approvals.services import endings, notices, posting

log = logging.getLogger(__name__)

MOST = 50  # notices in one e-mail


def send_due(limit: int = 500) -> int:
    """Send what is due to members, `limit` at most; returns how many got an e-mail. One that fails stops no other."""
    due = HeldNotice.objects.filter(due_at__lte=Now()).order_by().values_list("membership_id", flat=True).distinct()
    sent = 0
    for membership_id in list(due[:limit]):
        try:
            sent += _send(membership_id)
        except Exception:
            log.exception("a digest could not be made", extra={"membership": str(membership_id)})
    return sent


@transaction.atomic
def _send(membership_id: UUID) -> bool:
    """Send one member's; False where there is nothing to tell any more, or another does it just now."""
    rows = Membership.objects.select_for_update(of=("self",), no_key=True, skip_locked=True)
    rows = rows.select_related("user", "workspace", "notifications").annotate(now=Now())
    member: Any = rows.filter(pk=membership_id).first()
    if member is None:
        return False
    held = list(HeldNotice.objects.filter(membership=member, due_at__lte=Now()).order_by("pk").defer("payload"))
    found = _waiting(member, held)
    waiting = list(found.values_list("pk", flat=True))
    news = [one.pk for one in held if one.event not in WAITS]
    told = [{"type": "approval.requested", "payload": endings.payload(approval)} for approval in found[:MOST]]
    rest = HeldNotice.objects.filter(pk__in=news[: MOST - len(told)]).order_by("pk")
    told += [{"type": one.type, "payload": one.payload} for one in rest]
    _put_off(notices.preferences_of(member), held, set(waiting), member.now)
    if not member.user.is_active or not told:
        return False
    payload = _payload(member, told, waiting=len(waiting), more=len(waiting) + len(news) - len(told))
    posting.post([notices.email(member.workspace_id, DIGEST, payload, member.user.email)])
    return True


def _waiting(member: Membership, held: list[HeldNotice]) -> Any:
    """The requests among what was held that still wait for this member's vote, the most urgent first."""
    about = {one.approval_id for one in held if one.event in WAITS}
    rows = inbox.for_actor(Actor(member.user, member.workspace, member)).filter(pk__in=about, expires_at__gt=Now())
    return rows.named().select_related("requested_by", "decided_by").most_urgent_first()


def _put_off(wants: Preferences, held: list[HeldNotice], waiting: set[UUID], now: datetime) -> None:
    """What still waits, and is told by the hour or the day, is told again in the next period; all else goes."""
    over = {one.pk for one in held}
    for event in WAITS:
        next_time = _again(wants, event, now)
        again = [one.pk for one in held if one.event == event and one.approval_id in waiting] if next_time else []
        HeldNotice.objects.filter(pk__in=again).update(due_at=next_time)
        over.difference_update(again)
    HeldNotice.objects.filter(pk__in=over).delete()


def _again(wants: Preferences, event: str, now: datetime) -> datetime | None:
    wish = wants.wish(event)
    return None if wish.by == By.NOTHING or wish.when == When.AT_ONCE else wants.due(wish.when, now)


def _payload(member: Membership, told: list[dict[str, Any]], *, waiting: int, more: int) -> dict[str, Any]:
    return {
        "notices": told,
        "waiting": waiting,
        "more": more,
        "time_zone": notices.preferences_of(member).time_zone,
        # By these what was forgotten is found in here.
        "about": sorted({str(one["payload"].get("approval_id") or one["payload"].get("action_id")) for one in told}),
    }
