"""Conversations, messages and runs in the admin."""

import datetime
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin import SimpleListFilter
from django.db.models.functions import Left
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join

from accounts.admin import scope
from accounts.admin.base import RecordAdmin, RelatedFilter, SinceFilter, badge, on_page
from accounts.models import Role
from chat.models import Conversation, Message, Run, RunState
from chat.services import runs, standings
from companions.models import Companion
from core import ids
from core.templatetags.moments import SECONDS, moment

STATES = {
    RunState.QUEUED.label: "info",
    RunState.RUNNING.label: "primary",
    RunState.WAITING_APPROVAL.label: "warning",
    RunState.WAITING_TOOLS.label: "warning",
    RunState.COMPLETED.label: "success",
    RunState.FAILED.label: "danger",
}
TRANSCRIPT_MESSAGES = 50
TRANSCRIPT_CHARACTERS = 4_000


class CompanionFilter(SimpleListFilter):
    """Runs of the companions of a type."""

    title = "companion"
    parameter_name = "companion_type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The types in the workspaces that the person may look into, by what people call the companions."""
        rows = model_admin.admin_site.get_model_admin(Companion).get_queryset(request).order_by("type", "name")
        names: dict[str, list[str]] = {}
        for type, name in rows.values_list("type", "name").distinct():
            names.setdefault(type, []).append(name)
        return [(type, " / ".join(each)) for type, each in names.items()]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """The runs of the type."""
        return queryset.filter(companion_type=self.value()) if self.value() else queryset


class ErrorFilter(SimpleListFilter):
    """Runs that failed with a code."""

    title = "error"
    parameter_name = "error_code"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The codes of the last day."""
        day = ids.first_since(timezone.now() - datetime.timedelta(hours=24))
        rows = model_admin.get_queryset(request).order_by("error_code").filter(pk__gte=day).exclude(error_code="")
        codes = {*rows.values_list("error_code", flat=True).distinct(), self.value() or ""}
        return [(code, code) for code in sorted(codes) if code]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """The runs with the code."""
        return queryset.filter(error_code=self.value()) if self.value() else queryset


@admin.register(Conversation)
class ConversationAdmin(RecordAdmin):
    """What people and companions said."""

    list_display = ("title_text", "companion", "user", "workspace", "archived", "created_at", "updated_at")
    list_select_related = ("companion", "user", "workspace")
    list_filter = (SinceFilter, "archived", ("companion", RelatedFilter), ("workspace", RelatedFilter))
    ids = ("pk", "user")
    search_help_text = "The id of a conversation or person"
    fields: ClassVar[Any] = (
        "id", "title", "companion", "user", "external", "external_user", "vouched", "workspace", "channel", "folder",
        "archived", "created_at", "updated_at", "its_runs", "transcript",
    )  # fmt: skip
    readonly_fields = ("id", "its_runs", "transcript")

    @admin.display(description="Title")
    def title_text(self, conversation: Conversation) -> str:
        """The title, or the id of what has none."""
        return str(conversation)

    @admin.display(description="Runs")
    def its_runs(self, conversation: Conversation) -> str:
        """The way to its runs."""
        url = reverse("admin:chat_run_changelist")
        return format_html('<a class="text-link" href="{}?q={}">Show its runs</a>', url, conversation.pk)

    @admin.display(description=f"The last {TRANSCRIPT_MESSAGES} messages")
    def transcript(self, conversation: Conversation) -> str:
        """What was said, as plain text."""
        said = conversation.messages.order_by("-pk").annotate(text=Left("content", TRANSCRIPT_CHARACTERS))
        rows = said.values_list("role", "created_at", "text")[:TRANSCRIPT_MESSAGES]
        return format_html_join(
            "",
            '<div class="said"><div class="text-subtle">{} · {}</div><div class="plain">{}</div></div>',
            ((role, moment(at, SECONDS), text) for role, at, text in reversed(rows)),
        )


@admin.register(Message)
class MessageAdmin(RecordAdmin):
    """Single entries of conversations."""

    list_display = ("excerpt", "role", "model", "provider", "workspace", "created_at")
    list_select_related = ("workspace",)
    list_filter = (SinceFilter, "role", ("workspace", RelatedFilter))
    ids = ("pk", "conversation")
    search_help_text = "The id of a message or conversation"
    fields: ClassVar[Any] = (
        "id", "conversation", "workspace", "role", "text", "model", "provider", "usage", "metadata", "created_at",
    )  # fmt: skip
    readonly_fields = ("id", "text")

    def get_queryset(self, request: HttpRequest) -> Any:
        """The messages, with their beginnings in place of their texts."""
        rows = super().get_queryset(request).defer("content", "parts", "metadata", "usage")
        return rows.annotate(beginning=Left("content", 120))

    @admin.display(description="Text")
    def excerpt(self, message: Any) -> str:
        """How it begins."""
        return " ".join(message.beginning.split()) or "(empty)"

    @admin.display(description="Text")
    def text(self, message: Message) -> str:
        """The whole, as plain text."""
        return plain(message.content)


@admin.register(Run)
class RunAdmin(RecordAdmin):
    """Executions: how each stands, and the way to stop one."""

    managers = (Role.MANAGER, Role.ADMIN)
    list_display = (
        "state_badge", "created_at", "agent", "person", "who_answers", "attempt", "error_code",
        "duration", "workspace",
    )  # fmt: skip
    list_select_related = ("conversation__user", "workspace", "agent")
    list_filter = ("state", SinceFilter, CompanionFilter, ErrorFilter, ("workspace", RelatedFilter))
    ids = ("pk", "conversation", "message")
    search_help_text = "The id of a run, message or conversation"
    fieldsets: ClassVar[Any] = (
        (None, {"fields": ("id", "state_badge", "error_code", "error_message", "duration", "attempt", "worker")}),
        ("What", {"fields": ("conversation", "question", "answer", "person", "workspace", "companion_type", "agent")}),
        ("Who answers", {"fields": ("provider", "model", "usage")}),
        (
            "Times",
            {
                "fields": (
                    "created_at", "not_before", "started_at", "lease_until", "cancel_requested_at", "ended_at",
                    "active", "seq",
                )
            },
        ),
    )  # fmt: skip
    readonly_fields = ("id", "state_badge", "duration", "person", "question", "answer")
    list_display_links = ("state_badge", "created_at")
    actions = ("cancel_selected",)
    actions_detail = ("cancel",)

    def get_queryset(self, request: HttpRequest) -> Any:
        """The runs, without what they are saying."""
        heavy = ("draft", "usage", "error_message", "agent__instructions", "agent__description")
        return super().get_queryset(request).defer(*heavy)

    def acts_on(self, row: Any) -> bool:
        """Whether the run has not ended."""
        return not row.ended

    @on_page("Cancel", "stop_circle", danger=True)
    def cancel(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask, then stop the run."""
        run = self.one(request, object_id)
        if run.ended:
            self.message_user(request, f"The run has ended already: {run.state}.", messages.WARNING)
        elif request.method != "POST":
            text = "What was said so far is kept. A run under way is stopped by its worker, within a second or so."
            return self.ask(request, run, "Cancel this run", text=text, button="Cancel the run")
        else:
            self._cancel(request, run)
            self.message_user(request, "The run is asked to stop.", messages.SUCCESS)
        return HttpResponseRedirect(self.page_of(run.pk))

    @admin.action(description="Cancel the selected runs", permissions=["manage"])
    def cancel_selected(self, request: HttpRequest, rows: Any) -> None:
        """Stop the selected runs that have not ended, where the person is a manager."""
        mine = [run for run in rows if not run.ended and self.allows(request, run, *self.managers)]
        for run in mine:
            self._cancel(request, run)
        self.message_user(request, f"Asked to stop: {len(mine)}.", messages.SUCCESS)

    @badge("State", STATES)
    def state_badge(self, run: Run) -> str:
        """The state, in a colour."""
        return RunState(run.state).label

    @admin.display(description="Person")
    def person(self, run: Run) -> str:
        """Whose conversation it is."""
        return run.conversation.user.email if run.conversation.user else "(in the background)"

    @admin.display(description="Model")
    def who_answers(self, run: Run) -> str:
        """The model, and the provider below it."""
        return format_html('{}<div class="text-subtle text-xs">{}</div>', run.model, run.provider)

    @admin.display(description="Duration")
    def duration(self, run: Run) -> str:
        """From its first start to its end, or until now."""
        if run.started_at is None:
            return "not started"
        took = ((run.ended_at or timezone.now()) - run.started_at).total_seconds()
        return f"{took:.1f} s" + ("" if run.ended_at else " so far")

    @admin.display(description="Question")
    def question(self, run: Run) -> str:
        """The message that is answered, as plain text."""
        return plain(run.message.content)

    @admin.display(description="Answer")
    def answer(self, run: Run) -> str:
        """The answer, or as much of it as there is."""
        standing = standings.standing(str(run.pk))
        return plain(standing.text if standing else "")

    def _cancel(self, request: HttpRequest, run: Run) -> None:
        runs.cancel(run, by=scope.actor(request, run.workspace))
        self.log_change(request, run, "Asked to stop.")


def plain(text: str) -> str:
    """Text as it was written: inert, with its line breaks."""
    return format_html('<div class="plain">{}</div>', text) if text else "-"
