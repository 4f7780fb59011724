"""The bodies of this dialect: what comes in, with whatever clients send beside it; what goes out."""

from typing import Any

from rest_framework import serializers

from agents.tools import client
from chat.dialects.native.serializers import check_metadata
from core.serializers import LenientSerializer

MOST_MESSAGES = 1_000
MOST_STOPS, LONGEST_STOP = 4, 200


class CompletionStreamOptions(LenientSerializer):
    """What a stream tells beside the answer."""

    include_usage = serializers.BooleanField(default=False, allow_null=True)


class CompletionRequest(LenientSerializer):
    """A conversation whose last message is to be answered."""

    model = serializers.CharField(
        max_length=200, help_text="`companion/<type>`, `agent/<slug>`, `team/<slug>`, or a provider's model alone."
    )
    messages = serializers.ListField(
        child=serializers.DictField(), min_length=1, max_length=MOST_MESSAGES, help_text="The conversation so far."
    )
    stream = serializers.BooleanField(default=False, allow_null=True)
    stream_options = CompletionStreamOptions(required=False, allow_null=True)
    tools = serializers.ListField(
        child=serializers.DictField(),
        required=False,
        allow_null=True,
        max_length=client.MOST,
        help_text="Tools whose calls the client makes.",
    )
    tool_choice = serializers.JSONField(
        required=False, allow_null=True, help_text="`auto`, `none`, `required`, or a function of `tools`."
    )
    max_completion_tokens = serializers.IntegerField(min_value=1, max_value=10_000_000, required=False, allow_null=True)
    max_tokens = serializers.IntegerField(min_value=1, max_value=10_000_000, required=False, allow_null=True)
    temperature = serializers.FloatField(min_value=0, max_value=2, required=False, allow_null=True)
    top_p = serializers.FloatField(min_value=0, max_value=1, required=False, allow_null=True)
    stop = serializers.JSONField(required=False, allow_null=True, help_text=f"A text, or up to {MOST_STOPS}.")
    n = serializers.IntegerField(min_value=1, max_value=1, required=False, allow_null=True, help_text="1.")
    logprobs = serializers.BooleanField(required=False, allow_null=True, help_text="false.")
    response_format = serializers.DictField(required=False, allow_null=True, help_text='`{"type": "text"}`.')
    metadata = serializers.DictField(
        required=False,
        allow_null=True,
        validators=[check_metadata],
        help_text="Kept with the message; `session_id` names the session to go on with.",
    )

    def validate_stop(self, value: Any) -> list[str]:
        """The texts at which the answer is to stop."""
        texts = [value] if isinstance(value, str) else value
        if texts is None:
            return []
        fits = isinstance(texts, list) and len(texts) <= MOST_STOPS
        if not fits or not all(isinstance(one, str) and 0 < len(one) <= LONGEST_STOP for one in texts):
            raise serializers.ValidationError(
                f"This must be a text, or a list of {MOST_STOPS} at most, each of 1 to {LONGEST_STOP} characters."
            )
        return list(texts)

    def validate_logprobs(self, value: bool | None) -> bool | None:
        """What no provider of ours tells."""
        if value:
            raise serializers.ValidationError("Logprobs are not told here: leave this out.", code="unsupported")
        return value

    def validate_response_format(self, value: dict[str, Any] | None) -> dict[str, Any] | None:
        """Texts alone."""
        if value and value.get("type") != "text":
            raise serializers.ValidationError(
                "Only text is answered here. For an object of a shape of yours, send a tool with that shape as its "
                "parameters, and `tool_choice` with its name.",
                code="unsupported",
            )
        return value


class CompletionFunction(serializers.Serializer[Any]):
    """What the client is to call."""

    name = serializers.CharField()
    arguments = serializers.CharField(help_text="JSON.")


class CompletionToolCall(serializers.Serializer[Any]):
    """A call that the client makes."""

    id = serializers.CharField()
    type = serializers.CharField(help_text="`function`.")
    function = CompletionFunction()


class CompletionMessage(serializers.Serializer[Any]):
    """The answer."""

    role = serializers.CharField(help_text="`assistant`.")
    content = serializers.CharField(allow_null=True)
    refusal = serializers.CharField(allow_null=True)
    reasoning_content = serializers.CharField(required=False, help_text="What the model thought before it.")
    tool_calls = CompletionToolCall(many=True, required=False)


class CompletionChoice(serializers.Serializer[Any]):
    """The one choice."""

    index = serializers.IntegerField()
    message = CompletionMessage()
    logprobs = serializers.DictField(allow_null=True)
    finish_reason = serializers.CharField(help_text="`stop`, `length`, `tool_calls` or `content_filter`.")


class CompletionUsage(serializers.Serializer[Any]):
    """What it took."""

    prompt_tokens = serializers.IntegerField()
    completion_tokens = serializers.IntegerField()
    total_tokens = serializers.IntegerField()


class CompletionOut(serializers.Serializer[Any]):
    """A chat completion."""

    id = serializers.CharField()
    object = serializers.CharField(help_text="`chat.completion`.")
    created = serializers.IntegerField()
    model = serializers.CharField()
    choices = CompletionChoice(many=True)
    usage = CompletionUsage(allow_null=True, help_text="Null where the provider told nothing.")
    metadata = serializers.DictField(help_text="`session_id`, `run_id`, and `approval_id` of what it waits for.")


class OpenAIModel(serializers.Serializer[Any]):
    """Somebody to talk to."""

    id = serializers.CharField()
    object = serializers.CharField(help_text="`model`.")
    created = serializers.IntegerField()
    owned_by = serializers.CharField()


class OpenAIModels(serializers.Serializer[Any]):
    """All of them."""

    object = serializers.CharField(help_text="`list`.")
    data = OpenAIModel(many=True)  # type: ignore[assignment]  # DRF has a property of this name, its fields come first


class OpenAIErrorFields(serializers.Serializer[Any]):
    """What went wrong."""

    message = serializers.CharField()
    type = serializers.CharField()
    param = serializers.CharField(allow_null=True)
    code = serializers.CharField(allow_null=True)


class OpenAIError(serializers.Serializer[Any]):
    """An error."""

    error = OpenAIErrorFields()
