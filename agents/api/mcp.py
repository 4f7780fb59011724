"""Doors to the MCP servers of a workspace and their tools, below /v1/ai/mcp-servers."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import actor_of
from accounts.models import Role
from agents.models import McpServer, McpTool
from agents.models.described import RetryClass
from agents.models.mcp import McpTransport
from agents.services import mcp
from approvals.models import Risk
from core.schema import BODY, GUARDED, problems
from core.serializers import QuerySerializer, StrictSerializer

SERVER = {
    "id": "01890a5d-ac96-774b-bcce-b302099a8058",
    "name": "docs",
    "transport": "http",
    "url": "https://mcp.example.com/mcp",
    "program": "",
    "enabled": True,
    "checked_at": "2026-07-01T06:00:00Z",
    "problem": "",
}
HASH = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
DEFINITION = {
    "name": "search",
    "title": "Search",
    "description": "Search the documents.",
    "parameters": {"type": "object", "properties": {"query": {"type": "string"}}},
    "annotations": {"readOnlyHint": True},
}
TOOL = {
    "id": "01890a5d-ac96-774b-bcce-b302099a8059",
    "name": "docs__search",
    "remote_name": "search",
    "state": "new",
    "offered": DEFINITION,
    "offered_hash": HASH,
    "accepted": {},
    "risk": "destructive",
    "retry": "unknown",
    "proposed_risk": "read",
    "proposed_retry": "idempotent",
}
SERVER_EXAMPLE = OpenApiExample("The server", response_only=True, value=SERVER)
LIST_EXAMPLE = OpenApiExample("Servers", response_only=True, value={"mcp_servers": [SERVER]})
TOOL_EXAMPLE = OpenApiExample("The tool", response_only=True, value=TOOL)
TOOLS_EXAMPLE = OpenApiExample("Tools", response_only=True, value={"tools": [TOOL]})
NEW_EXAMPLE = OpenApiExample(
    "Connect a server", request_only=True,
    value={"name": "docs", "url": "https://mcp.example.com/mcp", "secrets": {"Authorization": "Bearer …"}},
)  # fmt: skip
CHANGE_EXAMPLE = OpenApiExample("Switch it off", request_only=True, value={"enabled": False})
ACCEPT_EXAMPLE = OpenApiExample(
    "Accept it", request_only=True, value={"definition": HASH, "risk": "read", "retry": "idempotent"}
)
TAKEN = {409: "`name_taken`: there is an MCP server of this name."}
ASKED = {409: "`being_asked`: a server of the workspace is being asked already."}
MOVED = {409: "`definition_changed`: the tool is defined otherwise by now."}


class _Text(serializers.CharField):
    """A text within an object, and nothing that can be made one."""

    def to_internal_value(self, data: Any) -> str:
        """The text; raises ValidationError."""
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class ServerIn(StrictSerializer):
    """A server to connect to. Secrets are taken and never given back."""

    name = serializers.RegexField(r"^[a-z][a-z0-9_]{0,29}\Z")
    transport = serializers.ChoiceField(choices=McpTransport.choices, required=False)
    url = serializers.CharField(max_length=500, allow_blank=True, help_text="Empty for a program.")
    program = serializers.CharField(max_length=60, required=False, help_text="A name that the operator gave.")
    secrets = serializers.DictField(
        child=_Text(max_length=4000), required=False, help_text="Headers, or variables of the program."
    )
    enabled = serializers.BooleanField(required=False)


class ServerChange(StrictSerializer):
    """What of a server is changed; what is not sent stays."""

    url = serializers.CharField(max_length=500, required=False)
    secrets = serializers.DictField(child=_Text(max_length=4000), required=False)
    enabled = serializers.BooleanField(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuses a body that changes nothing, which is a mistake."""
        if not attrs:
            raise serializers.ValidationError(f"Send at least one of {', '.join(self.fields)}.", code="required")
        return attrs


class AcceptIn(StrictSerializer):
    """The definition that was looked at, by its hash, and what is made of it."""

    definition = serializers.CharField(max_length=64)
    risk = serializers.ChoiceField(choices=Risk.choices)
    retry = serializers.ChoiceField(choices=RetryClass.choices)


class ServerOut(serializers.ModelSerializer[McpServer]):
    """A server, without its secrets."""

    class Meta:
        model = McpServer
        fields = tuple(SERVER)
        read_only_fields = fields


class ServersOut(serializers.Serializer[Any]):
    """The workspace's servers."""

    mcp_servers = ServerOut(many=True)


class McpToolOut(serializers.ModelSerializer[McpTool]):
    """A tool: as it is offered, and as it was accepted."""

    state = serializers.ChoiceField(choices=["new", "accepted", "changed", "gone"])
    offered = serializers.DictField()
    accepted = serializers.DictField()
    proposed_risk = serializers.SerializerMethodField(help_text="What the server's hints speak for; its word only.")
    proposed_retry = serializers.SerializerMethodField()

    class Meta:
        model = McpTool
        fields = tuple(TOOL)
        read_only_fields = fields

    def get_proposed_risk(self, row: McpTool) -> str:
        """The risk of the hints."""
        return mcp.proposed(row)[0]

    def get_proposed_retry(self, row: McpTool) -> str:
        """The retry class of the hints."""
        return mcp.proposed(row)[1]


class McpToolsOut(serializers.Serializer[Any]):
    """A server's tools."""

    tools = McpToolOut(many=True)


class _Admins(APIView):
    scope = "admin"

    @property
    def limit_bucket(self) -> str:
        """`read` or `write`."""
        return "read" if self.request.method in ("GET", "HEAD", "OPTIONS") else "write"


class ServersView(_Admins):
    """GET and POST /v1/ai/mcp-servers."""

    @extend_schema(
        responses={200: ServersOut, **problems(*GUARDED)}, examples=[LIST_EXAMPLE],
        operation_id="ai_mcp_servers_list", tags=["tools"],
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        """The workspace's MCP servers, by name."""
        QuerySerializer.read(request.query_params)
        rows = McpServer.objects.visible_to(actor_of(request)).defer("secrets").order_by("name")
        return Response(ServersOut({"mcp_servers": rows[: mcp.MOST_SERVERS]}).data)

    @extend_schema(
        request=ServerIn, responses={201: ServerOut, **problems(*GUARDED, *BODY, told=TAKEN)},
        examples=[NEW_EXAMPLE, SERVER_EXAMPLE], tags=["tools"],
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """Connect an MCP server; none of its tools is offered before it is accepted. For admins."""
        actor = actor_of(request)
        mcp.admit(actor)
        said = ServerIn.read(request.data)
        secrets = said.pop("secrets", None)
        return Response(
            ServerOut(mcp.save(McpServer(workspace=actor.workspace, **said), by=actor, secrets=secrets)).data,
            status=201,
        )


class ServerView(_Admins):
    """GET, PATCH and DELETE /v1/ai/mcp-servers/{id}."""

    @extend_schema(responses={200: ServerOut, **problems(*GUARDED, 404)}, examples=[SERVER_EXAMPLE], tags=["tools"])
    def get(self, request: Request, mcp_server_id: UUID) -> Response:
        """An MCP server."""
        QuerySerializer.read(request.query_params)
        return Response(ServerOut(mcp.find(actor_of(request), mcp_server_id)).data)

    @extend_schema(
        request=ServerChange, responses={200: ServerOut, **problems(*GUARDED, *BODY, 404, told=TAKEN)},
        examples=[CHANGE_EXAMPLE, SERVER_EXAMPLE], tags=["tools"],
    )  # fmt: skip
    def patch(self, request: Request, mcp_server_id: UUID) -> Response:
        """Change an MCP server; one that moves has none of its tools accepted. For admins."""
        actor = actor_of(request)
        server = mcp.find(actor, mcp_server_id)
        mcp.admit(actor)
        said = ServerChange.read(request.data)
        secrets = said.pop("secrets", None)
        for name, value in said.items():
            setattr(server, name, value)
        return Response(ServerOut(mcp.save(server, by=actor, secrets=secrets)).data)

    @extend_schema(request=None, responses={204: None, **problems(*GUARDED, 404)}, tags=["tools"])
    def delete(self, request: Request, mcp_server_id: UUID) -> Response:
        """Disconnect an MCP server; for admins."""
        actor = actor_of(request)
        mcp.delete(mcp.find(actor, mcp_server_id), by=actor)
        return Response(status=204)


class RefreshView(_Admins):
    """POST /v1/ai/mcp-servers/{id}/refresh."""

    @extend_schema(
        request=None, responses={200: ServerOut, **problems(*GUARDED, 404, 503, told=ASKED)}, examples=[SERVER_EXAMPLE],
        tags=["tools"],
    )  # fmt: skip
    def post(self, request: Request, mcp_server_id: UUID) -> Response:
        """Ask the server for its tools; what went wrong is its `problem`."""
        actor = actor_of(request)
        return Response(ServerOut(mcp.refresh(mcp.find(actor, mcp_server_id), by=actor)).data)


class McpToolsView(_Admins):
    """GET /v1/ai/mcp-servers/{id}/tools."""

    @extend_schema(
        responses={200: McpToolsOut, **problems(*GUARDED, 404)}, examples=[TOOLS_EXAMPLE],
        operation_id="ai_mcp_servers_tools_list", tags=["tools"],
    )  # fmt: skip
    def get(self, request: Request, mcp_server_id: UUID) -> Response:
        """The server's tools as they are offered, and as they were accepted."""
        QuerySerializer.read(request.query_params)
        rows = mcp.find(actor_of(request), mcp_server_id).tools.order_by("name")
        return Response(McpToolsOut({"tools": rows}).data)


class AcceptView(_Admins):
    """POST and DELETE /v1/ai/mcp-servers/{id}/tools/{tool_id}/acceptance."""

    @extend_schema(
        request=AcceptIn, responses={200: McpToolOut, **problems(*GUARDED, *BODY, 404, told=MOVED)},
        examples=[ACCEPT_EXAMPLE, TOOL_EXAMPLE], tags=["tools"],
    )  # fmt: skip
    def post(self, request: Request, mcp_server_id: UUID, mcp_tool_id: UUID) -> Response:
        """Accept the tool as it is defined now, with a risk that counts from now on."""
        actor = actor_of(request)
        tool = mcp.find_tool(actor, mcp_server_id, mcp_tool_id)
        mcp.admit(actor, Role.MANAGER)
        return Response(McpToolOut(mcp.accept(tool, by=actor, **AcceptIn.read(request.data))).data)

    @extend_schema(request=None, responses={204: None, **problems(*GUARDED, 404)}, tags=["tools"])
    def delete(self, request: Request, mcp_server_id: UUID, mcp_tool_id: UUID) -> Response:
        """Accept the tool no more."""
        actor = actor_of(request)
        mcp.withdraw(mcp.find_tool(actor, mcp_server_id, mcp_tool_id), by=actor)
        return Response(status=204)
