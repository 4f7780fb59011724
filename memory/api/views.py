"""Doors to a person's own memories, below /v1/ai/."""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet, prefetch_related_objects
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import actor_of
from accounts.models import Actor
from companions import directory
from companions.models import Companion
from core.schema import BODY, GUARDED, problems
from core.serializers import QuerySerializer
from memory.api.serializers import (
    ForgettingOut,
    MemoriesOut,
    MemoryChange,
    MemoryOut,
    MemoryQuery,
    MemoryVersionsOut,
    NewMemory,
    PauseIn,
    PauseOut,
    PausesOut,
)
from memory.models import Entry, Owner, Status
from memory.querysets import EntryQuerySet
from memory.services import entries, forgetting, owners, searching
from memory.services.entries import By, New

MEMORY = {
    "id": "01890a5d-ac96-774b-bcce-b302099a8060",
    "layer": "identity",
    "type": "home",
    "content": "Lives in Rotterdam.",
    "companion_type": "smart-home",
    "source": "person",
    "sources": [],
    "confidence": 1.0,
    "status": "active",
    "pinned": False,
    "metadata": {},
    "said_at": "2026-01-01T12:00:00Z",
    "valid_from": "2026-01-01T12:00:00Z",
    "valid_to": None,
    "superseded_by": None,
    "expires_at": None,
    "created_at": "2026-01-01T12:00:00Z",
    "updated_at": "2026-01-01T12:00:00Z",
    "last_recalled_at": None,
}
EXAMPLE = OpenApiExample("The memory", response_only=True, value=MEMORY)
LIST_EXAMPLE = OpenApiExample(
    "Memories", response_only=True, value={"memories": [MEMORY], "total": 1, "limit": 20, "offset": 0}
)
NEW_EXAMPLE = OpenApiExample(
    "Where you live",
    request_only=True,
    value={
        "layer": "identity",
        "type": "home",
        "content": "Lives in Rotterdam.",
        "companion_type": "smart-home",
    },
)
FORGETTING_EXAMPLE = OpenApiExample(
    "What would go",
    response_only=True,
    value={
        "memories": 1,
        "messages": 1,
        "cuts": [
            {
                "message_id": "01890a5d-ac96-774b-bcce-b302099a8057",
                "session_id": "01890a5d-ac96-774b-bcce-b302099a8058",
                "by_person": True,
                "sentences": ["I live in Rotterdam."],
            }
        ],
    },
)
CHANGE_EXAMPLE = OpenApiExample("Moved", request_only=True, value={"content": "Lives in Utrecht."})
PAUSE_EXAMPLE = OpenApiExample("Keep nothing new", request_only=True, value={"paused": True})
NO_COMPANION = {404: "`unknown_companion`"}


class MemoryView(APIView):
    """What all doors to memories have in common."""

    scope = "memory"

    @property
    def limit_bucket(self) -> str:
        """`read` or `write`."""
        return "read" if self.request.method in SAFE_METHODS else "write"


def companion_of(actor: Actor, type_: str | None) -> Companion | None:
    """The caller's companion of this type, None for none; raises UnknownCompanion."""
    return directory.find(actor, type_) if type_ else None


def shown(rows: QuerySet[Entry]) -> QuerySet[Entry]:
    """With what `MemoryOut` reads beside the entry."""
    return rows.select_related("owner__companion").prefetch_related("sources")


def listed(actor: Actor, companion: Companion | None, layer: str, status: str) -> EntryQuerySet:
    """The caller's memories of this companion, layer and status, where these are said."""
    rows = Entry.objects.visible_to(actor).defer("terms", "embedding")
    if companion is not None:
        rows = rows.filter(owner__companion=companion)
    if layer:
        rows = rows.filter(layer=layer)
    if status == Status.ACTIVE:
        return rows.live()
    return rows if status == "all" else rows.filter(status=status)


class MemoriesView(MemoryView):
    """GET and POST /v1/ai/memory."""

    @extend_schema(
        operation_id="ai_memory_list",
        parameters=[MemoryQuery],
        responses={200: MemoriesOut, **problems(*GUARDED, told=NO_COMPANION)},
        examples=[LIST_EXAMPLE],
        tags=["memory"],
    )
    def get(self, request: Request) -> Response:
        """Your memories: the newest first, with `words` those alone that have them; with `q` what fits best first."""
        query, actor = MemoryQuery.read(request.query_params), actor_of(request)
        limit, offset, layer = query["limit"], query["offset"], query.get("layer", "")
        companion = companion_of(actor, query.get("companion_type"))
        page: Any
        if text := query.get("q"):
            found = searching.entries(searching.search(actor, text, companion=companion, layer=layer))
            page, total = found[offset : offset + limit], len(found)
            prefetch_related_objects(page, "sources")
        else:
            rows = listed(actor, companion, layer, query["status"]).saying(query.get("words", ""))
            page, total = shown(rows).order_by("-id")[offset : offset + limit], rows.count()
        return Response(MemoriesOut({"memories": page, "total": total, "limit": limit, "offset": offset}).data)

    @extend_schema(
        request=NewMemory,
        responses={200: MemoryOut, 201: MemoryOut, **problems(*GUARDED, *BODY, 409, told=NO_COMPANION)},
        examples=[NEW_EXAMPLE, EXAMPLE],
        tags=["memory"],
    )
    def post(self, request: Request) -> Response:
        """Write a memory down; one that says the same gives 200 with the memory that is there."""
        actor, body = actor_of(request), NewMemory.read(request.data)
        companion = companion_of(actor, body.pop("companion_type", None))
        new = New(layer=body.pop("layer"), text=body.pop("content"), slot=body.pop("type", ""), **body)
        entry, is_new = entries.write_for(actor, companion, new)
        return Response(MemoryOut(entry).data, status=201 if is_new else 200)


class OneMemoryView(MemoryView):
    """GET, PATCH and DELETE /v1/ai/memory/{id}."""

    @extend_schema(
        operation_id="ai_memory_one",
        responses={200: MemoryOut, **problems(*GUARDED, 404)},
        examples=[EXAMPLE],
        tags=["memory"],
    )
    def get(self, request: Request, memory_id: UUID) -> Response:
        """A memory of yours, whatever its status."""
        QuerySerializer.read(request.query_params)
        return Response(MemoryOut(entries.find(actor_of(request), memory_id)).data)

    @extend_schema(
        request=MemoryChange,
        responses={
            200: MemoryOut,
            **problems(*GUARDED, *BODY, 404, told={409: "`not_editable`, or another stands there"}),
        },
        examples=[CHANGE_EXAMPLE, EXAMPLE],
        tags=["memory"],
    )
    def patch(self, request: Request, memory_id: UUID) -> Response:
        """Change a memory; what it was stays as a revision, and can be brought back."""
        actor = actor_of(request)
        said = MemoryChange.read(request.data)
        renamed = {"content": "text", "type": "slot"}
        changes = {renamed.get(name, name): value for name, value in said.items()}
        return Response(MemoryOut(entries.change(entries.find(actor, memory_id), by=By.person(actor), **changes)).data)

    @extend_schema(request=None, responses={204: None, **problems(*GUARDED, 404)}, tags=["memory"])
    def delete(self, request: Request, memory_id: UUID) -> Response:
        """Forget a memory for good: its earlier versions, what was drawn from it alone, and where it was said."""
        actor = actor_of(request)
        forgetting.forget(entries.find(actor, memory_id), by=By.person(actor))
        return Response(status=204)


class ForgettingView(MemoryView):
    """GET /v1/ai/memory/{id}/forgetting."""

    limit_bucket = "write"  # it is done, and taken back

    @extend_schema(
        responses={200: ForgettingOut, **problems(*GUARDED, 404, told={409: "`still_told`"})},
        examples=[FORGETTING_EXAMPLE],
        tags=["memory"],
    )
    def get(self, request: Request, memory_id: UUID) -> Response:
        """What forgetting the memory would take now, of which nothing is done."""
        QuerySerializer.read(request.query_params)
        actor = actor_of(request)
        return Response(ForgettingOut(forgetting.preview(entries.find(actor, memory_id), by=By.person(actor))).data)


class VersionsView(MemoryView):
    """GET /v1/ai/memory/{id}/versions."""

    @extend_schema(responses={200: MemoryVersionsOut, **problems(*GUARDED, 404)}, tags=["memory"])
    def get(self, request: Request, memory_id: UUID) -> Response:
        """How a memory came to be what it is: its changes, and what it superseded, the newest first."""
        QuerySerializer.read(request.query_params)
        entry = entries.find(actor_of(request), memory_id)
        revisions = [
            {
                "number": one.number,
                "content": one.before["text"],
                "type": one.before["slot"],
                "source": one.before["author"],
                "changed_at": one.created_at,
            }
            for one in entry.revisions.order_by("-number")
        ]
        older = shown(entry.supersedes.all()).order_by("-id")
        return Response(MemoryVersionsOut({"memory": entry, "revisions": revisions, "superseded": older}).data)


class UndoView(MemoryView):
    """POST /v1/ai/memory/{id}/undo."""

    @extend_schema(
        request=None,
        responses={200: MemoryOut, **problems(*GUARDED, 404, told={409: "`nothing_to_undo`"})},
        examples=[EXAMPLE],
        tags=["memory"],
    )
    def post(self, request: Request, memory_id: UUID) -> Response:
        """Take the last change back, or bring back what the memory superseded; gives what counts now."""
        actor = actor_of(request)
        return Response(MemoryOut(entries.undo(entries.find(actor, memory_id), by=By.person(actor))).data)


class AcceptView(MemoryView):
    """POST /v1/ai/memory/{id}/accept."""

    @extend_schema(
        request=None,
        responses={200: MemoryOut, **problems(*GUARDED, 404, told={409: "`not_pending`"})},
        examples=[EXAMPLE],
        tags=["memory"],
    )
    def post(self, request: Request, memory_id: UUID) -> Response:
        """Let a memory that waits for you count; DELETE it to refuse it."""
        actor = actor_of(request)
        return Response(MemoryOut(entries.accept(entries.find(actor, memory_id), by=By.person(actor))).data)


class PauseView(MemoryView):
    """GET and PUT /v1/ai/memory/pause."""

    @extend_schema(operation_id="ai_memory_pauses", responses={200: PausesOut, **problems(*GUARDED)}, tags=["memory"])
    def get(self, request: Request) -> Response:
        """Which of your memories rest."""
        QuerySerializer.read(request.query_params)
        rows = Owner.objects.visible_to(actor_of(request)).select_related("companion").order_by("id")
        return Response(PausesOut({"pauses": [_pause(row) for row in rows]}).data)

    @extend_schema(
        request=PauseIn,
        responses={200: PauseOut, **problems(*GUARDED, *BODY, told=NO_COMPANION)},
        examples=[PAUSE_EXAMPLE],
        tags=["memory"],
    )
    def put(self, request: Request) -> Response:
        """Let memory rest with a companion, or with all: nothing new is kept, and nothing recalled."""
        actor, body = actor_of(request), PauseIn.read(request.data)
        owner = owners.of(actor, companion_of(actor, body.get("companion_type")))
        return Response(PauseOut(_pause(owners.pause(owner, body["paused"], by=actor))).data)


def _pause(owner: Owner) -> dict[str, Any]:
    return {"companion_type": owner.companion.type if owner.companion else None, "paused": owner.paused}
