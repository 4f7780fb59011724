"""What failures of an address that is told come to: it rests for a moment, and is switched off where none succeeds."""

from datetime import timedelta
from typing import Any

from django.db.models import F, QuerySet
from django.db.models.functions import Coalesce, Now

PAUSE = timedelta(minutes=1)  # the longest that one failure keeps the deliveries after it waiting
PATIENCE = timedelta(days=5)  # of nothing but failures, after which it is switched off
GONE = "The receiver answered 410 Gone."
FAILING = f"Nothing could be delivered for {PATIENCE.days} days."


def note(rows: QuerySet[Any], *, ok: bool, gone: bool, delay: timedelta | None) -> str:
    """Keep how an address does; returns why it was switched off where this was what did it, else nothing."""
    if ok:
        rows.exclude(failing_since=None, paused_until=None).update(failing_since=None, paused_until=None)
        return ""
    pause = min(delay, PAUSE) if delay else PAUSE
    rows.update(failing_since=Coalesce(F("failing_since"), Now()), paused_until=Now() + pause)
    failing = rows.filter(enabled=True) if gone else rows.filter(enabled=True, failing_since__lte=Now() - PATIENCE)
    reason = GONE if gone else FAILING
    return reason if failing.update(enabled=False, disabled_reason=reason) else ""
