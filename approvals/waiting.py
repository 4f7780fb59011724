"""What waits for whose decision, in the order of urgency: what inboxes are drawn from."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

from django.db.models import (
    BooleanField,
    Count,
    DurationField,
    Exists,
    ExpressionWrapper,
    F,
    IntegerField,
    OuterRef,
    Q,
    Subquery,
    TextField,
)
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast, Coalesce, Left, Now

from accounts.models import Actor, Group, Role, User
from approvals.models import Approval, ApprovalStatus, Vote

MOST_COUNTED = 1_000
SENTENCE = 400  # characters of a preview's sentence in a list; its page has the whole
GLANCED = 50
GLANCE = ("pk", "status", "version", "votes__count")
HEAVY = ("arguments", "proposed_arguments", "preview", "reason", "response")


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the order of urgency: behind this row."""

    rank: int
    expires_at: datetime.datetime
    id: UUID

    @classmethod
    def read(cls, text: str) -> Self | None:
        """The place that an address names; None where it names none."""
        try:
            rank, expires, row = text.split("_")
            when = datetime.datetime.fromisoformat(expires)
            return cls(int(rank), when, UUID(row)) if when.tzinfo and abs(int(rank)) < 100 else None
        except (ValueError, OverflowError):
            return None

    @classmethod
    def of(cls, row: Approval) -> Self:
        """The place behind a row."""
        return cls(row.risk_rank, row.expires_at, row.pk)

    def __str__(self) -> str:
        return f"{self.rank}_{self.expires_at.isoformat()}_{self.id}"

    @property
    def behind(self) -> Q:
        """The rows that come after it."""
        same = Q(risk_rank=self.rank)
        later = Q(expires_at__gt=self.expires_at) | Q(expires_at=self.expires_at, pk__gt=self.id)
        return Q(risk_rank__lt=self.rank) | (same & later)


def to_decide(user: User, roles: Mapping[UUID, str]) -> Q:
    """Which pending approvals a person with these roles is asked to decide; the service looks again when they do."""
    found, groups = Q(pk__in=[]), dict[UUID, list[str]]()
    people = User.objects.filter(Q(pk=user.identity) | Q(same_person_as=user.identity))
    accounts = list(people.values_list("pk", flat=True))
    for workspace, group_id in Group.objects.filter(members=user).values_list("workspace", "pk"):
        groups.setdefault(workspace, []).append(str(group_id))
    for workspace, role in roles.items():
        asked = Q(terms__people__contains=str(user.pk)) | Q(terms__roles__contains=role)
        if role == Role.ADMIN:
            asked |= ~Q(terms__roles=[])
        for group in groups.get(workspace, []):
            asked |= Q(terms__groups__contains=group) | Q(terms__escalate_to=group, escalates_at__lte=Now())
        wrote = Q(author_ids__overlap=accounts) if role != Role.ADMIN else Q(pk__in=[])  # as `rights.barred`
        found |= Q(workspace=workspace) & asked & ~wrote
    for whose in ("requested_by", "behind"):
        own = Q(**{whose: user.identity}) | Q(**{f"{whose}__same_person_as": user.identity})
        found &= Q(**{whose: None}) | ~own
    return found & ~Q(behind_ids__overlap=accounts)


def of(actor: Actor) -> Q:
    """Which pending approvals wait for this person's vote in their workspace: asked of them, and not given yet."""
    return to_decide(actor.user, {actor.workspace.pk: actor.role}) & not_voted(actor.user)


def not_voted(user: User) -> Q:
    """The requests on which this person has no vote that counts."""
    return ~Q(Exists(_votes_of(user)))


def for_actor(actor: Actor, mine: Q | None = None) -> Any:
    """The requests that wait for this person's vote; `mine` is what `of` says, where it was asked before."""
    rows = Approval.objects.filter(workspace=actor.workspace, status=ApprovalStatus.PENDING)
    return rows.filter(of(actor) if mine is None else mine)


def glance(actor: Actor) -> tuple[object, ...]:
    """How what a person sees stands who does not read the whole workspace: it is other where anything of it is."""
    own = Approval.objects.filter(workspace=actor.workspace, requested_by=actor.user).order_by("-pk")[:GLANCED]
    asked = for_actor(actor).order_by("pk")[:GLANCED]
    return tuple(row for rows in (own, asked) for row in rows.annotate(Count("votes")).values_list(*GLANCE))


def for_list(rows: Any, mine: Q, user: User) -> Any:
    """Rows with what a list shows this person of them, `mine` and their own vote among it, without what is heavy."""
    votes = Vote.objects.filter(approval=OuterRef("pk"), void=False).order_by().values("approval")
    given = Subquery(votes.annotate(many=Count("pk")).values("many"), output_field=IntegerField())
    return (
        rows.named()
        .select_related("requested_by")
        .defer(*HEAVY)
        .annotate(
            mine=ExpressionWrapper(mine, BooleanField()),
            own_vote=Subquery(_votes_of(user).values("decision")[:1]),
            left=ExpressionWrapper(F("expires_at") - Now(), DurationField()),
            age=ExpressionWrapper(Now() - F("created_at"), DurationField()),
            votes_given=Coalesce(given, 0),
            sentence=Left(Cast(KeyTextTransform("sentence", "preview"), TextField()), SENTENCE),
        )
    )


def count(rows: Any) -> str:
    """How many there are, as text; beyond MOST_COUNTED nobody counts."""
    many = rows.order_by()[:MOST_COUNTED].count()
    return f"{many}" if many < MOST_COUNTED else f"{MOST_COUNTED}+"


def _votes_of(user: User) -> Any:
    """The votes of this person that count, on the request of the query around."""
    one = user.identity
    return Vote.objects.filter(Q(user=one) | Q(user__same_person_as=one), approval=OuterRef("pk"), void=False)
