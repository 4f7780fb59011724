"""The native dialect's word about itself: version and health."""

from django.conf import settings
from django.http import HttpResponse
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import actor_of
from agents import brain
from agents.brain import Silent
from agents.tools import registry
from core.schema import GUARDED, problems
from core.serializers import QuerySerializer
from memory import embedders


class UnavailableOut(serializers.Serializer[Silent]):
    """A provider that does not answer, or is not asked for a while, and why."""

    provider = serializers.CharField()
    code = serializers.CharField()
    message = serializers.CharField()


INFO = inline_serializer(
    "Info",
    {
        "name": serializers.CharField(),
        "version": serializers.CharField(),
        "tier": serializers.CharField(),
        "brain": serializers.ChoiceField(choices=["available", "unavailable"]),
        "providers": serializers.ListField(child=serializers.CharField()),
        "unavailable": UnavailableOut(many=True),
        "tools": serializers.ListField(child=serializers.CharField()),
        "embedder": serializers.CharField(help_text="`ready`, or why recall goes by words alone."),
    },
)


class InfoView(APIView):
    """GET /v1/ai/info."""

    limit_bucket = "read"

    @extend_schema(responses={200: INFO, **problems(*GUARDED)}, tags=["about"])
    def get(self, request: Request) -> Response:
        """What this installation is and has."""
        QuerySerializer.read(request.query_params)
        actor = actor_of(request)
        workspace = actor.workspace
        return Response(
            {
                "name": "Countersign",
                "version": settings.VERSION,
                "tier": workspace.tier,
                "brain": "available" if brain.available(workspace) else "unavailable",
                "providers": [spec.name for spec in brain.providers(workspace.pk)],
                "unavailable": [UnavailableOut(one).data for one in brain.unavailable(workspace, actor.user.pk)],
                "tools": registry.names(workspace.pk),
                "embedder": embedders.current().state(),
            }
        )


class HealthView(APIView):
    """GET /v1/ai/health."""

    authentication_classes = ()
    permission_classes = ()
    throttle_classes = ()

    @extend_schema(
        responses={200: inline_serializer("Health", {"status": serializers.CharField()})},
        auth=[],
        tags=["about"],
    )
    def get(self, request: Request) -> HttpResponse:
        """Whether this process answers."""
        return Response({"status": "ok"})
