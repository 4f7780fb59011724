"""What OpenAPI says of the AI SDK's dialect beyond its serializers: streams, refusals, examples."""

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse

from chat.dialects import waiting
from core.schema import BODY, GUARDED, problems

STREAM_TEXT = """The AI SDK's UI message stream v1, frames `data: {json}` up to `data: [DONE]`:
`start` {messageId} · `start-step` · `text-start|text-delta|text-end` and `reasoning-…` {id, delta} ·
`tool-input-start|tool-input-available` {toolCallId, toolName, input} ·
`tool-output-available|tool-output-error|tool-output-denied` {toolCallId, output, errorText} ·
`tool-approval-request` {approvalId, toolCallId} (6 and later) · `finish-step` · `finish` {finishReason} (6 and later) ·
`abort` · `error` {errorText}. All else is `data-…`: `data-run`, `data-approval`, `data-usage`, `data-team`,
`data-member`, `data-speaker`, and, kept by no message, `data-status` and `data-error` {code, message, retryable}."""

STREAM_EXAMPLE = OpenApiExample(
    "An answer",
    media_type="text/event-stream",
    response_only=True,
    value='data: {"type":"start","messageId":"0198…"}\n\ndata: {"type":"start-step"}\n\n'
    'data: {"type":"text-start","id":"1"}\n\ndata: {"type":"text-delta","id":"1","delta":"Your server"}\n\n'
    'data: {"type":"text-end","id":"1"}\n\ndata: {"type":"finish-step"}\n\n'
    'data: {"type":"finish","finishReason":"stop"}\n\ndata: [DONE]\n\n',
)
STREAM = {(200, "text/event-stream"): OpenApiResponse(OpenApiTypes.STR, STREAM_TEXT, [STREAM_EXAMPLE])}
CHAT = {
    **STREAM,
    **problems(
        *GUARDED,
        *BODY,
        404,
        503,
        told={
            402: "`budget_exceeded`: `detail` says which budget, how it stands and when it begins anew.",
            409: "The chat is busy, `run_id` names the run; or no answer waits for what was brought.",
        },
    ),
}
IDLE = {(204, "application/json"): OpenApiResponse(None, "No answer of the chat is under way.")}
RESUME = {**IDLE, **STREAM, **problems(*GUARDED, 404)}
EXAMPLES = [
    OpenApiExample(
        "What useChat sends",
        request_only=True,
        value={
            "id": "Hq3TnDnXtLkzeIvP",
            "messages": [{"id": "m1", "role": "user", "parts": [{"type": "text", "text": "Is my server well?"}]}],
            "trigger": "submit-message",
            "companion": "devops",
        },
    )
]
WAIT = OpenApiParameter(
    waiting.HEADER,
    float,
    OpenApiParameter.HEADER,
    description=f"Seconds, {waiting.LONGEST:g} at most, for which the stream stays open while an approval is waited "
    "for; left out, it ends there, as the SDK's own does.",
)
