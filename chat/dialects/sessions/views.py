"""The chat sessions' routes: chats, their messages, and client tokens."""

from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import actor_of
from accounts.idempotency import idempotent
from accounts.permissions import FromPages
from accounts.services import client_tokens
from agents.events import RunWaiting
from chat import stream
from chat.dialects import ends, responding
from chat.dialects.native.views import serve_stream
from chat.dialects.sessions import schema
from chat.dialects.sessions.serializers import (
    ChatLineOut,
    ChatLinePage,
    ChatLinesQuery,
    ChatSessionDetail,
    ChatSessionOut,
    ChatSessionPage,
    ChatSessionsQuery,
    ChatSessionWhole,
    ClientTokenOut,
    NewChatLine,
    NewChatSession,
    NewClientToken,
)
from chat.following import Numbered
from chat.models import Conversation, MessageRole, Run
from chat.services import chats, conversations, saying
from chat.services.saying import Said
from chat.stream import Fold
from core.errors import Invalid
from core.negotiation import AnyAccept


class ChatsView(APIView):
    """/chat."""

    scope = "chat"
    publishable_ok = True
    permission_classes = (FromPages,)

    @extend_schema(
        operation_id="chat_list",
        parameters=[ChatSessionsQuery],
        responses={200: ChatSessionPage, **schema.errors()},
        examples=[schema.LIST_EXAMPLE],
        tags=schema.TAGS,
    )
    def get(self, request: Request) -> Response:
        """The workspace's chats with a secret key, the caller's own otherwise, the newest first."""
        query = ChatSessionsQuery.read(request.query_params)
        page = chats.page(
            by=actor_of(request),
            limit=query["limit"],
            after=query.get("cursor"),
            user_id=query.get("userId", ""),
            agent_type=query.get("agentType", ""),
        )
        cursor = str(page.rows[-1].pk) if page.more else None
        return Response({"chats": ChatSessionOut(page.rows, many=True).data, "nextCursor": cursor})

    @extend_schema(
        request=NewChatSession,
        parameters=[schema.TOKEN],
        responses={200: ChatSessionDetail, **schema.errors(404, 409, 413, 415)},
        examples=schema.CHAT_EXAMPLES,
        tags=schema.TAGS,
    )
    @idempotent
    def post(self, request: Request) -> Response:
        """Begin a chat with an agent, in which nothing is said yet."""
        body = NewChatSession.read(request.data)
        made = chats.begin(
            actor_of(request), body["agentId"], user_id=body.get("userId") or "", metadata=body.get("metadata")
        )
        return Response(ChatSessionDetail(made).data)


class ChatView(APIView):
    """/chat/{id}."""

    scope = "chat"
    publishable_ok = True
    permission_classes = (FromPages,)

    @extend_schema(
        parameters=[ChatLinesQuery, schema.TOKEN],
        responses={200: ChatSessionWhole, **schema.errors(404)},
        tags=schema.TAGS,
    )
    def get(self, request: Request, chat_id: UUID) -> Response:
        """The chat with its messages, oldest first."""
        chat = chats.get(chat_id, by=actor_of(request))
        return Response({**ChatSessionDetail(chat).data, **_said(request, chat)})

    @extend_schema(parameters=[schema.TOKEN], responses={204: None, **schema.errors(404)}, tags=schema.TAGS)
    def delete(self, request: Request, chat_id: UUID) -> Response:
        """Delete the chat with its messages; an answer under way is stopped."""
        actor = actor_of(request)
        conversations.delete(chats.get(chat_id, by=actor), by=actor)
        return Response(status=204)


class MessagesView(APIView):
    """/chat/{id}/message."""

    scope = "chat"
    publishable_ok = True
    permission_classes = (FromPages,)
    content_negotiation_class = AnyAccept

    @property
    def limit_bucket(self) -> str:
        """Messages are counted apart from reading them."""
        return "chat" if self.request.method == "POST" else "read"

    @extend_schema(
        parameters=[ChatLinesQuery, schema.TOKEN],
        responses={200: ChatLinePage, **schema.errors(404)},
        tags=schema.TAGS,
    )
    def get(self, request: Request, chat_id: UUID) -> Response:
        """What was said in the chat, oldest first."""
        return Response(_said(request, chats.get(chat_id, by=actor_of(request))))

    @extend_schema(
        request=NewChatLine,
        parameters=[schema.TOKEN],
        responses=schema.MESSAGE,
        examples=schema.MESSAGE_EXAMPLES,
        tags=schema.TAGS,
    )
    def post(self, request: Request, chat_id: UUID) -> HttpResponseBase:
        """Say something; the reply comes as one JSON body or, with `Accept: text/event-stream`, as it is made."""
        body = NewChatLine.read(request.data)
        chat = chats.get(chat_id, by=actor_of(request))
        if body["role"] != MessageRole.USER:
            return self.append(request, chat, body["role"], body["content"])
        streamed = "text/event-stream" in request.headers.get("Accept", "")
        serve, wait = (serve_stream, saying.STREAM_WAIT) if streamed else (serve_reply, 0.0)
        return responding.respond(request, Said(text=body["content"]), lambda: chat, serve, wait=wait)

    @idempotent
    def append(self, request: Request, chat: Conversation, role: str, content: str) -> Response:
        """What the assistant said, as a server's program says it."""
        chats.check_program(actor_of(request))
        if role != MessageRole.ASSISTANT:
            raise Invalid.field(
                "role", "`user` and `assistant` are the roles that a message may have", "invalid_choice"
            )
        made = chats.append(chat, content, by=actor_of(request))
        return Response(_reply(chat, dict(ChatLineOut(made).data), "completed"))


class TokenView(APIView):
    """/chat/token."""

    scope = "chat"
    permission_classes = (FromPages,)
    limit_bucket = "write"

    @extend_schema(
        request=NewClientToken,
        responses={200: ClientTokenOut, **schema.errors(413, 415)},
        examples=schema.TOKEN_EXAMPLES,
        tags=schema.TAGS,
    )
    def post(self, request: Request) -> Response:
        """A token for a page, with which a publishable key speaks for this user of yours; for servers."""
        body = NewClientToken.read(request.data)
        minted = client_tokens.mint(
            actor_of(request),
            body["userId"],
            ttl=timedelta(seconds=body["ttl"]),
            public_id=body.get("publishableKeyId"),
        )
        return Response(ClientTokenOut({"token": minted.token, "expiresAt": minted.expires_at}).data)


def serve_reply(run: Run, batches: AsyncGenerator[list[Numbered]]) -> HttpResponseBase:
    """The run's end as the agent's reply."""

    async def render(fold: Fold) -> tuple[int, Any]:
        last = ends.of(fold, run)
        message = await ends.message(fold, last)
        found = {**message, "createdAt": message["created_at"]} if message else {"content": last.text}
        status = 202 if isinstance(last, RunWaiting) else 200
        return status, _reply(run.conversation, found, ends.standing(last))

    return stream.answer(batches, render)


def _reply(chat: Conversation, message: dict[str, Any], status: str) -> dict[str, Any]:
    return {
        "id": message.get("id"),
        "chatId": str(chat.pk),
        "content": message["content"],
        "role": MessageRole.ASSISTANT.value,
        "createdAt": message.get("createdAt"),
        "status": status,
    }


def _said(request: Request, chat: Conversation) -> dict[str, Any]:
    query = ChatLinesQuery.read(request.query_params)
    said, more = conversations.messages(chat, limit=query["limit"], after=query.get("cursor"))
    return {"messages": ChatLineOut(said, many=True).data, "nextCursor": str(said[-1].pk) if more else None}
