"""Telling people: each as they prefer, by e-mail at once or later with others, or not at all."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from accounts.models import Membership, Role, User
from approvals.models import HeldNotice, NotificationPreference, OutboxItem, Risk
from approvals.preferences import EMERGENCY, ENDING, PASSED_ON, SWITCHED_OFF, WAITS, By, Preferences, When, Wish
from approvals.services import posting

MOST = 50  # people who are told of one event
URGENT = frozenset({PASSED_ON, ENDING, EMERGENCY})
"""What is urgent whatever it is about; else that is what cannot be taken back."""


@dataclass(frozen=True, slots=True)
class Audience:
    """Those who are told, and which of the events that they have preferences for it is to them."""

    event: str
    people: QuerySet[User]


def tell(workspace_id: UUID, type: str, payload: dict[str, Any], *audiences: Audience) -> None:
    """Tell these people in the transaction at hand; raises where there is none."""
    posting.post(rows(workspace_id, type, payload, audiences))


def rows(workspace_id: UUID, type: str, payload: dict[str, Any], audiences: Sequence[Audience]) -> list[OutboxItem]:
    """The e-mails for those who want theirs at once; what others want later is held in the transaction at hand.

    Who is not a member, or not active, is not told. Raises where there is no transaction.
    """
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError("what is told outside belongs into the change that it tells of")
    at_once: list[OutboxItem] = []
    held: list[HeldNotice] = []
    for audience in audiences:
        for member, wants, now in _members(workspace_id, audience.people):
            wish = wants.wish(audience.event)
            if wish.by == By.NOTHING:
                continue
            own = {**payload, "time_zone": wants.time_zone}
            due = wants.due(wish.when, now, urgent=_urgent(audience.event, payload))
            if due is None:
                at_once.append(email(workspace_id, type, own, member.user.email))
            else:
                held.append(_held(member, audience.event, type, own, due))
    HeldNotice.objects.bulk_create(held, ignore_conflicts=True)  # a request is held once, for when it was due first
    return at_once


def email(workspace_id: UUID, type: str, payload: dict[str, Any], address: str) -> OutboxItem:
    """The row of one e-mail."""
    return OutboxItem(workspace_id=workspace_id, topic=posting.EMAIL, type=type, target=address, payload=payload)


def alarm(workspace_id: UUID, payload: dict[str, Any]) -> None:
    """Tell the admins, in the transaction at hand, that a way to tell others was switched off."""
    admins = User.objects.filter(memberships__workspace_id=workspace_id, memberships__role=Role.ADMIN)
    tell(workspace_id, "channel.disabled", payload, Audience(SWITCHED_OFF, admins))


def preferences_of(member: Membership) -> Preferences:
    """What the member wants, the defaults where they said nothing."""
    row: NotificationPreference | None = getattr(member, "notifications", None)
    if row is None:
        return Preferences()
    return Preferences(
        wishes={name: Wish(By(one["by"]), When(one["when"])) for name, one in row.events.items()},
        time_zone=row.time_zone,
        daily_at=row.daily_at,
        quiet_from=row.quiet_from,
        quiet_until=row.quiet_until,
        urgent_at_once=row.urgent_at_once,
    )


def _members(workspace_id: UUID, people: QuerySet[User]) -> list[tuple[Membership, Preferences, datetime]]:
    """The members among these people, at most MOST, each with what they want, and the database's time."""
    found: QuerySet[Any] = (
        Membership.objects.filter(workspace_id=workspace_id, user__in=people.order_by().values("pk"))
        .filter(user__is_active=True)
        .select_related("user", "notifications")
        .annotate(now=Now())
        .order_by("user__email")
    )
    return [(member, preferences_of(member), member.now) for member in found[:MOST]]


def _urgent(event: str, payload: dict[str, Any]) -> bool:
    return event in URGENT or payload.get("risk") == Risk.DESTRUCTIVE


def _held(member: Membership, event: str, type: str, payload: dict[str, Any], due: datetime) -> HeldNotice:
    about = UUID(payload["approval_id"]) if event in WAITS else None
    return HeldNotice(membership=member, event=event, type=type, approval_id=about, payload=payload, due_at=due)
