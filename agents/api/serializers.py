"""What the API says of agents, models and preferences."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.api.money_serializers import LimitOut
from agents.brain import ModelInfo
from agents.models import Agent, AgentKind, AgentVersion
from approvals.autonomy import Autonomy
from core.serializers import StrictSerializer

PRICE = {
    "type": ["object", "null"],
    "description": "US dollars a million tokens; null where it is not known.",
    "properties": {"input": {"type": "number"}, "output": {"type": "number"}},
    "required": ["input", "output"],
}
STATUSES = [("active", "Active"), ("disabled", "Disabled")]


class AgentOut(serializers.ModelSerializer[Agent]):
    """An agent."""

    capabilities = serializers.ListField(child=serializers.CharField())
    tools = serializers.ListField(child=serializers.CharField())
    status = serializers.ChoiceField(choices=STATUSES)

    class Meta:
        model = Agent
        fields = (
            "id", "slug", "name", "description", "kind", "capabilities", "tools", "autonomy", "status",
        )  # fmt: skip
        read_only_fields = fields


def _names(most: int, help_text: str = "") -> Any:
    child = serializers.CharField(max_length=200)
    return serializers.ListField(child=child, max_length=most, required=False, help_text=help_text)


def _text(most: int, help_text: str = "") -> Any:
    return serializers.CharField(max_length=most, required=False, allow_blank=True, help_text=help_text)


class AgentWhole(AgentOut):
    """An agent with all that is said of it."""

    skills = serializers.ListField(child=serializers.CharField())
    may_ask = serializers.ListField(child=serializers.CharField())
    all_tools = serializers.ListField(child=serializers.CharField(), help_text="Its own and those of its skills.")

    class Meta:
        model = Agent
        fields: tuple[str, ...] = (
            *AgentOut.Meta.fields, "version", "instructions", "personality", "tone", "model", "skills", "all_tools",
            "may_ask", "task", "schedule", "reports_to", "created_at", "updated_at",
        )  # fmt: skip
        read_only_fields = fields


class AgentSaid(StrictSerializer):
    """What is said of an agent."""

    description = _text(5_000)
    instructions = _text(100_000)
    personality = _text(10_000, "Where the companion that speaks has none.")
    tone = _text(200, "Likewise.")
    model = _text(200, "Empty: the person's, then the workspace's choice.")
    capabilities = _names(100)
    tools = _names(200)
    skills = _names(50, "Slugs: GET /v1/ai/skills lists them.")
    may_ask = _names(100, "Slugs of the agents that it may ask by the tool ask_agent.")
    task = _text(20_000, "What an agent of kind manager is told each time it wakes.")
    schedule = _text(100, "When it wakes: a crontab line in UTC, or `every 30 s`; empty: never by itself.")
    reports_to = _text(
        254,
        "E-mail address of a member, or name of a group: who is told what it says in the background, and whom it may "
        "write to without asking. Empty: managers are told.",
    )


class NewAgent(AgentSaid):
    """A new agent."""

    name = serializers.CharField(max_length=200)
    slug = serializers.SlugField(max_length=60, required=False, help_text="Left out: made of the name.")
    kind = serializers.ChoiceField(choices=AgentKind.choices, required=False)


class VersionOut(serializers.ModelSerializer[AgentVersion]):
    """A version of an agent."""

    author = serializers.EmailField(source="author.email", default=None, allow_null=True)
    said = serializers.DictField(source="snapshot", help_text="All that it says, and under `given` what skills gave.")

    class Meta:
        model = AgentVersion
        fields = ("number", "author", "created_at", "said")
        read_only_fields = fields


class VersionsOut(serializers.Serializer[Any]):
    """The versions of an agent, the newest first."""

    versions = VersionOut(many=True)


class Restore(StrictSerializer):
    """The version to go back to."""

    number = serializers.IntegerField(min_value=1, max_value=2**31 - 1)
    version = serializers.IntegerField(
        min_value=1, max_value=2**31 - 1, required=False, help_text="Restore only while this is the newest."
    )


class AgentChange(AgentSaid):
    """What of an agent is changed; what is not sent stays."""

    version = serializers.IntegerField(
        min_value=1, max_value=2**31 - 1, required=False, help_text="Change it only while this is its newest version."
    )
    name = serializers.CharField(max_length=200, required=False)
    autonomy = serializers.ChoiceField(
        choices=Autonomy.choices, required=False, help_text="Only an admin makes an agent autonomous."
    )
    enabled = serializers.BooleanField(required=False, help_text="The kill switch: an agent that is off does nothing.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuses a body that changes nothing, which is a mistake."""
        if not attrs.keys() - {"version"}:
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


class BudgetOut(serializers.Serializer[dict[str, Any]]):
    """The limits that the caller's messages fall under, and what is left."""

    limits = LimitOut(many=True)


class PreferencesOut(serializers.Serializer[dict[str, Any]]):
    """What the caller settled."""

    model = serializers.CharField(allow_null=True, help_text="Null: the agent's, then the workspace's choice.")
    budget = BudgetOut(allow_null=True, help_text="Null where the caller's messages fall under no limit.")


class PreferredModel(StrictSerializer):
    """The model to prefer."""

    model = serializers.CharField(
        max_length=200, allow_blank=True, allow_null=True, help_text="Null or empty: prefer none."
    )
