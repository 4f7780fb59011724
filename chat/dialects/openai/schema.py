"""What OpenAPI says of this dialect beyond its serializers."""

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse

from chat.dialects import waiting
from chat.dialects.openai.serializers import CompletionOut, OpenAIError

_STREAM = """Frames `data: {…}` of `chat.completion.chunk`, the last one `data: [DONE]`; an error is a frame
`data: {"error": {…}}`. Comments come after 15 s of silence."""
_MEANING = {
    400: "Something does not fit; `param` names it.",
    401: "No valid key or token.",
    402: "`insufficient_quota`: a budget is used up.",
    403: "Not permitted to this caller.",
    404: "No such model or session for this caller.",
    409: "The session is busy, or the request came before.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    429: "Too many requests; `Retry-After` says when to come back.",
    502: "The model provider failed.",
    503: "No model provider answers.",
    504: "The model did not answer in time.",
}
_CHUNK = {
    "id": "chatcmpl-0190",
    "object": "chat.completion.chunk",
    "created": 1767225600,
    "model": "companion/smart-home",
    "choices": [{"index": 0, "delta": {"content": "Your "}, "logprobs": None, "finish_reason": None}],
}
_REQUEST = {
    "model": "companion/smart-home",
    "messages": [{"role": "user", "content": "Which lights are on?"}],
    "stream": True,
}
_ANSWER = {
    "id": "chatcmpl-0190",
    "object": "chat.completion",
    "created": 1767225600,
    "model": "companion/smart-home",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Two, in the kitchen.", "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 40, "completion_tokens": 6, "total_tokens": 46},
    "metadata": {
        "session_id": "01890a5d-ac96-774b-bcce-b302099a8057",
        "run_id": "01890a5d-ac96-774b-bcce-b302099a8058",
    },
}
_MODEL = {"id": "companion/smart-home", "object": "model", "created": 1767225600, "owned_by": "countersign"}


def errors(*statuses: int) -> dict[tuple[int, str], OpenApiResponse]:
    """The responses of errors with these statuses."""
    return {(status, "application/json"): OpenApiResponse(OpenAIError, _MEANING[status]) for status in statuses}


COMPLETION = {
    (200, "text/event-stream"): OpenApiResponse(OpenApiTypes.STR, _STREAM),  # first: its description is told
    (200, "application/json"): CompletionOut,
    **errors(*_MEANING),
}
COMPLETION_EXAMPLES = [
    OpenApiExample("Ask and stream", request_only=True, value=_REQUEST),
    OpenApiExample(
        "A whole answer", response_only=True, value=_ANSWER, status_codes=["200"], media_type="application/json"
    ),
    OpenApiExample("A chunk", response_only=True, value=_CHUNK, status_codes=["200"], media_type="text/event-stream"),
]
SESSION = OpenApiParameter(
    "X-Session-Id", str, OpenApiParameter.HEADER, description="The session to go on with, as `metadata.session_id`."
)
WAIT = OpenApiParameter(
    waiting.HEADER,
    float,
    OpenApiParameter.HEADER,
    description="Seconds to hold the answer open for an approval; 0 where it is left out, 600 at most.",
)
MODEL_EXAMPLE = OpenApiExample("A companion", response_only=True, value=_MODEL, status_codes=["200"])
MODELS_EXAMPLE = OpenApiExample(
    "Companions, agents, teams and models",
    response_only=True,
    value={"object": "list", "data": [_MODEL]},
    status_codes=["200"],
)
