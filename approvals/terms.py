"""The terms on which people are asked, as a request keeps them: they stay what they were when it was made."""

from datetime import timedelta
from typing import Any

from approvals.calls import Call
from approvals.rules import Ask, Rules, judge


def terms_of(ask: Ask) -> dict[str, Any]:
    """A policy's terms as a request keeps them: plain JSON, durations in seconds."""
    return {
        "quorum_approve": ask.quorum_approve,
        "quorum_reject": ask.quorum_reject,
        "roles": [str(role) for role in ask.roles],
        "groups": [str(group) for group in ask.groups],
        "people": [str(person) for person in ask.people],
        "escalate_after": _seconds(ask.escalate_after),
        "escalate_to": str(ask.escalate_to) if ask.escalate_to else None,
        "request_lasts": _seconds(ask.request_lasts),
        "approval_lasts": _seconds(ask.approval_lasts),
        "editable": ask.editable,
        "fresh_password": ask.fresh_password,
        "digest_required": ask.digest_required,
        "may_remember": ask.may_remember,
    }


def asked_alike(call: Call, held: Rules, terms: dict[str, Any]) -> bool:
    """Whether the rules ask for this call, and on just these terms."""
    verdict = judge(call, held)
    return isinstance(verdict, Ask) and terms_of(verdict) == terms


def _seconds(duration: timedelta | None) -> float | None:
    return duration.total_seconds() if duration is not None else None
