"""The assistant dialect's conversations: list, read, delete, truncate, and keep in folders."""

from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import actor_of
from accounts.idempotency import idempotent
from chat.dialects.assistant import schema
from chat.dialects.assistant.serializers import (
    AssistantConversationOut,
    AssistantConversationsOut,
    AssistantDoneOut,
    AssistantFolderChange,
    AssistantFolderIn,
    AssistantFolderMade,
    AssistantFolderOut,
    AssistantFoldersOut,
    AssistantMessagesOut,
    AssistantPutIn,
    AssistantSaidOut,
    AssistantTruncatedOut,
    AssistantTruncateIn,
    ListQuery,
    MessagesQuery,
)
from chat.services import conversations, folders, recent, truncating
from core.schema import BODY, GUARDED, problems

DONE = {"ok": True}


class ConversationsView(APIView):
    """GET /api/chat/conversations."""

    scope = "chat"
    limit_bucket = "read"

    @extend_schema(
        operation_id="assistant_conversations_list",
        parameters=[ListQuery],
        responses={200: AssistantConversationsOut, **problems(*GUARDED)},
        examples=[schema.CONVERSATIONS_EXAMPLE],
        tags=["assistant"],
    )
    def get(self, request: Request) -> Response:
        """The caller's conversations in which something was said, most recently active first."""
        query = ListQuery.read(request.query_params)
        found = recent.conversations(by=actor_of(request), limit=query["limit"], channel=query["channel"])
        return Response({"conversations": AssistantConversationOut(found, many=True).data})


class MessagesView(APIView):
    """GET /api/chat/messages."""

    scope = "chat"
    limit_bucket = "read"

    @extend_schema(
        operation_id="assistant_messages_list",
        parameters=[MessagesQuery],
        responses={200: AssistantMessagesOut, **problems(*GUARDED, 404)},
        examples=[schema.MESSAGES_EXAMPLE],
        tags=["assistant"],
    )
    def get(self, request: Request) -> Response:
        """The last messages of a conversation, oldest first."""
        query = MessagesQuery.read(request.query_params)
        found = conversations.get(query["conversation_id"], by=actor_of(request))
        said, _ = recent.messages(found, limit=query["limit"])
        return Response({"conversation_id": str(found.pk), "messages": AssistantSaidOut(said, many=True).data})


class ConversationView(APIView):
    """DELETE /api/chat/conversations/{id}."""

    scope = "chat"
    limit_bucket = "write"

    @extend_schema(
        operation_id="assistant_conversations_delete",
        responses={200: AssistantDoneOut, **problems(*GUARDED, 404)},
        examples=[schema.OK_EXAMPLE],
        tags=["assistant"],
    )
    def delete(self, request: Request, conversation_id: UUID) -> Response:
        """Delete the conversation with all that was said in it; a colleague's is 403."""
        actor = actor_of(request)
        conversations.delete(conversations.own(conversation_id, by=actor), by=actor)
        return Response(DONE)


class TruncateView(APIView):
    """POST /api/chat/conversations/{id}/truncate."""

    scope = "chat"
    limit_bucket = "write"

    @extend_schema(
        operation_id="assistant_conversations_truncate",
        request=AssistantTruncateIn,
        responses={200: AssistantTruncatedOut, **problems(*GUARDED, *BODY, 404, told=schema.BUSY)},
        examples=[schema.TRUNCATE_EXAMPLE],
        tags=["assistant"],
    )
    @idempotent
    def post(self, request: Request, conversation_id: UUID) -> Response:
        """Delete all messages but the most recent `keep_count`; a colleague's conversation is 403."""
        actor, keep = actor_of(request), AssistantTruncateIn.read(request.data)["keep_count"]
        found = conversations.own(conversation_id, by=actor)
        deleted = truncating.truncate(found, keep=keep, by=actor)
        return Response({**DONE, "conversation_id": str(found.pk), "keep_count": keep, "deleted": deleted})


class ConversationFolderView(APIView):
    """PUT /api/chat/conversations/{id}/folder."""

    scope = "chat"
    limit_bucket = "write"

    @extend_schema(
        operation_id="assistant_conversations_put_in_folder",
        request=AssistantPutIn,
        responses={200: AssistantDoneOut, **problems(*GUARDED, *BODY, 404)},
        examples=[schema.PUT_EXAMPLE, schema.OK_EXAMPLE],
        tags=["assistant"],
    )
    def put(self, request: Request, conversation_id: UUID) -> Response:
        """Keep the conversation in a folder, or in none."""
        actor, folder_id = actor_of(request), AssistantPutIn.read(request.data)["folder_id"]
        found = conversations.get(conversation_id, by=actor)
        folders.put(found, folders.get(folder_id, by=actor) if folder_id else None)
        return Response(DONE)


class FoldersView(APIView):
    """/api/chat/folders."""

    scope = "chat"
    limit_bucket = "read"

    @extend_schema(
        operation_id="assistant_folders_list",
        responses={200: AssistantFoldersOut, **problems(*GUARDED)},
        examples=[schema.FOLDERS_EXAMPLE],
        tags=["assistant"],
    )
    def get(self, request: Request) -> Response:
        """The caller's folders, by name."""
        return Response({"folders": AssistantFolderOut(folders.mine(by=actor_of(request)), many=True).data})

    @extend_schema(
        operation_id="assistant_folders_create",
        request=AssistantFolderIn,
        responses={200: AssistantFolderMade, **problems(*GUARDED, *BODY, told=schema.FULL)},
        examples=[schema.FOLDER_EXAMPLE],
        tags=["assistant"],
    )
    @idempotent
    def post(self, request: Request) -> Response:
        """Make a folder."""
        actor = actor_of(request)
        made = folders.create(by=actor, **AssistantFolderIn.read(request.data))
        told = {
            "folder": AssistantFolderOut(made).data,
            "folders": AssistantFolderOut(folders.mine(by=actor), many=True).data,
        }
        return Response({**DONE, **told})


class FolderView(APIView):
    """/api/chat/folders/{id}."""

    scope = "chat"
    limit_bucket = "write"

    @extend_schema(
        operation_id="assistant_folders_change",
        request=AssistantFolderChange,
        responses={200: AssistantDoneOut, **problems(*GUARDED, *BODY, 404)},
        examples=[schema.FOLDER_EXAMPLE, schema.OK_EXAMPLE],
        tags=["assistant"],
    )
    def patch(self, request: Request, folder_id: UUID) -> Response:
        """Give the folder another name or colour."""
        changes = AssistantFolderChange.read(request.data)
        folders.change(folders.get(folder_id, by=actor_of(request)), **changes)
        return Response(DONE)

    @extend_schema(
        operation_id="assistant_folders_delete",
        responses={200: AssistantDoneOut, **problems(*GUARDED, 404)},
        examples=[schema.OK_EXAMPLE],
        tags=["assistant"],
    )
    def delete(self, request: Request, folder_id: UUID) -> Response:
        """Delete the folder; the conversations in it stay."""
        folders.delete(folders.get(folder_id, by=actor_of(request)))
        return Response(DONE)
