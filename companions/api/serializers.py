"""What the API says of companions, and what it takes for their personas."""

from collections.abc import Sequence
from typing import Any

from rest_framework import serializers

from agents.models import Agent
from companions.models import MOST_TOKENS, Companion, Layer, Mood
from core.serializers import StrictSerializer

TOOL_NAME = r"^[A-Za-z0-9_.:/*-]{1,100}$"


class MemoryBudget(StrictSerializer):
    """Tokens of each layer that are told with a message."""

    identity = serializers.IntegerField(min_value=0, max_value=MOST_TOKENS, required=False)
    preferences = serializers.IntegerField(min_value=0, max_value=MOST_TOKENS, required=False)
    history = serializers.IntegerField(min_value=0, max_value=MOST_TOKENS, required=False)


class CompanionOut(serializers.ModelSerializer[Companion]):
    """A companion."""

    agent: "serializers.SlugRelatedField[Agent]" = serializers.SlugRelatedField(slug_field="slug", read_only=True)
    memory_layers = serializers.ListField(child=serializers.ChoiceField(choices=Layer.choices))
    memory_budget = MemoryBudget()
    tools_allowed = serializers.ListField(child=serializers.CharField())

    class Meta:
        model = Companion
        fields = (
            "type", "name", "description", "agent", "personality", "tone", "mood", "memory_layers",
            "memory_budget", "tools_allowed",
        )  # fmt: skip
        read_only_fields = fields


class CompanionsOut(serializers.Serializer[dict[str, Any]]):
    """The companions that the caller can talk to."""

    companions = CompanionOut(many=True)


def no_twins(values: Sequence[str]) -> None:
    """Refuses a list in which something stands twice."""
    if len(set(values)) != len(values):
        raise serializers.ValidationError("Each may stand here once.", code="repeated")


class CompanionConfig(StrictSerializer):
    """The parts of a persona to change; what is left out stays as it is."""

    personality = serializers.CharField(max_length=10_000, allow_blank=True, required=False)
    tone = serializers.CharField(max_length=200, allow_blank=True, required=False)
    mood = serializers.ChoiceField(
        choices=Mood.choices, required=False, help_text="How it speaks where a message does not say."
    )
    memory_layers = serializers.ListField(
        child=serializers.ChoiceField(choices=Layer.choices),
        max_length=len(Layer),
        required=False,
        validators=[no_twins],
    )
    memory_budget = MemoryBudget(required=False, help_text="About how many tokens of each layer it is told.")
    tools_allowed = serializers.ListField(
        child=serializers.RegexField(TOOL_NAME),
        max_length=200,
        required=False,
        validators=[no_twins],
        help_text="Names of tools that the workspace has; empty: all of the agent's. `ask_agent` among them opens all "
        "tools of the agents that may be asked.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuses a body that changes nothing, which is a mistake."""
        if not attrs:
            raise serializers.ValidationError(f"Send at least one of {', '.join(self.fields)}.", code="required")
        return attrs
