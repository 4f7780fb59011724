"""The terms on which people are asked, as a request keeps them: they stay what they were when it was made."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from approvals.rules import Ask, Verdict


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


def in_words(quorum: int, whom: Sequence[str]) -> str:
    """Of whom how many votes are asked, such as `managers or 2 groups for 1 vote`."""
    return f"{' or '.join(whom) or 'nobody'} for {quorum} vote{'' if quorum == 1 else 's'}"


def asks_alike(verdict: Verdict, terms: dict[str, Any]) -> bool:
    """Whether a verdict asks, and on just these terms."""
    return isinstance(verdict, Ask) and terms_of(verdict) == terms


def _seconds(duration: timedelta | None) -> float | None:
    return duration.total_seconds() if duration is not None else None
