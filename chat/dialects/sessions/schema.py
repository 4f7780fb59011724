"""What OpenAPI says of the chat sessions beyond their serializers: streams, refusals, examples."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse

from accounts.authentication import CLIENT_TOKEN
from chat.dialects.native.schema import SSE_EXAMPLE, SSE_TEXT
from chat.dialects.sessions.serializers import ChatErrorOut, ChatReplyOut

TAGS = ["chat-sessions"]
_MEANING = {
    400: "Something does not fit.",
    401: "No valid key or client token.",
    402: "A budget is used up.",
    403: "Not permitted to this key, this origin or this visitor.",
    404: "There is no such agent, or no such chat for this caller.",
    409: "A message of the chat is being answered, or the Idempotency-Key was used otherwise.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    429: "Too many requests; `Retry-After` says when to come back.",
    502: "The model provider failed.",
    503: "Something that the answer needs does not answer now.",
    504: "The model did not answer in time.",
}
_EXAMPLE = OpenApiExample("A refusal", value={"error": {"code": "unknown_chat", "message": "No chat … is yours."}})
TOKEN = OpenApiParameter(
    CLIENT_TOKEN,
    str,
    OpenApiParameter.HEADER,
    description="With a publishable key: the visitor's, of POST /chat/token.",
)


def errors(*more: int) -> dict[int, OpenApiResponse]:
    """The refusals of a route, those that every route may give among them."""
    statuses = sorted({400, 401, 403, 429, *more})
    return {one: OpenApiResponse(ChatErrorOut, _MEANING[one], [_EXAMPLE]) for one in statuses}


MESSAGE: dict[Any, Any] = {
    (200, "text/event-stream"): OpenApiResponse(OpenApiTypes.STR, SSE_TEXT, [SSE_EXAMPLE]),
    (200, "application/json"): ChatReplyOut,
    (202, "application/json"): OpenApiResponse(ChatReplyOut, "The answer so far; it waits for an approval."),
    **errors(402, 404, 409, 413, 415, 502, 503, 504),
}
_AT = "2026-01-01T12:00:00Z"
CHAT_EXAMPLES = [
    OpenApiExample("Begin a chat", request_only=True, value={"agentId": "smart-home", "userId": "user-42"}),
]
MESSAGE_EXAMPLES = [
    OpenApiExample("Say something", request_only=True, value={"content": "Is the heating on?", "role": "user"}),
    OpenApiExample(
        "The reply",
        response_only=True,
        status_codes=["200"],
        media_type="application/json",
        value={
            "id": "01890a5d-ac96-774b-bcce-b302099a8057",
            "chatId": "01890a5d-ac96-774b-bcce-b302099a8058",
            "content": "It is.",
            "role": "assistant",
            "createdAt": _AT,
            "status": "completed",
        },
    ),
]
TOKEN_EXAMPLES = [
    OpenApiExample("For a user of yours", request_only=True, value={"userId": "user-42", "ttl": 3600}),
    OpenApiExample("A token", response_only=True, value={"token": "WyIwMT…", "expiresAt": _AT}),
]
LIST_EXAMPLE = OpenApiExample(
    "A page",
    response_only=True,
    value={
        "chats": [
            {
                "id": "01890a5d-ac96-774b-bcce-b302099a8058",
                "agentId": "smart-home",
                "userId": "user-42",
                "userVerified": True,
                "createdAt": _AT,
            }
        ],
        "nextCursor": None,
    },
)
