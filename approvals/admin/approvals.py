"""A request to countersign: its page, and the ways by which a decision on it is taken."""

from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html

from accounts.admin import scope
from accounts.admin.base import RecordAdmin, RelatedFilter, SinceFilter, badge
from approvals import editing, forms, replies, shown, standing
from approvals.admin import deciding
from approvals.admin.ballots import AloneForm, ArgumentsForm, BallotForm
from approvals.admin.filters import ToolFilter
from approvals.models import Approval, ApprovalStatus, Risk
from approvals.services import approvals, rights
from approvals.services.endings import called
from core.errors import DomainError

STATUSES = {
    ApprovalStatus.PENDING.label: "warning",
    ApprovalStatus.APPROVED.label: "success",
    ApprovalStatus.REJECTED.label: "danger",
}
RISKS = {Risk.WRITE.label: "info", Risk.EXTERNAL.label: "warning", Risk.DESTRUCTIVE.label: "danger"}


@admin.register(Approval)
class ApprovalAdmin(RecordAdmin):
    """Requests, as they stand and as they were decided; written by the service alone."""

    list_display = (
        "status_badge", "created_at", "tool_text", "risk_badge", "agent_text", "asker", "decider", "took",
        "workspace",
    )  # fmt: skip
    list_select_related = ("requested_by", "decided_by", "workspace")
    list_filter = ("status", SinceFilter, ToolFilter, ("workspace", RelatedFilter))
    list_display_links = ("status_badge", "created_at")
    ids = ("pk", "run_id", "subject_id")
    search_help_text = "The id of an approval, run or action"

    def get_queryset(self, request: HttpRequest) -> Any:
        """The requests, without what is heavy in a list."""
        rows = self._named(request)
        return rows.defer("arguments", "proposed_arguments", "preview", "terms", "response")

    def get_urls(self) -> list[URLPattern]:
        """The pages by which a request is decided, before Django's own."""
        own = {"decide": self.decide_view, "edit": self.edit_view, "standing": self.standing_view}
        wrap = self.admin_site.admin_view
        routes = [
            path(f"<path:object_id>/{name}/", wrap(view), name=f"approvals_approval_{name}")
            for name, view in own.items()
        ]
        return [*routes, *super().get_urls()]

    @badge("Status", STATUSES)
    def status_badge(self, approval: Approval) -> str:
        """How it stands, in a colour."""
        return ApprovalStatus(approval.status).label

    @badge("Risk", RISKS)
    def risk_badge(self, approval: Approval) -> str:
        """What the tool can do, in a colour."""
        return Risk(approval.risk).label

    @admin.display(description="Tool")
    def tool_text(self, approval: Approval) -> str:
        """The tool's name, every character of it visible."""
        return shown.visible_line(approval.tool)

    @admin.display(description="Agent")
    def agent_text(self, approval: Approval) -> str:
        """What people call the agent."""
        return shown.visible_line(approval.agent_name or "-")

    @admin.display(description="For")
    def asker(self, approval: Approval) -> str:
        """On whose behalf it was requested."""
        return shown.visible_line(called(approval.requested_by) or "-")

    @admin.display(description="Decided by")
    def decider(self, approval: Approval) -> str:
        """Who gave the last vote."""
        return shown.visible_line(called(approval.decided_by) or "-")

    @admin.display(description="Decided after")
    def took(self, approval: Approval) -> str:
        """From the request to its end."""
        return shown.span(approval.decided_at - approval.created_at) if approval.decided_at else "-"

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None) -> Any:
        """The request's page; it is decided at an address of its own."""
        row = self._row(request, object_id)
        if row is None:
            missing: Any = self._get_obj_does_not_exist_redirect  # type: ignore[attr-defined]  # as Django's own view
            return missing(request, self.opts, object_id)
        if request.method not in ("GET", "HEAD"):
            raise PermissionDenied
        return self._page(request, row)

    def standing_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """How it stands now, for the open page: its votes, its time, and who decided."""
        row = self._row(request, object_id)
        if row is None:
            raise Http404
        context = {"approval": row, "beside": standing.context(row), **standing.of(row)}
        response: HttpResponse = TemplateResponse(request, "approvals/standing.html", context)
        response["Cache-Control"] = "no-store"
        return response

    def decide_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Take a decision; whatever speaks against it is said on the page, and nothing was decided then."""
        if request.method != "POST":
            return HttpResponseRedirect(self.page_of(unquote(object_id)))
        approval, actor = deciding.to_decide(request, _id(object_id))
        sent: type[forms.BallotForm] = AloneForm if AloneForm.sent(request.POST) else BallotForm
        form, status = sent(approval, request.POST), 400
        if form.is_valid():
            try:
                return self._done(request, approvals.decide(approval.pk, by=actor, **form.cast(request)))
            except DomainError as error:
                form.refuse(error)
                status = error.status
        row = self._row(request, object_id)
        if row is None:
            raise PermissionDenied
        return self._page(request, row, form, status)

    def edit_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Take other arguments: checked and shown beside the old ones first, approved by a second button."""
        approval, actor = deciding.to_decide(request, _id(object_id))
        if self._row(request, object_id) is None:
            raise PermissionDenied
        first = {"digest": approval.digest, "arguments": shown.pretty(approval.arguments)}
        form = ArgumentsForm(request.POST if request.method == "POST" else None, initial=first)
        ballot = BallotForm(approval, request.POST if "decision" in request.POST else None, edits=True)
        edit = editing.take(request, approval, actor, form, ballot)
        if edit.decided is not None:
            return self._done(request, edit.decided)
        return self._drawn(request, approval, "approvals/edit.html", "Edit the arguments", edit.context, edit.status)

    def _named(self, request: HttpRequest) -> Any:
        """The requests with what people call their agents."""
        rows: Any = super().get_queryset(request)
        return rows.named()

    def _row(self, request: HttpRequest, object_id: str) -> Any:
        """The request with all that its page shows, where the person may look at it."""
        rows = self._named(request).select_related("workspace", "requested_by", "decided_by")
        try:
            return standing.timed(rows).filter(pk=_id(object_id)).first()
        except PermissionDenied:
            return None

    def _done(self, request: HttpRequest, decided: Approval) -> HttpResponse:
        said = shown.visible_line(f"{decided.tool}: {replies.result(decided)}")
        link = format_html('<a class="underline" href="{}">See what becomes of it</a>', self.page_of(decided.pk))
        messages.success(request, format_html("{} {}", said, link))
        return HttpResponseRedirect(reverse("admin:approvals_inbox"))

    def _page(
        self, request: HttpRequest, row: Any, form: forms.BallotForm | None = None, status: int = 200
    ) -> HttpResponse:
        """The page, with the form that was sent, where it is of what stands here, and the other one empty."""
        stands = standing.of(row)
        actor = scope.actor(request, row.workspace)
        refusal = rights.refusal(row, actor) if stands["open"] else None
        again = form and form.beside(row)
        alone = stands["open"] and row.workspace.break_glass and rights.is_admin(row.workspace_id, actor.user.pk)
        context = {
            **stands,
            "approval": row,
            "form": BallotForm(row) if form is None or form.alone else again,
            "sent": form,
            "changed": replies.CHANGED if again is not form else "",
            "refusal": refusal and replies.told(refusal, row),
            "decides": stands["open"] and refusal is None,
            "alone": (again if form and form.alone else AloneForm(row)) if alone else None,
            "asked": standing.asked(row),
            "earlier": standing.earlier(row),
            "beside": standing.context(row),
            "page_of": "admin:approvals_approval_change",
            "changes": standing.changes(row.proposed_arguments, row.arguments) if row.proposed_arguments else None,
        }
        return self._drawn(request, row, "approvals/approval.html", "Approval", context, status)

    def _drawn(
        self, request: HttpRequest, row: Approval, template: str, title: str, context: dict[str, Any], status: int
    ) -> HttpResponse:
        own = {"opts": self.opts, "original": row, "title": title}
        return TemplateResponse(
            request, template, {**self.admin_site.each_context(request), **own, **context}, status=status
        )


def _id(object_id: str) -> UUID:
    try:
        return UUID(unquote(object_id))
    except ValueError:
        raise PermissionDenied from None
