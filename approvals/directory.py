"""What agents and companions are called: the apps that own them register here how to look them up."""

from collections.abc import Callable, Collection
from typing import Any
from uuid import UUID

from django.db.models import Case, CharField, Exists, F, OuterRef, QuerySet, Subquery, Value, When
from django.db.models.functions import Concat

Find = Callable[[UUID, str], UUID | None]
Rows = Callable[[], QuerySet[Any]]
_finders: list[Find] = []
_rows: dict[str, Rows] = {}
AGENT, COMPANION = "agent", "companion"


def register(find: Find) -> None:
    """Say who knows the agents of a workspace by their slugs; called from the owner's AppConfig.ready()."""
    _finders[:] = [find]


def register_names(kind: str, rows: Rows) -> None:
    """Say where agents or companions are found, with what `called` adds to them; likewise."""
    _rows[kind] = rows


def called(rows: QuerySet[Any], slug: str) -> QuerySet[Any]:
    """The rows with what people call each: its name, with the slug behind it where two of the workspace have it."""
    others = rows.model._default_manager.filter(workspace=OuterRef("workspace"), name=OuterRef("name"))
    two = When(
        Exists(others.exclude(pk=OuterRef("pk"))),
        then=Concat("name", Value(" ("), slug, Value(")"), output_field=CharField()),
    )
    found: QuerySet[Any] = rows.annotate(called=Case(two, default=F("name"), output_field=CharField()))
    return found


def agent_id(workspace_id: UUID, slug: str) -> UUID | None:
    """The id of the workspace's agent with this slug; None where it has none."""
    (find,) = _finders
    return find(workspace_id, slug)


def agent_of(field: str) -> Subquery:
    """For queries: what the agent is called whose id is in this field of a row with `workspace_id`; null for none."""
    return _one(AGENT, pk=OuterRef(field))


def companion_of(field: str) -> Subquery:
    """For queries: what the companion is called whose type is in this field, likewise."""
    return _one(COMPANION, type=OuterRef(field))


def agents(workspace_ids: Collection[UUID], agent_ids: Collection[UUID]) -> dict[UUID, str]:
    """What these agents of these workspaces are called; those that there are no more are left out. One query."""
    rows = _rows[AGENT]().filter(workspace__in=workspace_ids, pk__in=agent_ids)
    return dict(rows.values_list("pk", "called"))


def _one(kind: str, **which: OuterRef) -> Subquery:
    rows = _rows[kind]().filter(workspace=OuterRef("workspace_id"), **which)
    return Subquery(rows.values("called")[:1], output_field=CharField())
