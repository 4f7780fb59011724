"""Doors to the tools that a workspace has: those of the platform, and those that it describes, below /v1/ai/tools."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import actor_of
from agents.models import Tool
from agents.models.described import Body, Method, RetryClass
from agents.services import tools
from agents.tools import openapi
from approvals.models import Risk
from core.errors import Invalid
from core.schema import BODY, GUARDED, problems
from core.serializers import QuerySerializer, StrictSerializer

TOOL = {
    "id": "01890a5d-ac96-774b-bcce-b302099a8058",
    "name": "order_cancel",
    "title": "Cancel an order",
    "description": "Cancel an order that has not been sent.",
    "method": "DELETE",
    "url": "https://shop.example.com/orders/{id}",
    "parameters": {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]},
    "places": {},
    "body": "json",
    "headers": {"Authorization": "Bearer {secret:SHOP}"},
    "risk": "destructive",
    "retry": "idempotent",
    "timeout": 30,
    "enabled": True,
    "source": "admin",
    "version": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
}
SHORT = {name: TOOL[name] for name in ("id", "name", "title", "description", "risk", "source", "enabled")}
TOOL_EXAMPLE = OpenApiExample("The tool", response_only=True, value=TOOL)
LIST_EXAMPLE = OpenApiExample("Tools", response_only=True, value={"tools": [SHORT]})
NEW = {name: TOOL[name] for name in ("name", "description", "method", "url", "parameters", "headers")}
NEW_EXAMPLE = OpenApiExample("Describe a tool", request_only=True, value=NEW)
CHANGE_EXAMPLE = OpenApiExample("Switch it off", request_only=True, value={"enabled": False})
IMPORT_EXAMPLE = OpenApiExample(
    "Look first", request_only=True, value={"url": "https://shop.example.com/openapi.json", "dry_run": True}
)
TAKEN = {409: "`name_taken`: there is a tool of this name."}
LONGEST_DOCUMENT = 900_000  # characters, within a body
OBJECT = {"type": "object", "additionalProperties": True}


@extend_schema_field(OBJECT)
class Object(serializers.JSONField):
    """A JSON object."""

    def to_internal_value(self, data: Any) -> Any:
        """The object; raises ValidationError for anything else."""
        if not isinstance(data, dict):
            raise serializers.ValidationError("This must be an object.", code="wrong_type")
        return data


class ToolIn(StrictSerializer):
    """A tool to describe. Secrets are named as {secret:NAME}, in headers and in the query of the address alone."""

    name = serializers.RegexField(r"^[a-z][a-z0-9_]{0,63}\Z")
    title = serializers.CharField(max_length=100, required=False)
    description = serializers.CharField(max_length=2000)
    method = serializers.ChoiceField(choices=Method.choices, required=False)
    url = serializers.CharField(max_length=2000, help_text="Parameters of its path stand in braces.")
    parameters = Object(required=False, help_text="The JSON Schema of the arguments, of type object.")
    places = Object(required=False, help_text="By parameter: path, query, header, body or whole, with `:name`.")
    body = serializers.ChoiceField(choices=Body.choices, required=False)
    headers = Object(required=False)
    risk = serializers.ChoiceField(choices=Risk.choices, required=False, help_text="By default that of the method.")
    retry = serializers.ChoiceField(choices=RetryClass.choices, required=False)
    timeout = serializers.IntegerField(min_value=1, max_value=tools.MOST_SECONDS, required=False)
    enabled = serializers.BooleanField(required=False)


class ToolChange(ToolIn):
    """What of a tool is changed; what is not sent stays."""

    def get_fields(self) -> dict[str, Any]:
        """The fields, none of which must be sent."""
        fields = super().get_fields()
        for one in fields.values():
            one.required = False
        return fields

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuses a body that changes nothing, which is a mistake."""
        if not attrs:
            raise serializers.ValidationError(f"Send at least one of {', '.join(self.fields)}.", code="required")
        return attrs


class ImportIn(StrictSerializer):
    """An OpenAPI document, or where it is."""

    document = serializers.CharField(
        required=False, max_length=LONGEST_DOCUMENT, trim_whitespace=False, help_text="JSON or YAML, as a text."
    )
    url = serializers.CharField(required=False, max_length=500)
    dry_run = serializers.BooleanField(default=True, help_text="Tell what would come of it, and write nothing.")
    keep = serializers.ListField(
        child=serializers.CharField(max_length=64), required=False, max_length=openapi.MOST_OPERATIONS,
        help_text="The names of those to import; all of them by default.",
    )  # fmt: skip

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuses both, and neither."""
        if ("document" in attrs) == ("url" in attrs):
            raise serializers.ValidationError(
                "Send document or url, one of them; dry_run and keep may be sent along.", code="required"
            )
        return attrs


class ToolOut(serializers.ModelSerializer[Tool]):
    """A tool as anybody of the workspace may see it."""

    class Meta:
        model = Tool
        fields = ("id", "name", "title", "description", "risk", "source", "enabled")
        read_only_fields = fields


class ToolWhole(serializers.ModelSerializer[Tool]):
    """A tool with its request; secrets are names."""

    version = serializers.CharField()
    parameters = serializers.DictField()
    places = serializers.DictField(child=serializers.CharField())
    headers = serializers.DictField(child=serializers.CharField())

    class Meta:
        model = Tool
        fields = tuple(TOOL)
        read_only_fields = fields


class ToolsOut(serializers.Serializer[Any]):
    """The tools that the workspace describes."""

    tools = ToolOut(many=True)


class ProposalOut(serializers.Serializer[Any]):
    """An operation of a document."""

    name = serializers.CharField()
    operation = serializers.CharField()
    needs = serializers.ListField(child=serializers.CharField(), help_text="Secrets to keep for it.")
    state = serializers.CharField(help_text="`new`, `changed`, `same`, or why it cannot be a tool.")


class ImportOut(serializers.Serializer[Any]):
    """What came of a document, or would come of it."""

    dry_run = serializers.BooleanField()
    tools = ProposalOut(many=True)


class _Tools(APIView):
    @property
    def scope(self) -> str:
        """`chat` to read, `admin` to write."""
        return "chat" if self.request.method in SAFE_METHODS else "admin"

    @property
    def limit_bucket(self) -> str:
        """`read` or `write`."""
        return "read" if self.request.method in SAFE_METHODS else "write"


class ToolsView(_Tools):
    """GET and POST /v1/ai/tools."""

    @extend_schema(
        responses={200: ToolsOut, **problems(*GUARDED)},
        examples=[LIST_EXAMPLE],
        operation_id="ai_tools_list",
        tags=["tools"],
    )
    def get(self, request: Request) -> Response:
        """The tools that the workspace describes, by name."""
        QuerySerializer.read(request.query_params)
        rows = Tool.objects.visible_to(actor_of(request)).defer("parameters").order_by("name")[: tools.MOST_TOOLS]
        return Response(ToolsOut({"tools": rows}).data)

    @extend_schema(
        request=ToolIn,
        responses={201: ToolWhole, **problems(*GUARDED, *BODY, told=TAKEN)},
        examples=[NEW_EXAMPLE, TOOL_EXAMPLE],
        tags=["tools"],
    )
    def post(self, request: Request) -> Response:
        """Describe a tool; for admins."""
        actor = actor_of(request)
        tools.admit(actor)
        made = tools.create(by=actor, **ToolIn.read(request.data))
        return Response(ToolWhole(made).data, status=201)


class ToolView(_Tools):
    """GET, PATCH and DELETE /v1/ai/tools/{id}."""

    @extend_schema(responses={200: ToolWhole, **problems(*GUARDED, 404)}, examples=[TOOL_EXAMPLE], tags=["tools"])
    def get(self, request: Request, tool_id: UUID) -> Response:
        """A tool with its request; secrets are names."""
        QuerySerializer.read(request.query_params)
        return Response(ToolWhole(tools.find(actor_of(request), tool_id)).data)

    @extend_schema(
        request=ToolChange,
        responses={200: ToolWhole, **problems(*GUARDED, *BODY, 404, told=TAKEN)},
        examples=[CHANGE_EXAMPLE, TOOL_EXAMPLE],
        tags=["tools"],
    )
    def patch(self, request: Request, tool_id: UUID) -> Response:
        """Change a tool; what was approved for the version before does not run. For admins."""
        actor = actor_of(request)
        tool = tools.find(actor, tool_id)
        tools.admit(actor)
        return Response(ToolWhole(tools.change(tool, by=actor, **ToolChange.read(request.data))).data)

    @extend_schema(request=None, responses={204: None, **problems(*GUARDED, 404)}, tags=["tools"])
    def delete(self, request: Request, tool_id: UUID) -> Response:
        """Delete a tool; for admins."""
        actor = actor_of(request)
        tools.delete(tools.find(actor, tool_id), by=actor)
        return Response(status=204)


class ImportView(APIView):
    """POST /v1/ai/tools/import."""

    scope = "admin"
    limit_bucket = "write"

    @extend_schema(
        request=ImportIn,
        responses={200: ImportOut, **problems(*GUARDED, *BODY, 503, told=TAKEN)},
        examples=[IMPORT_EXAMPLE],
        tags=["tools"],
    )
    def post(self, request: Request) -> Response:
        """Make tools of the operations of an OpenAPI document; for admins. Without `dry_run: false` nothing is kept."""
        actor = actor_of(request)
        tools.admit(actor)
        said = ImportIn.read(request.data)
        if said["dry_run"] and "keep" in said:
            raise Invalid.field("keep", "is for an import: send dry_run as false")
        text = said["document"] if "document" in said else tools.fetch(said["url"], by=actor)
        if said["dry_run"]:
            found = tools.propose(text, by=actor, came_from=said.get("url", ""))
        else:
            found = tools.import_(text, by=actor, keep=said.get("keep"), came_from=said.get("url", ""))
        told = [
            {"name": one.name, "operation": one.operation, "needs": list(one.needs), "state": state}
            for one, state in found
        ]
        return Response(ImportOut({"dry_run": said["dry_run"], "tools": told}).data)
