"""What the use of models may cost, and what it came to."""

from django.db import models
from django.db.models import Q

from accounts.models.people import User, Workspace
from accounts.querysets import BudgetQuerySet, UsageQuerySet
from core import ids


class BudgetScope(models.TextChoices):
    """Whose use a budget limits."""

    WORKSPACE = "workspace", "The whole workspace"
    EACH_PERSON = "each_person", "Each person by themselves"
    PERSON = "person", "One person"
    AGENT = "agent", "One agent"


class BudgetPeriod(models.TextChoices):
    """After what time a budget begins anew, in UTC."""

    DAY = "day", "A day"
    MONTH = "month", "A month"


class Budget(models.Model):
    """What models may be used for in a period, in tokens, in US dollars, or in both."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="budgets")
    scope = models.CharField(max_length=20, choices=BudgetScope, default=BudgetScope.WORKSPACE)
    user = models.ForeignKey(User, null=True, blank=True, on_delete=models.CASCADE, related_name="budgets")
    # Agents are of a higher floor: no foreign key.
    agent_id = models.UUIDField(null=True, blank=True)
    period = models.CharField(max_length=10, choices=BudgetPeriod, default=BudgetPeriod.MONTH)
    tokens = models.PositiveBigIntegerField(null=True, blank=True, help_text="In and out together. Empty: no limit.")
    usd = models.DecimalField(
        "US dollars", max_digits=14, decimal_places=4, null=True, blank=True, help_text="Empty: no limit."
    )
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = BudgetQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(tokens__gte=0) | Q(usd__gte=0), name="a_budget_limits_something"),
            models.CheckConstraint(
                condition=Q(scope="person", user__isnull=False, agent_id=None)
                | Q(scope="agent", user=None, agent_id__isnull=False)
                | Q(scope__in=["workspace", "each_person"], user=None, agent_id=None),
                name="a_budget_has_what_its_scope_names",
            ),
            models.UniqueConstraint(
                fields=["workspace", "scope", "period", "user", "agent_id"],
                name="one_budget_of_a_kind",
                nulls_distinct=False,
            ),
        ]

    def __str__(self) -> str:
        return f"{BudgetScope(self.scope).label}, {BudgetPeriod(self.period).label.lower()}"


class BudgetUse(models.Model):
    """What was used of one limit in one period: the row that is locked before a model is asked.

    `budget_id` is a budget's, or the workspace's for the allowance of its tier; `subject_id` the workspace, the person
    or the agent whose use is counted.
    """

    id = models.BigAutoField(primary_key=True)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+", db_index=False)
    budget_id = models.UUIDField()
    subject_id = models.UUIDField()
    starts = models.DateTimeField()
    tokens = models.BigIntegerField(db_default=0)
    usd = models.DecimalField(max_digits=20, decimal_places=8, db_default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["workspace", "budget_id", "subject_id", "starts"], name="one_use_of_a_limit_per_period"
            )
        ]

    def __str__(self) -> str:
        return f"{self.tokens} tokens since {self.starts:%Y-%m-%d}"


class BudgetHold(models.Model):
    """What a call of a model under way may come to, held back from one limit until the call is over.

    A run has one call under way at most, so its next attempt takes the place of one that died.
    """

    id = models.BigAutoField(primary_key=True)
    use = models.ForeignKey(BudgetUse, on_delete=models.CASCADE, related_name="holds")
    run_id = models.UUIDField()
    call_id = models.UUIDField(help_text="Which call of the run holds it.")
    tokens = models.BigIntegerField()
    usd = models.DecimalField(max_digits=20, decimal_places=8)
    until = models.DateTimeField(help_text="From then on it holds nothing: its worker died.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run_id", "use"], name="one_hold_per_run_and_limit")]
        indexes = [models.Index(fields=["until"], name="holds_by_end")]

    def __str__(self) -> str:
        return f"{self.tokens} tokens of run {self.run_id}"


class UsageEntry(models.Model):
    """What one run used of a model with one key, written with its end. It outlives conversation, person and agent."""

    id = models.UUIDField(primary_key=True, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+", db_index=False)
    user = models.ForeignKey(
        User, null=True, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    agent_id = models.UUIDField(null=True)
    session_id = models.UUIDField()
    run_id = models.UUIDField()
    message_id = models.UUIDField(null=True, help_text="The answer, where there is one.")
    provider = models.CharField(max_length=60)
    model = models.CharField(max_length=200)
    input_tokens = models.BigIntegerField()
    output_tokens = models.BigIntegerField()
    cost_usd = models.DecimalField(
        max_digits=20, decimal_places=8, null=True, help_text="Empty: no price is known for the model."
    )
    own_key = models.BooleanField(default=False, help_text="With the person's own key, who paid for it.")
    estimated = models.BooleanField(default=False, help_text="The provider did not tell all of it.")
    created_at = models.DateTimeField()

    objects = UsageQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "usage"
        constraints = [
            models.UniqueConstraint(
                fields=["run_id", "provider", "model", "own_key"], name="one_entry_per_run_and_model"
            )
        ]
        indexes = [
            models.Index(fields=["workspace", "-id"], name="usage_of_workspace"),
            models.Index(fields=["workspace", "user", "-id"], name="usage_of_person"),
        ]

    def __str__(self) -> str:
        return f"{self.tokens} tokens of {self.model}"

    @property
    def tokens(self) -> int:
        """In and out together."""
        return self.input_tokens + self.output_tokens
