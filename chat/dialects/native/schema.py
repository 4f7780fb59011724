"""What OpenAPI says of the native dialect beyond its serializers: streams, problems, examples."""

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse

from chat.dialects.native.serializers import ChatAnswer
from core.schema import BODY, GUARDED, problems

SSE_TEXT = """Named events, each with an `id` and one JSON object as data:
`session` {session_id, run_id, companion, provider, model} · `delta` {text} · `reasoning` {text} ·
`tool_call` {call_id, name, arguments; client: true where the client makes it} ·
`approval_required` {approval_id, call_id, name, risk, expires_at} ·
`approval_decided` {approval_id, decision, by, reason} · `tool_result` {call_id, name, ok, summary} · `status` {label} ·
`team` {mode, members} and `member` {agent_id, agent_name, role, place, run_id, error}: a team answers, and one of it
has ended; a `delta` says by agent_id, agent_name, role and place whose it is ·
`restart` {attempt, reason}: drop this answer's text so far · `usage` {input_tokens, output_tokens, cost_usd} ·
`done` {message_id, session_id, run_id, status, response; calls: with
`awaiting_tools`, of which the client is to bring the results} · `error` {code, message, retryable}.
Exactly one `done` or `error` ends the stream; a comment comes after 15 s of silence. Resume with `Last-Event-ID`."""

SSE_EXAMPLE = OpenApiExample(
    "A streamed answer",
    media_type="text/event-stream",
    response_only=True,
    value='id: 1\nevent: delta\ndata: {"text":"Your "}\n\nid: 2\nevent: delta\ndata: {"text":"server"}\n\n',
)
SSE = {(200, "text/event-stream"): OpenApiResponse(OpenApiTypes.STR, SSE_TEXT, [SSE_EXAMPLE])}

CHAT = {
    **SSE,  # first: of two responses with one status the first one's description is told
    (200, "application/json"): ChatAnswer,
    (202, "application/json"): OpenApiResponse(
        ChatAnswer, "The answer so far; it waits for approval or, `awaiting_tools`, for the results of `calls`."
    ),
    **problems(
        *GUARDED,
        *BODY,
        404,
        503,
        told={
            402: "`budget_exceeded`: `detail` says which budget, how it stands and when it begins anew.",
            409: "The conversation is busy; `run_id` names the run.",
            502: "The model provider failed.",
            504: "The model did not answer in time.",
        },
    ),
}
CHAT_EXAMPLES = [
    OpenApiExample(
        "Ask and stream",
        request_only=True,
        value={"message": "Explain my server architecture", "companion": "smart-home", "stream": True},
    )
]
LAST_EVENT_ID = OpenApiParameter(
    "Last-Event-ID", int, OpenApiParameter.HEADER, description="The `id` of the last event that was read."
)
