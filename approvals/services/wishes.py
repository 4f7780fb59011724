"""What a member wants to be told: read, and set as a whole."""

from collections.abc import Mapping
from datetime import time

from django.db import transaction

from accounts.models import Actor, Membership
from accounts.permissions import own_key
from approvals.models import NotificationPreference
from approvals.preferences import EVENTS, Preferences, Wish, time_zones
from approvals.services import audit, notices
from core.errors import Invalid


def current(*, by: Actor) -> Preferences:
    """What the caller wants in this workspace."""
    member = Membership.objects.select_related("notifications").filter(workspace=by.workspace, user=by.user).first()
    return notices.preferences_of(member) if member else Preferences()


def configure(
    *,
    by: Actor,
    wishes: Mapping[str, Wish],
    time_zone: str,
    daily_at: time,
    quiet_from: time | None,
    quiet_until: time | None,
    urgent_at_once: bool,
) -> Preferences:
    """Set all that the caller wants in this workspace. What is held already comes when it was to.

    Raises Invalid, or KeyOfAnother: whoever was shown a key for somebody silences nobody by it.
    """
    own_key(by)
    if time_zone not in time_zones():
        raise Invalid.field("time_zone", "a name of the IANA time zone database, such as Europe/Berlin")
    if quiet_from is not None and quiet_from == quiet_until:
        raise Invalid.field("quiet_hours", "they end at another time than they begin")
    wanted = {name: {"by": wish.by.value, "when": wish.when.value} for name, wish in wishes.items() if name in EVENTS}
    fields = {
        "events": wanted,
        "time_zone": time_zone,
        "daily_at": daily_at,
        "quiet_from": quiet_from,
        "quiet_until": quiet_until,
        "urgent_at_once": urgent_at_once,
    }
    with transaction.atomic():
        row, _ = NotificationPreference.objects.update_or_create(membership=by.membership, defaults=fields)
        told = {name: value.isoformat() if isinstance(value, time) else value for name, value in fields.items()}
        audit.record(
            audit.Entry(
                type="notifications.changed",
                workspace_id=by.workspace.pk,
                who=audit.person(by),
                target=("notifications", row.pk),
                data={"after": told},
            )
        )
    return current(by=by)
