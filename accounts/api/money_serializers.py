"""What the API says of budgets, of use and of what it cost."""

from typing import Any

from rest_framework import serializers

from accounts.models import BudgetPeriod, BudgetScope, Tier, UsageEntry
from accounts.services.usage import By
from core.serializers import QuerySerializer

MOST = 200
WORKSPACE = "Everybody's, for those who run the workspace; otherwise one's own."


class PageQuery(QuerySerializer):
    """Which entries."""

    limit = serializers.IntegerField(min_value=1, max_value=MOST, default=50)
    cursor = serializers.CharField(max_length=300, required=False, help_text="The `next_cursor` of the page before.")
    workspace = serializers.BooleanField(default=False, help_text=WORKSPACE)


class TotalsQuery(QuerySerializer):
    """Which days, in UTC and both included, and what they are told by."""

    to = serializers.DateField(required=False, help_text="Today, unless told otherwise.")
    by = serializers.ChoiceField(choices=[by.value for by in By], default=By.PROVIDER.value)
    workspace = serializers.BooleanField(default=False, help_text=WORKSPACE)

    def get_fields(self) -> dict[str, Any]:
        """The fields, with one whose name Python keeps for itself."""
        begins = serializers.DateField(required=False, help_text="The month's first day, unless told otherwise.")
        return {"from": begins, **super().get_fields()}


class CostOut(serializers.ModelSerializer[UsageEntry]):
    """What one run used and cost."""

    cost_usd = serializers.FloatField(allow_null=True, help_text="Null where no price is known for the model.")
    own_key = serializers.BooleanField(help_text="Asked with the person's own key, who paid for it.")
    estimated = serializers.BooleanField(help_text="The provider did not tell all of it.")

    class Meta:
        model = UsageEntry
        fields = (
            "id", "created_at", "provider", "model", "input_tokens", "output_tokens", "cost_usd", "own_key",
            "estimated", "user_id", "agent_id", "session_id", "run_id", "message_id",
        )  # fmt: skip
        read_only_fields = fields


class CostsOut(serializers.Serializer[Any]):
    """A page of entries, newest first."""

    costs = CostOut(many=True)
    next_cursor = serializers.CharField(allow_null=True)


class DaysOut(serializers.Serializer[Any]):
    """From the first to the last day, both included, in UTC."""

    to = serializers.DateField()

    def get_fields(self) -> dict[str, Any]:
        """The fields, with one whose name Python keeps for itself."""
        return {"from": serializers.DateField(), **super().get_fields()}


class TotalOut(serializers.Serializer[Any]):
    """What was used together."""

    tokens = serializers.IntegerField()
    cost_usd = serializers.FloatField(allow_null=True, help_text="Null where no price is known for any of it.")


class TotalsOut(serializers.Serializer[Any]):
    """What was used in a period: all of it, and by what was asked for."""

    period = DaysOut()
    total_tokens = serializers.IntegerField()
    estimated_cost_usd = serializers.FloatField(
        allow_null=True, help_text="Of all whose price is known; null where that is none of it."
    )
    by_provider = serializers.DictField(child=TotalOut(), required=False)
    by_model = serializers.DictField(child=TotalOut(), required=False)
    by_day = serializers.DictField(child=TotalOut(), required=False)


class TokensOut(serializers.Serializer[Any]):
    """How a limit in tokens stands."""

    limit = serializers.IntegerField()
    used = serializers.IntegerField()
    held = serializers.IntegerField(help_text="For answers that are being given.")
    left = serializers.IntegerField()
    per_answer = serializers.IntegerField(help_text="What is held for an answer until its length is known, at most.")


class DollarsOut(serializers.Serializer[Any]):
    """How a limit in US dollars stands."""

    limit = serializers.FloatField()
    used = serializers.FloatField()
    held = serializers.FloatField(help_text="For answers that are being given.")
    left = serializers.FloatField()


class LimitOut(serializers.Serializer[Any]):
    """One limit that the caller's messages fall under."""

    scope = serializers.ChoiceField(choices=["tier", *BudgetScope.values])
    period = serializers.ChoiceField(choices=BudgetPeriod.values)
    tokens = TokensOut(allow_null=True)
    usd = DollarsOut(allow_null=True)
    resets_at = serializers.DateTimeField()


class BalanceOut(serializers.Serializer[Any]):
    """The workspace's allowance of tokens in this month, and the limits that the caller's messages fall under."""

    tier = serializers.ChoiceField(choices=Tier.values)
    period = DaysOut()
    allowance = serializers.IntegerField(allow_null=True, help_text="Null: as many as you like.")
    used = serializers.IntegerField(help_text="By the whole workspace.")
    left = serializers.IntegerField(allow_null=True)
    limits = LimitOut(many=True)


class TransactionOut(serializers.ModelSerializer[UsageEntry]):
    """What one run took of the tokens."""

    tokens = serializers.IntegerField(help_text="In and out together.")

    class Meta:
        model = UsageEntry
        fields = ("id", "created_at", "tokens", "input_tokens", "output_tokens", "provider", "model", "run_id")
        read_only_fields = fields


class TransactionsOut(serializers.Serializer[Any]):
    """A page of transactions, newest first."""

    transactions = TransactionOut(many=True)
    next_cursor = serializers.CharField(allow_null=True)
