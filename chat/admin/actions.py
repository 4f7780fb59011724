"""Actions in the admin: what tools were called, how each stands, and what people say of an unknown outcome."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.html import format_html, format_html_join
from unfold.widgets import UnfoldAdminTextareaWidget

from accounts.admin import scope
from accounts.admin.base import RecordAdmin, RelatedFilter, SinceFilter, badge, on_page
from accounts.models import Role
from agents.models import SandboxEffect
from approvals import shown, waiting
from approvals.admin.filters import ToolFilter
from chat.models import Action, ActionState
from chat.services import verdicts
from core.errors import DomainError
from core.templatetags.moments import SECONDS, moment

STATES = {
    ActionState.WAITING.label: "warning",
    ActionState.READY.label: "info",
    ActionState.EXECUTING.label: "primary",
    ActionState.DELEGATED.label: "primary",
    ActionState.AWAITED.label: "warning",
    ActionState.SUCCEEDED.label: "success",
    ActionState.FAILED.label: "danger",
    ActionState.UNKNOWN.label: "danger",
}
RISKS = {"write": "info", "external": "warning", "destructive": "danger"}
LONGEST_NOTE = 1_000
EFFECTS_SHOWN = 5


class NoteForm(forms.Form):
    """What the person saw who says what became of an action, and after which attempt they looked."""

    attempt = forms.IntegerField(widget=forms.HiddenInput)
    note = forms.CharField(
        required=False,
        max_length=LONGEST_NOTE,
        label="What you saw",
        help_text="The agent and the log are told.",
        widget=UnfoldAdminTextareaWidget({"rows": 3}),
    )


@admin.register(Action)
class ActionAdmin(RecordAdmin):
    """Tool calls as they ran; read, save that a person says what became of one whose outcome nobody knows."""

    managers = (Role.MANAGER, Role.ADMIN)
    list_display = (
        "state_badge", "created_at", "tool_text", "risk_badge", "agent", "person", "attempt", "outcome", "workspace",
    )  # fmt: skip
    list_select_related = ("agent", "person", "workspace")
    list_filter = ("state", SinceFilter, ToolFilter, ("workspace", RelatedFilter))
    list_display_links = ("state_badge", "created_at")
    ids = ("pk", "run", "approval_id")
    search_help_text = "The id of an action"
    actions_detail = ("done", "not_done", "abandon")
    fieldsets: ClassVar[Any] = (
        (None, {"fields": ("id", "state_badge", "code", "outcome", "call", "told")}),
        ("What is known", {"fields": ("attempt", "retry", "worker", "effects", "late", "resolved_by", "resolution")}),
        (
            "Why it was made",
            {
                "fields": (
                    "workspace",
                    "agent",
                    "person",
                    "run",
                    "approval_id",
                    "verdict",
                    "policy_name",
                    "policy_version",
                )
            },
        ),
        (
            "Times",
            {
                "fields": (
                    "created_at",
                    "not_before",
                    "started_at",
                    "lease_until",
                    "ended_at",
                    "version_text",
                    "digest_text",
                )
            },
        ),
    )
    readonly_fields = ("id", "state_badge", "outcome", "call", "told", "effects", "late", "version_text", "digest_text")

    class Media:
        css: ClassVar[dict[str, list[str]]] = {"all": ["countersign/approvals.css"]}

    def get_queryset(self, request: HttpRequest) -> Any:
        """The actions, without what is heavy in a list."""
        rows = super().get_queryset(request)
        return rows.defer("arguments", "result", "late_result", "agent__instructions", "agent__description")

    def acts_on(self, row: Any) -> bool:
        """Whether a person must say what became of it."""
        return bool(row.state == ActionState.UNKNOWN)

    @on_page("It was done", "check_circle")
    def done(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask, then take it for done."""
        text = "Say so only if you have looked: the agent is told that it succeeded, and it is not run again."
        return self._resolve(request, object_id, "done", "It was done", text)

    @on_page("It was not done: run again", "replay")
    def not_done(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask, then run it again."""
        text = "Say so only if you have looked: it runs once more, with the same idempotency key, if it still may."
        title = "It was not done: run it again"
        if self._is_over(self.one(request, object_id)):
            text, title = (
                "Its run was cancelled or has ended: it is refused now, and does not run again.",
                "It was not done",
            )
        return self._resolve(request, object_id, "not_done", title, text)

    @on_page("Abandon", "block", danger=True)
    def abandon(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask, then give it up."""
        text = "The agent is told that nobody knows whether it was done, and it is not run again."
        return self._resolve(request, object_id, "abandoned", "Abandon it", text)

    @badge("State", STATES)
    def state_badge(self, action: Action) -> str:
        """The state, in a colour."""
        return ActionState(action.state).label

    @badge("Risk", RISKS)
    def risk_badge(self, action: Action) -> str:
        """What the tool can do, in a colour."""
        return action.risk

    @admin.display(description="Tool")
    def tool_text(self, action: Action) -> str:
        """The tool's name, every character of it visible."""
        return shown.visible_line(action.tool)

    @admin.display(description="Outcome")
    def outcome(self, action: Action) -> str:
        """What it came to, in a line."""
        return format_html('<div class="brief">{}</div>', shown.visible_line(action.summary)) if action.summary else "-"

    @admin.display(description="Call")
    def call(self, action: Action) -> str:
        """The tool and its exact arguments."""
        return format_html(
            '<code>{}</code><pre class="exact">{}</pre>',
            shown.visible_line(action.tool),
            shown.json_html(action.arguments),
        )

    @admin.display(description="What the agent was told")
    def told(self, action: Action) -> str:
        """The result, as plain text."""
        return _plain(action.result)

    @admin.display(description="Came too late")
    def late(self, action: Action) -> str:
        """What an attempt brought that had been given up."""
        return _plain(action.late_result)

    @admin.display(description="Tool version")
    def version_text(self, action: Action) -> str:
        """The version, broken where a narrow page needs it."""
        return format_html('<code class="whole">{}</code>', action.tool_version)

    @admin.display(description="Digest")
    def digest_text(self, action: Action) -> str:
        """The digest, broken where a narrow page needs it."""
        return format_html('<code class="whole">{}</code>', action.digest)

    @admin.display(description="Effects in the sandbox")
    def effects(self, action: Action) -> str:
        """What the sandbox saw under this action's key; a real service must be asked itself."""
        seen = SandboxEffect.objects.filter(workspace=action.workspace_id, key=str(action.pk))[:EFFECTS_SHOWN]
        rows = ((moment(one.created_at, SECONDS), one.calls, shown.json_html(one.result)) for one in seen)
        return format_html_join("", '<div>{}, asked for {} times<pre class="exact">{}</pre></div>', rows) or "none"

    def _is_over(self, action: Action) -> bool:
        """Whether nothing of its run starts any more."""
        run = action.run
        return run is None or run.ended or run.cancel_requested_at is not None

    def _resolve(self, request: HttpRequest, object_id: str, resolution: str, title: str, text: str) -> HttpResponse:
        action = self.one(request, object_id)
        form = NoteForm(request.POST if request.method == "POST" else None, initial={"attempt": action.attempt})
        if request.method != "POST" or not form.is_valid():
            known = format_html(
                "{} It was tried {}, last by {}.",
                text,
                "once" if action.attempt == 1 else f"{action.attempt} times",
                action.worker or "nobody that is known",
            )
            return self.ask(request, action, title, text=known, button=title, form=form)
        try:
            actor = scope.actor(request, action.workspace)
            verdicts.resolve(action.pk, by=actor, resolution=resolution, **form.cleaned_data)
        except DomainError as error:
            self.message_user(request, error.detail, messages.ERROR)
        else:
            self.message_user(request, f"Noted: {title.lower()}.", messages.SUCCESS)
        return HttpResponseRedirect(self.page_of(action.pk))


def unknown_badge(request: HttpRequest) -> str:
    """How many actions wait for a person to say what became of them."""
    if not scope.reads(request):
        return ""
    rows = Action.objects.filter(state=ActionState.UNKNOWN)
    if not scope.sees_all(request):
        rows = rows.filter(workspace__in=scope.workspaces(request, *scope.READERS))
    return waiting.count(rows)


def _plain(text: str) -> str:
    """Text as it was written: inert, every character of it visible."""
    return format_html('<div class="plain">{}</div>', shown.visible(text)) if text else "-"
