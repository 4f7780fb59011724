"""What a rule must be so that it can hold: fields that fit, terms that can be met, a condition that can be read."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError

from accounts.models import Group, Membership, Role, Tier
from approvals import conditions
from approvals.models import Effect, Policy, Risk
from core.errors import FieldError, Invalid

LARGEST_QUORUM = 20
LONGEST = timedelta(days=90)
LISTS: dict[str, Collection[str]] = {"risks": Risk.values, "tiers": Tier.values, "approver_roles": Role.values}
"""The fields that are lists, each with what may stand in it."""


def check(policy: Policy, *, groups: Sequence[UUID], people: Sequence[UUID], asked: Collection[UUID] = ()) -> None:
    """Raises Invalid, which names the field, for a rule that could not hold; `groups` and `people` are who is asked.

    Whoever is `asked` already may have left the workspace since: that keeps nobody from changing something else.
    """
    _check_fields(policy)
    for name, known in LISTS.items():
        _check_list(name, getattr(policy, name), known)
    _check_quorum(policy)
    _check_times(policy)
    _check_people(policy, groups, people, asked)
    if policy.condition.strip():
        conditions.check(policy.condition)


def _check_fields(policy: Policy) -> None:
    """What the model itself says of each: types, lengths, choices."""
    try:
        policy.clean_fields(exclude={"workspace", *LISTS})
    except ValidationError as error:
        faults = [FieldError(name, "invalid", " ".join(said)) for name, said in error.message_dict.items()]
        raise Invalid("; ".join(f"{one.field}: {one.message}" for one in faults), errors=faults) from None
    if not isinstance(policy.condition, str):
        raise Invalid.field("condition", "a text")
    policy.condition = policy.condition.strip()
    for name in ("name", "tool", "agent", "companion"):
        value = getattr(policy, name)
        if not value.strip() or any(ord(character) < 32 for character in value):
            raise Invalid.field(name, "a text of one line; * stands for anything" if name != "name" else "a name")


def _check_list(name: str, value: Any, known: Collection[str]) -> None:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise Invalid.field(name, "a list of names")
    if unknown := sorted(set(value) - set(known)):
        raise Invalid.field(name, f"{', '.join(unknown)}: there is {', '.join(known)}")


def _check_quorum(policy: Policy) -> None:
    for name in ("quorum_approve", "quorum_reject"):
        if not 1 <= getattr(policy, name) <= LARGEST_QUORUM:
            raise Invalid.field(name, f"from 1 to {LARGEST_QUORUM}")
    if policy.most_per_run < 1:
        raise Invalid.field("most_per_run", "one at least; to refuse all, deny")


def _check_times(policy: Policy) -> None:
    for name in ("request_lasts", "approval_lasts"):
        if not timedelta(0) < getattr(policy, name) <= LONGEST:
            raise Invalid.field(name, f"more than nothing, and {LONGEST.days} days at most")
    if (policy.escalate_after is None) != (policy.escalate_to_id is None):
        raise Invalid.field("escalate_to", "a time and a group go together", "required")
    if policy.escalate_after is not None and not timedelta(0) < policy.escalate_after < policy.request_lasts:
        raise Invalid.field("escalate_after", "after the request, and before it lapses")
    if policy.valid_until is not None and policy.valid_until.tzinfo is None:
        raise Invalid.field("valid_until", "a time with its zone")


def _check_people(policy: Policy, groups: Sequence[UUID], people: Sequence[UUID], asked: Collection[UUID]) -> None:
    """Somebody is asked while the rule is on, and belongs to the workspace when it begins to ask them."""
    if policy.enabled and policy.effect == Effect.ASK and not (policy.approver_roles or groups or people):
        raise Invalid.field("approver_roles", "somebody must be asked: a role, a group or a person", "required")
    wanted = {*groups, *([policy.escalate_to_id] if policy.escalate_to_id else [])}
    if Group.objects.filter(workspace_id=policy.workspace_id, pk__in=wanted).count() < len(wanted):
        raise Invalid.field("approver_groups", "each is a group of this workspace", "unknown_id")
    new = set(people).difference(asked)
    if Membership.objects.filter(workspace_id=policy.workspace_id, user__in=new).count() < len(new):
        raise Invalid.field("approver_people", "each is a member of this workspace", "unknown_id")
