"""Doors to an agent as one JSON file, below /v1/ai/."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import actor_of
from agents.api.definitions import TAKEN, WHOLE_EXAMPLE
from agents.api.serializers import AgentWhole
from agents.services import bundles, definitions, switches
from core.schema import BODY, GUARDED, problems
from core.serializers import QuerySerializer, StrictSerializer

FILE = {
    "format": bundles.FORMAT,
    "format_version": bundles.FORMAT_VERSION,
    "agent": {"slug": "hestia", "name": "Hestia", "instructions": "You help.", "tools": ["device_list"]},
}


class BundleOut(serializers.Serializer[Any]):
    """An agent as a file has it."""

    format = serializers.CharField()
    format_version = serializers.IntegerField()
    agent = serializers.DictField()


class BundleIn(StrictSerializer):
    """An exported agent, and what to call it here."""

    file = serializers.DictField(help_text="What an export gave.")
    rename = serializers.SlugField(max_length=60, required=False, help_text="A slug in place of the file's.")


class ExportView(APIView):
    """GET /v1/ai/agents/{id}/export."""

    scope = "admin"
    limit_bucket = "read"

    @extend_schema(
        responses={200: BundleOut, **problems(*GUARDED, 404)},
        examples=[OpenApiExample("The file", response_only=True, value=FILE)],
        tags=["agents"],
    )
    def get(self, request: Request, agent_id: UUID) -> Response:
        """The agent as one JSON file, without secrets and trust; for managers and admins."""
        QuerySerializer.read(request.query_params)
        actor = actor_of(request)
        agent = switches.find(actor, agent_id)
        switches.admit(actor, agent.workspace_id)
        return Response(bundles.exported(agent))


class ImportView(APIView):
    """POST /v1/ai/agents/import."""

    scope = "admin"
    limit_bucket = "write"

    @extend_schema(
        request=BundleIn,
        responses={201: AgentWhole, **problems(*GUARDED, *BODY, told=TAKEN)},
        examples=[OpenApiExample("Import", request_only=True, value={"file": FILE}), WHOLE_EXAMPLE],
        tags=["agents"],
    )
    def post(self, request: Request) -> Response:
        """Make an agent as a file says, whose tools and skills must be there; for admins."""
        actor = actor_of(request)
        definitions.admit(actor)
        said = BundleIn.read(request.data)
        return Response(AgentWhole(bundles.imported(said.pop("file"), by=actor, **said)).data, status=201)
