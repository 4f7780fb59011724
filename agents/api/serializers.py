"""What the API says of agents, models and preferences."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from agents.brain import ModelInfo
from agents.models import Agent
from approvals.autonomy import Autonomy
from core.serializers import StrictSerializer

PRICE = {
    "type": ["object", "null"],
    "description": "US dollars a million tokens; null where it is not known.",
    "properties": {"input": {"type": "number"}, "output": {"type": "number"}},
    "required": ["input", "output"],
}


class AgentOut(serializers.ModelSerializer[Agent]):
    """An agent."""

    capabilities = serializers.ListField(child=serializers.CharField())
    tools = serializers.ListField(child=serializers.CharField())
    status = serializers.ChoiceField(choices=["active", "disabled"])

    class Meta:
        model = Agent
        fields = (
            "id", "slug", "name", "description", "kind", "capabilities", "tools", "autonomy", "status",
        )  # fmt: skip
        read_only_fields = fields


class AgentChange(StrictSerializer):
    """What of an agent is changed; what is not sent stays."""

    autonomy = serializers.ChoiceField(
        choices=Autonomy.choices, required=False, help_text="Only an admin makes an agent autonomous."
    )
    enabled = serializers.BooleanField(required=False, help_text="The kill switch: an agent that is off does nothing.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuses a body that changes nothing, which is a mistake."""
        if not attrs:
            raise serializers.ValidationError(f"Send at least one of {', '.join(self.fields)}.", code="required")
        return attrs


class AgentsOut(serializers.Serializer[dict[str, Any]]):
    """The agents of the workspace."""

    agents = AgentOut(many=True)


class ModelOut(serializers.Serializer[ModelInfo]):
    """A model that can be asked."""

    id = serializers.CharField()
    provider = serializers.CharField()
    capabilities = serializers.ListField(child=serializers.CharField())
    tier = serializers.CharField(help_text="The least tier that may ask it.")
    context_window = serializers.IntegerField(allow_null=True, help_text="Tokens; null where it is not known.")
    price = serializers.SerializerMethodField()

    @extend_schema_field(PRICE)
    def get_price(self, model: ModelInfo) -> dict[str, float] | None:
        """The price by direction."""
        return model.price and {"input": model.price[0], "output": model.price[1]}


class ModelsOut(serializers.Serializer[dict[str, Any]]):
    """The models of all providers that answer."""

    models = ModelOut(many=True)


class PreferencesOut(serializers.Serializer[dict[str, Any]]):
    """What the caller settled."""

    model = serializers.CharField(allow_null=True, help_text="Null: the agent's, then the workspace's choice.")
    budget = serializers.DictField(allow_null=True, help_text="The caller's limits; null where there are none.")


class PreferredModel(StrictSerializer):
    """The model to prefer."""

    model = serializers.CharField(
        max_length=200, allow_blank=True, allow_null=True, help_text="Null or empty: prefer none."
    )
