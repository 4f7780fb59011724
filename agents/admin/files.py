"""Agents as files, in the admin: one that is there is downloaded, one that was downloaded is made here."""

from typing import Any, cast

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.widgets import UnfoldAdminFileFieldWidget, UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from accounts.admin import scope
from accounts.admin.base import ScopedAdmin, on_page
from accounts.models import Role, Workspace
from agents.models import Agent
from agents.services import bundles
from core.errors import DomainError


class FileForm(forms.Form):
    """An exported agent, where it goes and what it is called there."""

    workspace = forms.ModelChoiceField(Workspace.objects.none(), widget=UnfoldAdminSelectWidget)
    file = forms.FileField(
        help_text="A JSON file, as Export gives it. Its tools and skills must be there in the workspace.",
        widget=UnfoldAdminFileFieldWidget,
    )
    rename = forms.SlugField(
        required=False,
        max_length=60,
        label="Slug",
        help_text="Empty: the slug that the file says.",
        widget=UnfoldAdminTextInputWidget,
    )

    def __init__(self, request: HttpRequest) -> None:
        posted = request.method == "POST"
        super().__init__(request.POST if posted else None, request.FILES if posted else None)
        mine = Workspace.objects.order_by("name")
        if not scope.sees_all(request):
            mine = mine.filter(pk__in=scope.workspaces(request, Role.ADMIN))
        choices = cast("forms.ModelChoiceField[Workspace]", self.fields["workspace"])
        choices.queryset = mine
        choices.initial = mine.first() if len(mine[:2]) == 1 else None

    def refuse(self, error: DomainError) -> None:
        """Show what the service refuses, with the fields of the file that it names."""
        named = [f"{one.field}: {one.message}" if one.field else one.message for one in error.errors]
        for text in named or [error.detail]:
            self.add_error("file", text)


class AgentFiles(ScopedAdmin):
    """The two buttons."""

    actions_list: Any = ("import_file",)

    @on_page("Export", "download")
    def export(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The agent as a file to keep; it changes nothing."""
        agent: Agent = self.one(request, object_id)
        response = HttpResponse(bundles.written(agent), content_type="application/json")
        response["Content-Disposition"] = f'attachment; filename="agent-{agent.slug}.json"'
        return response

    @on_page("Import", "upload_file", permission="add")
    def import_file(self, request: HttpRequest) -> HttpResponse:
        """Ask for a file, then make the agent that it says; what does not fit is told by its field."""
        form = FileForm(request)
        if form.is_valid():
            said = form.cleaned_data
            by = scope.actor(request, said["workspace"])
            try:
                # One byte more than a file may have, so that what is larger is refused rather than cut.
                made = bundles.read(said["file"].read(bundles.LARGEST + 1), by=by, rename=said["rename"])
            except DomainError as error:
                form.refuse(error)
            else:
                self.message_user(request, f"{made.name} is here, and advises until it is trusted.", messages.SUCCESS)
                return HttpResponseRedirect(self.page_of(made.pk))
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "Import an agent",
            "text": "It is made anew, with neither keys nor trust: it advises until somebody trusts it more.",
            "button": "Import",
            "form": form,
            "back": reverse(f"{self.admin_site.name}:agents_agent_changelist"),
        }
        return TemplateResponse(request, "admin/ask.html", context, status=400 if form.errors else 200)
