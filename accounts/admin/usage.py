"""What models were used for and what it cost, in the admin: to be read."""

from typing import Any, ClassVar

from django.contrib import admin

from accounts.admin.base import RecordAdmin, RelatedFilter, SinceFilter
from accounts.models import UsageEntry


@admin.register(UsageEntry)
class UsageAdmin(RecordAdmin):
    """The ledger: an entry for each run, which outlives its conversation."""

    list_display = ("created_at", "person", "model", "provider", "tokens", "cost", "own_key", "workspace")
    list_select_related = ("user", "workspace")
    list_filter = (SinceFilter, "own_key", ("workspace", RelatedFilter))
    ids = ("pk", "run_id", "session_id", "user_id", "agent_id")
    search_help_text = "The id of an entry, run, session, person or agent"
    fields: ClassVar[Any] = (
        "created_at", "workspace", "person", "agent_id", "session_id", "run_id", "message_id", "provider", "model",
        "input_tokens", "output_tokens", "cost", "own_key", "estimated",
    )  # fmt: skip
    readonly_fields = ("person", "tokens", "cost")

    @admin.display(description="Person")
    def person(self, entry: UsageEntry) -> str:
        """Whose message it was."""
        if entry.user_id is None:
            return "(in the background)"
        return entry.user.email if entry.user else "(gone)"

    @admin.display(description="Tokens")
    def tokens(self, entry: UsageEntry) -> str:
        """In and out together."""
        return f"{entry.tokens:,}" + (" (estimated)" if entry.estimated else "")

    @admin.display(description="US dollars")
    def cost(self, entry: UsageEntry) -> str:
        """What it cost, where a price is known."""
        return "not known" if entry.cost_usd is None else f"{entry.cost_usd:.4f}"
