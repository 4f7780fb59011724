"""What OpenAPI says of the agents' and teams' dialect beyond its serializers: streams, errors, examples."""

from collections.abc import Mapping
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiResponse

from chat.dialects.agents.serializers import DirectDetailOut
from core.schema import problems

ID = "01890a5d-ac96-774b-bcce-b302099a8057"
AT = "2026-01-01T12:00:00Z"
AGENT = {
    "id": ID,
    "name": "Hestia",
    "description": "Looks after the home.",
    "personality": "Calm.",
    "tone": "warm",
    "status": "active",
    "skills": ["heating"],
    "user_count": 2,
    "message_count": 14,
    "created_at": AT,
}
TEAM = {
    "id": ID,
    "name": "The household",
    "description": "Whoever keeps the home running.",
    "chat_mode": "auto",
    "agents": [{"id": ID, "name": "Hestia", "status": "active"}],
    "status": "active",
    "created_at": AT,
}
SAID = {"role": "assistant", "content": "Good morning.", "created_at": AT}
CONVERSATION = {"id": ID, "title": "Heating", "created_at": AT, "updated_at": AT, "message_count": 2}
ANSWER = {
    "response": "Good morning.",
    "agent_id": ID,
    "agent_name": "Hestia",
    "conversation_id": ID,
    "status": "completed",
    "approvals": [],
}
TEAM_ANSWER = {
    "responses": [{"agent_id": ID, "agent_name": "Hestia", "content": "Heat less."}],
    "summary": "Heat less.",
    "mode": "expert",
    "conversation_id": ID,
    "status": "completed",
    "approvals": [],
}

SSE_TEXT = """Lines `data: {…}`, each followed by a blank one: `{"type": "text", "content": "…"}` for each piece of the
answer, then `{"type": "done", "content": ""}`, then `data: [DONE]`. Others may be passed over: `status`, `reasoning`,
`approval` {approval_id, name, risk, status} and `error` {code}; where an `error` ends the answer, `[DONE]` follows it
at once. The header `X-Conversation-Id` names the conversation. A comment comes after 15 s of silence."""
TEAM_SSE_TEXT = SSE_TEXT + " Each piece of text has `agent_id` and `agent_name`; a member that fails has an `error`."


def sse(text: str, value: str) -> dict[tuple[int, str], OpenApiResponse]:
    """The response of a stream."""
    example = OpenApiExample("A stream", media_type="text/event-stream", response_only=True, value=value)
    return {(200, "text/event-stream"): OpenApiResponse(OpenApiTypes.STR, text, [example])}


def refusals(*statuses: int, told: Mapping[int, str] | None = None) -> dict[tuple[int, str], OpenApiResponse]:
    """The responses of refusals with these statuses, as `{"detail": "…"}`."""
    found = problems(400, 401, 403, 429, *statuses, told=told)
    texts = {status: one.description for (status, _), one in found.items()}
    return {(status, "application/json"): OpenApiResponse(DirectDetailOut, text) for status, text in texts.items()}


CHAT = refusals(
    404,
    413,
    415,
    503,
    told={
        402: "A budget is used up.",
        409: "The conversation is busy, or the agent or team is switched off.",
        502: "The model provider failed.",
        504: "The model did not answer in time.",
    },
)


def shows(value: Any, name: str = "An answer") -> OpenApiExample:
    """An example of a response."""
    return OpenApiExample(name, response_only=True, value=value)


def asks(value: Any, name: str = "A request") -> OpenApiExample:
    """An example of a body."""
    return OpenApiExample(name, request_only=True, value=value)
