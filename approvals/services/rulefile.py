"""Policies as a file that people keep: JSON with names where the database has ids, and seconds for lengths of time."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from accounts.models import Group, Membership, Workspace
from approvals.models import Policy
from approvals.services.policies import Draft
from core.errors import Invalid

PLAIN: dict[str, type] = {
    **dict.fromkeys(("name", "description", "effect", "tool", "agent", "companion", "condition"), str),
    **dict.fromkeys(("risks", "tiers", "approver_roles"), list),
    **dict.fromkeys(("priority", "quorum_approve", "quorum_reject", "most_per_run"), int),
    **dict.fromkeys(("enabled", "covers_advisors", "editable", "fresh_password"), bool),
    **dict.fromkeys(("digest_required", "may_remember"), bool),
}
SECONDS = ("request_lasts", "approval_lasts", "escalate_after")
NAMES = (*PLAIN, *SECONDS, "approver_groups", "approver_people", "escalate_to", "valid_until")
LONGEST_SECONDS = 10**9
_KINDS = {bool: "true or false", int: "a whole number", str: "a text", list: "a list"}


def write(workspace: Workspace) -> list[dict[str, Any]]:
    """The workspace's policies, each as `read` takes it."""
    rows = Policy.objects.filter(workspace=workspace).select_related("escalate_to").order_by("priority", "name")
    return [_written(row) for row in rows.prefetch_related("approver_groups", "approver_people")]


def read(workspace: Workspace, given: Any) -> list[Draft]:
    """A rule or a list of them as drafts, by name: what a known one does not say stays as it is.

    Raises Invalid, which names the rule, for what is none; what the rule then says is checked by `policies`.
    """
    rules = given if isinstance(given, list) else [given]
    known = {row.name: row for row in Policy.objects.filter(workspace=workspace)}
    return [_draft(workspace, known, rule) for rule in rules]


def others(workspace: Workspace, drafts: Sequence[Draft]) -> list[Draft]:
    """The removal of every policy that is not among the drafts."""
    kept = [draft.policy.pk for draft in drafts]
    return [Draft(policy=row, remove=True) for row in Policy.objects.filter(workspace=workspace).exclude(pk__in=kept)]


def _written(policy: Policy) -> dict[str, Any]:
    lengths = {name: getattr(policy, name) for name in SECONDS}
    return {
        **{name: getattr(policy, name) for name in PLAIN},
        **{name: length and length.total_seconds() for name, length in lengths.items()},
        "approver_groups": sorted(group.name for group in policy.approver_groups.all()),
        "approver_people": sorted(user.email for user in policy.approver_people.all()),
        "escalate_to": policy.escalate_to.name if policy.escalate_to else None,
        "valid_until": policy.valid_until.isoformat() if policy.valid_until else None,
    }


def _draft(workspace: Workspace, known: dict[str, Policy], rule: Any) -> Draft:
    if not isinstance(rule, dict) or not isinstance(rule.get("name"), str):
        raise Invalid("A rule is an object with a name.")
    name = rule["name"]
    if unknown := sorted(rule.keys() - set(NAMES)):
        raise _bad(name, unknown[0], f"is not known; a rule has {', '.join(NAMES)}")
    policy = known.get(name) or Policy(workspace=workspace)
    for field in PLAIN:
        if field in rule:
            setattr(policy, field, _plain(name, field, rule[field]))
    for field in SECONDS:
        if field in rule:
            setattr(policy, field, _length(name, field, rule[field]))
    if "escalate_to" in rule:
        wanted = [rule["escalate_to"]] if rule["escalate_to"] is not None else []
        policy.escalate_to_id = next(iter(_groups(workspace, name, "escalate_to", wanted)), None)
    if "valid_until" in rule:
        policy.valid_until = _moment(name, rule["valid_until"])
    groups, people = rule.get("approver_groups"), rule.get("approver_people")
    return Draft(
        policy=policy,
        groups=None if groups is None else _groups(workspace, name, "approver_groups", groups),
        people=None if people is None else _people(workspace, name, people),
    )


def _plain(name: str, field: str, value: Any) -> Any:
    if type(value) is not PLAIN[field]:
        raise _bad(name, field, f"is {_KINDS[PLAIN[field]]}")
    return value


def _length(name: str, field: str, value: Any) -> timedelta | None:
    if value is None and field == "escalate_after":
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= LONGEST_SECONDS:
        raise _bad(name, field, "is a number of seconds")
    return timedelta(seconds=value)


def _moment(name: str, value: Any) -> datetime | None:
    if value is None:
        return None
    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise _bad(name, "valid_until", "is a time such as 2030-01-31T12:00:00+00:00") from None


def _groups(workspace: Workspace, name: str, field: str, wanted: Any) -> list[UUID]:
    rows = Group.objects.filter(workspace=workspace, name__in=_texts(name, field, wanted)).values_list("name", "pk")
    return _found(name, field, wanted, rows)


def _people(workspace: Workspace, name: str, wanted: Any) -> list[UUID]:
    emails = [email.lower() for email in _texts(name, "approver_people", wanted)]
    members = Membership.objects.filter(workspace=workspace, user__email__in=emails)
    return _found(name, "approver_people", emails, members.values_list("user__email", "user_id"))


def _texts(name: str, field: str, wanted: Any) -> list[str]:
    if not isinstance(wanted, list) or not all(isinstance(one, str) for one in wanted):
        raise _bad(name, field, "is a list of names")
    return wanted


def _found(name: str, field: str, wanted: Iterable[str], rows: Iterable[tuple[str, UUID]]) -> list[UUID]:
    by_name = dict(rows)
    if missing := sorted(set(wanted) - by_name.keys()):
        raise _bad(name, field, f"names {', '.join(missing)}, which the workspace does not have")
    return [by_name[one] for one in dict.fromkeys(wanted)]


def _bad(name: str, field: str, why: str) -> Invalid:
    return Invalid.field(field, f"of the rule {name[:200]!r} {why}")
