"""What OpenAPI says of AG-UI beyond its serializers: the events, errors, examples."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema_serializer
from rest_framework import serializers

from chat.dialects.ag_ui.errors import MEDIA_TYPE
from core.schema import FaultOut

EVENTS = """AG-UI 1.0, one JSON object in each `data:` line: RUN_STARTED ·
TEXT_MESSAGE_START, TEXT_MESSAGE_CONTENT, TEXT_MESSAGE_END · REASONING_START, REASONING_MESSAGE_START,
REASONING_MESSAGE_CONTENT, REASONING_MESSAGE_END, REASONING_END ·
TOOL_CALL_START, TOOL_CALL_ARGS, TOOL_CALL_END, TOOL_CALL_RESULT ·
MESSAGES_SNAPSHOT: this run tells its answer anew · CUSTOM `countersign.status`,
`countersign.approval_required`, `countersign.approval_decided`. RUN_FINISHED or RUN_ERROR
{message, code} ends the stream; RUN_FINISHED has the outcome `interrupt` where the run waits for an approval, and no
outcome where the client makes a call, which has no result then. A comment comes after 15 s of silence."""

_MEANING = {
    400: "Something does not fit; `errors` names the fields. `interrupts`: those that `resume` leaves uncovered.",
    401: "No valid key or token.",
    402: "`budget_exceeded`: `message` says which budget, how it stands and when it begins anew.",
    403: "Not permitted to this caller.",
    404: "No such companion or agent, or no such model.",
    409: "The thread is busy, or the Idempotency-Key was used before.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    429: "Too many requests; `Retry-After` says when to come back.",
    503: "Something that the answer needs does not answer now.",
}


@extend_schema_serializer(component_name="AgUiError")
class ErrorOut(serializers.Serializer[Any]):
    """An error before the first event."""

    message = serializers.CharField()
    code = serializers.CharField()
    requestId = serializers.CharField()
    errors = FaultOut(many=True, required=False)  # type: ignore[assignment]  # the dialect's name, not DRF's property


EVENTS_EXAMPLE = OpenApiExample(
    "An answer",
    media_type="text/event-stream",
    response_only=True,
    status_codes=["200"],
    value='data: {"type":"RUN_STARTED","threadId":"t-1","runId":"r-1"}\n\n'
    'data: {"type":"TEXT_MESSAGE_START","messageId":"m-1","role":"assistant"}\n\n'
    'data: {"type":"TEXT_MESSAGE_CONTENT","messageId":"m-1","delta":"It is on."}\n\n'
    'data: {"type":"TEXT_MESSAGE_END","messageId":"m-1"}\n\n'
    'data: {"type":"RUN_FINISHED","threadId":"t-1","runId":"r-1"}\n\n',
)
SAY = OpenApiExample(
    "Say something",
    request_only=True,
    value={
        "threadId": "t-1",
        "runId": "r-1",
        "protocolVersion": "1.0",
        "messages": [{"id": "m-0", "role": "user", "content": "Is the hall light on?"}],
        "tools": [],
    },
)
RUN = {
    (200, "text/event-stream"): OpenApiResponse(OpenApiTypes.STR, EVENTS, [EVENTS_EXAMPLE]),
    **{(status, MEDIA_TYPE): OpenApiResponse(ErrorOut, text) for status, text in _MEANING.items()},
}
EXAMPLES = [SAY]
