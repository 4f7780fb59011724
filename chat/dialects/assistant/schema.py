"""What OpenAPI says of the assistant dialect beyond its serializers: streams, problems, examples."""

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiResponse

from chat.dialects.assistant.serializers import AssistantAnswerOut, AssistantWaitingOut
from core.schema import BODY, GUARDED, problems

CONVERSATION = "0198f9a2-6f1b-7c3e-9d40-5b1f2a7c8e10"
FOLDER = "0198f9a2-70aa-7d51-8c11-3e5d0b9a4f27"

SSE_TEXT = """Named events, each with one JSON object as data, whose `type` is the event's name:
`meta` {conversation_id, run_id, provider} first · `text` {delta} · `reasoning` {text: all so far, delta} ·
`status` {text, label} · `tool_start` {name, label} · `tool_end` {name, label, ok} ·
`assistant` {text: the whole answer, delta: ""} · `done` {reply, conversation_id, run_id, provider; status
`awaiting_approval` and approvals where an action waits} · `error` {error, conversation_id, run_id, provider, code,
retryable}. Exactly one `done` or `error` ends the stream; a comment comes after 15 s of silence. What the model's own
words are stands in `text`, `reasoning` and `assistant` alone."""
SSE_EXAMPLE = OpenApiExample(
    "A streamed answer",
    media_type="text/event-stream",
    response_only=True,
    value='event: text\ndata: {"type":"text","delta":"Your "}\n\nevent: text\ndata: {"type":"text","delta":"lamp"}\n\n',
)
SSE = {(200, "text/event-stream"): OpenApiResponse(OpenApiTypes.STR, SSE_TEXT, [SSE_EXAMPLE])}
BUSY = {409: "A model is answering a message that would stay; `run_id` names its run."}
FULL = {409: "The caller has as many folders as a person may."}
REFUSED = problems(
    *GUARDED,
    *BODY,
    404,
    told={
        402: "`budget_exceeded`: `detail` says which budget, how it stands and when it begins anew.",
        409: "The conversation is busy; `run_id` names the run.",
        422: "An unknown provider or mood, or an image that is none, is not of its type, or is too large.",
        503: "`provider_not_configured` names the provider; other codes say what does not answer.",
    },
)
STREAM = {**SSE, **REFUSED}
CHAT = {
    **SSE,
    (200, "application/json"): AssistantAnswerOut,
    (202, "application/json"): OpenApiResponse(AssistantWaitingOut, "The answer so far; an action waits for approval."),
    **REFUSED,
    **problems(told={502: "The model provider failed.", 504: "The model did not answer in time."}),
}
CHAT_EXAMPLES = [
    OpenApiExample(
        "Ask Claude",
        request_only=True,
        value={"text": "Good morning! What is on today?", "provider": "claude", "mood": "friendly", "channel": "web"},
    )
]
OK_EXAMPLE = OpenApiExample("Done", response_only=True, value={"ok": True})
FOLDER_EXAMPLE = OpenApiExample("A folder", request_only=True, value={"name": "Home", "color": "#2f6fed"})
PUT_EXAMPLE = OpenApiExample("Into a folder", request_only=True, value={"folder_id": FOLDER})
TRUNCATE_EXAMPLE = OpenApiExample("Keep two messages", request_only=True, value={"keep_count": 2})
FOLDERS_EXAMPLE = OpenApiExample(
    "Folders",
    response_only=True,
    value={"folders": [{"id": FOLDER, "name": "Home", "color": "#2f6fed", "created_at": "2026-01-02T03:04:05Z"}]},
)
MESSAGES_EXAMPLE = OpenApiExample(
    "Messages",
    response_only=True,
    value={
        "conversation_id": CONVERSATION,
        "messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Good morning."}],
    },
)
CONVERSATIONS_EXAMPLE = OpenApiExample(
    "Conversations",
    response_only=True,
    value={
        "conversations": [
            {
                "id": CONVERSATION,
                "title": "Hello",
                "created_at": "2026-01-02T03:04:05Z",
                "last_active": "2026-01-02T03:04:06Z",
                "folder_id": FOLDER,
                "message_count": 2,
                "approx_tokens": 6,
            }
        ]
    },
)
