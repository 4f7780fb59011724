"""Rules as the versions of a workspace's policies keep them: plain JSON, durations in seconds, people by their ids."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from approvals.models import Policy
from approvals.rules import Ask, Rule

Row = dict[str, Any]

_RULE = ("name", "tool", "agent", "companion", "condition", "effect", "priority", "covers_advisors")
_ASK = (
    "quorum_approve", "quorum_reject", "editable", "fresh_password", "digest_required", "may_remember", "most_per_run",
)  # fmt: skip
_SECONDS = ("escalate_after", "request_lasts", "approval_lasts")


def write(policy: Policy, *, groups: Sequence[UUID], people: Sequence[UUID]) -> Row:
    """A rule as JSON, switched off ones too."""
    return {
        "id": str(policy.pk),
        "enabled": policy.enabled,
        **{name: getattr(policy, name) for name in (*_RULE, *_ASK)},
        **{name: _seconds(getattr(policy, name)) for name in _SECONDS},
        "risks": [str(risk) for risk in policy.risks],
        "tiers": [str(tier) for tier in policy.tiers],
        "roles": [str(role) for role in policy.approver_roles],
        "groups": sorted(str(pk) for pk in groups),
        "people": sorted(str(pk) for pk in people),
        "escalate_to": str(policy.escalate_to_id) if policy.escalate_to_id else None,
        "valid_until": policy.valid_until.isoformat() if policy.valid_until else None,
    }


def read(row: Row) -> Rule:
    """The rule that `write` wrote; what an older version did not have yet is as it is by default."""
    ask: dict[str, Any] = {name: row[name] for name in _ASK if name in row}
    ask |= {name: timedelta(seconds=row[name]) for name in _SECONDS if row.get(name) is not None}
    ask |= {name: tuple(map(UUID, row[name])) for name in ("groups", "people") if name in row}
    ask |= {"roles": tuple(row["roles"])} if "roles" in row else {}
    ask |= {"escalate_to": UUID(row["escalate_to"])} if row.get("escalate_to") else {}
    rule: dict[str, Any] = {name: row[name] for name in _RULE if name in row}
    rule |= {name: tuple(row[name]) for name in ("risks", "tiers") if name in row}
    until = row.get("valid_until")
    return Rule(
        id=row["id"],
        ask=Ask(policy=row["name"], **ask),
        valid_until=datetime.fromisoformat(until) if until else None,
        **rule,
    )


def _seconds(duration: timedelta | None) -> float | None:
    return duration.total_seconds() if duration is not None else None
