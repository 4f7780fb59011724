"""Policies: the rules that hold now, and each change of them as a version that digests and decisions refer to."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now

from accounts.models import Actor, Group, Role, User, Workspace
from approvals import kinds, snapshots
from approvals.models import Approval, ApprovalStatus, Policy, PolicyVersion
from approvals.rules import Allow, Ask, Deny, Observe, Rule, Rules, Verdict, judge
from approvals.services import audit, endings, rulecheck
from approvals.snapshots import Row
from approvals.terms import asks_alike
from core import commits
from core.errors import Conflict, Forbidden, Invalid, NotFound

__all__ = [
    "Allow", "Ask", "Deny", "Draft", "Observe", "Rules", "Verdict", "apply", "current", "delete", "drafted", "judge",
    "put_before", "rejudge", "save", "switch",
]  # fmt: skip

MOST_RULES = 200
STEP = 10  # between the numbers of two that were put in order
SUPERSEDED = "The rules were changed, and judge this call otherwise now."


class MayNotRule(Forbidden):
    """The person's role does not carry this."""

    code = "role_required"
    default_detail = "Only an admin of the workspace changes its policies."


class UnknownPolicy(NotFound):
    """No policy of the caller's workspace has this id."""

    code = "unknown_policy"
    title = "There is no such policy"


class PolicyNameTaken(Conflict):
    """Another policy of the workspace has this name."""

    code = "policy_name_taken"
    default_detail = "Another policy has this name."


class OrderChanged(Conflict):
    """The policies do not stand in the order any more in which they were seen."""

    code = "order_changed"
    default_detail = "The order was changed meanwhile. Look at it again."


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A rule to be made, changed (where its id is known) or, with `remove`, taken away.

    None for `groups` or `people`, who are asked, leaves them as they are.
    """

    policy: Policy
    groups: Sequence[UUID] | None = None
    people: Sequence[UUID] | None = None
    remove: bool = False


def current(workspace_id: UUID) -> Rules:
    """The rules that hold now, by the database's clock: one query, since what a version says never changes."""
    newest = PolicyVersion.objects.filter(workspace_id=workspace_id).order_by("-version")
    found = newest.values_list("pk", "version", Now()).first()
    if found is None:
        return Rules(0)
    version_id, version, now = found
    return Rules(version, _rules_of(version_id)).at(now)


def save(
    policy: Policy, *, groups: Sequence[UUID] | None = None, people: Sequence[UUID] | None = None, by: Actor
) -> PolicyVersion:
    """Store a rule, new or changed, as the workspace's next version; raises as `apply` does."""
    return apply([Draft(policy=policy, groups=groups, people=people)], by=by)


def delete(policy: Policy, *, by: Actor) -> PolicyVersion:
    """Take a rule away, as the workspace's next version; raises as `apply` does."""
    return apply([Draft(policy=policy, remove=True)], by=by)


@transaction.atomic
def switch(policy_id: UUID, *, enabled: bool, by: Actor) -> PolicyVersion:
    """Switch a rule on or off, as it stands by now; raises as `apply` does."""
    _lock(by)
    policy = Policy.objects.filter(workspace=by.workspace, pk=policy_id).first()
    if policy is None:
        raise UnknownPolicy
    policy.enabled = enabled
    return save(policy, by=by)


@transaction.atomic
def put_before(policy_id: UUID, *, before: UUID, by: Actor) -> PolicyVersion:
    """Let a rule change places with the one that stands directly before it; raises OrderChanged where another does.

    Else raises as `apply` does.
    """
    _lock(by)
    rows = list(Policy.objects.filter(workspace=by.workspace).order_by("priority", "name"))
    place = next((number for number, row in enumerate(rows) if row.pk == policy_id), None)
    if place is None:
        raise UnknownPolicy
    if place == 0 or rows[place - 1].pk != before:
        raise OrderChanged
    rows[place - 1], rows[place] = rows[place], rows[place - 1]
    drafts = []
    for number, row in enumerate(rows):
        if row.priority != number * STEP:
            row.priority = number * STEP
            drafts.append(Draft(policy=row))
    return apply(drafts, by=by)


def apply(drafts: Sequence[Draft], *, by: Actor) -> PolicyVersion:
    """Make changes, all or none, as the workspace's next version; after the commit supersede what is judged otherwise.

    Raises MayNotRule for who is no admin, UnknownPolicy, PolicyNameTaken, or Invalid for a rule that could not hold.
    """
    with transaction.atomic():
        workspace_id = _lock(by)
        before = _rows(workspace_id)
        after = _changed(before, drafts, workspace_id)
        for draft in drafts:
            _store(draft, after)
        last = PolicyVersion.objects.filter(workspace_id=workspace_id).order_by("-version").first()
        version = PolicyVersion.objects.create(
            workspace_id=workspace_id,
            version=last.version + 1 if last else 1,
            rules=[row for row in after.values() if row["enabled"]],
            author=by.user,
        )
        audit.record(*(_entry(draft, version, before, after, by) for draft in drafts))
        commits.after(rejudge, workspace_id)
    return version


def _lock(by: Actor) -> UUID:
    """Let nobody else change the rules of the workspace until the transaction ends; raises MayNotRule."""
    if not by.may(Role.ADMIN):
        raise MayNotRule
    return Workspace.objects.select_for_update(no_key=True).get(pk=by.workspace.pk).pk


def drafted(workspace_id: UUID, drafts: Sequence[Draft]) -> Rules:
    """The rules as they would hold with changes that are not made; raises UnknownPolicy, PolicyNameTaken or Invalid."""
    rows = _changed(_rows(workspace_id), drafts, workspace_id)
    held = Rules(current(workspace_id).version, tuple(snapshots.read(row) for row in rows.values() if row["enabled"]))
    return held.at(Workspace.objects.values_list(Now(), flat=True).get(pk=workspace_id))


def rejudge(workspace_id: UUID, *, agent_id: UUID | None = None) -> int:
    """Supersede the pending requests, of one agent or all, that would be others by now; returns how many.

    Each in a transaction of its own; one that is not reached is judged again by the gate before anything runs.
    """
    held, count = current(workspace_id), 0
    pending = Approval.objects.pending().filter(workspace_id=workspace_id)
    if agent_id is not None:
        pending = pending.filter(agent_id=agent_id)
    for approval in pending.order_by("pk").iterator(chunk_size=200):
        if _outdated(approval, held):
            count += _supersede(approval.pk, held)
    return count


def rejudge_ended(within: timedelta) -> int:
    """Do so in the workspaces where a rule has ended by itself within that time; returns how many were superseded."""
    ended = Policy.objects.filter(enabled=True, valid_until__lte=Now(), valid_until__gt=Now() - within)
    return sum(rejudge(workspace_id) for workspace_id in ended.values_list("workspace_id", flat=True).distinct())


@transaction.atomic
def _supersede(approval_id: UUID, held: Rules) -> bool:
    """End the request, unless it was decided or edited meanwhile so that the rules would ask for just this."""
    approval = endings.locked(approval_id)
    if approval is None or approval.status != ApprovalStatus.PENDING or not (reason := _outdated(approval, held)):
        return False
    return endings.supersede(approval_id, reason=reason)


def _outdated(approval: Approval, held: Rules) -> str:
    """Why it cannot stand: what it asks for was changed, or the rules do not ask for it, or ask others or otherwise."""
    owner = kinds.of(approval.kind)
    if changed := owner.changed(approval):
        return changed
    return "" if asks_alike(judge(owner.call(approval), held), approval.terms) else SUPERSEDED


@lru_cache(maxsize=1_000)
def _rules_of(version_id: UUID) -> tuple[Rule, ...]:
    """By the row's id, not its number: another transaction may roll a version back, and its number comes again."""
    rows = PolicyVersion.objects.values_list("rules", flat=True).get(pk=version_id)
    return tuple(snapshots.read(row) for row in rows)


def _rows(workspace_id: UUID) -> dict[UUID, Row]:
    """All policies of the workspace as JSON, switched off ones too, by id."""
    policies = Policy.objects.filter(workspace_id=workspace_id).order_by("priority", "name")
    return {
        policy.pk: snapshots.write(
            policy, groups=_ids(policy.approver_groups.all()), people=_ids(policy.approver_people.all())
        )
        for policy in policies.prefetch_related("approver_groups", "approver_people")
    }


def _changed(before: dict[UUID, Row], drafts: Sequence[Draft], workspace_id: UUID) -> dict[UUID, Row]:
    """The rules as the drafts leave them; raises for those that cannot be."""
    after = dict(before)
    for draft in drafts:
        policy, old = draft.policy, before.get(draft.policy.pk)
        stored_elsewhere = old is None and not policy._state.adding
        if policy.workspace_id != workspace_id or stored_elsewhere or (draft.remove and old is None):
            raise UnknownPolicy
        if draft.remove:
            after.pop(policy.pk, None)
            continue
        groups, people = _whom(draft.groups, old, "groups"), _whom(draft.people, old, "people")
        asked = old["people"] if old and (old["enabled"] or not policy.enabled) else []
        try:
            rulecheck.check(policy, groups=groups, people=people, asked=[UUID(pk) for pk in asked])
        except Invalid as error:  # of several, it is told which
            raise Invalid(f"{policy.name}: {error.detail}", errors=error.errors) from None
        after[policy.pk] = snapshots.write(policy, groups=groups, people=people)
    names = [row["name"] for row in after.values()]
    if len(set(names)) < len(names):
        raise PolicyNameTaken
    if len(after) > MOST_RULES:
        raise Invalid(f"A workspace may have {MOST_RULES} policies.")
    return after


def _whom(wanted: Sequence[UUID] | None, old: Row | None, name: str) -> Sequence[UUID]:
    if wanted is not None:
        return wanted
    return [UUID(pk) for pk in old[name]] if old else ()


def _store(draft: Draft, after: dict[UUID, Row]) -> None:
    policy = draft.policy
    if draft.remove:
        Policy.objects.filter(pk=policy.pk).delete()
        return
    policy.save()
    policy.approver_groups.set(after[policy.pk]["groups"])
    policy.approver_people.set(after[policy.pk]["people"])


def _entry(
    draft: Draft, version: PolicyVersion, before: dict[UUID, Row], after: dict[UUID, Row], by: Actor
) -> audit.Entry:
    policy = draft.policy
    return audit.Entry(
        type="policy.deleted" if draft.remove else "policy.changed",
        workspace_id=policy.workspace_id,
        who=audit.person(by),
        target=("policy", policy.pk),
        data={
            "name": policy.name,
            "version": version.version,
            "before": before.get(policy.pk),
            "after": after.get(policy.pk),
        },
    )


def _ids(rows: Iterable[Group | User]) -> list[UUID]:
    return [row.pk for row in rows]
