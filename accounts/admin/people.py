"""Workspaces, people and their memberships in the admin."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.auth import admin as auth_admin
from django.contrib.auth.models import Group
from django.db import models
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.html import format_html
from unfold.widgets import UnfoldAdminEmailInputWidget, UnfoldAdminPasswordWidget, UnfoldAdminTextInputWidget

from accounts.admin import scope
from accounts.admin.base import RelatedFilter, ScopedAdmin, badge, on_page
from accounts.admin.forms import ScopedForm
from accounts.models import Membership, Role, User, Workspace
from accounts.services import members, mfa, people, workspaces
from core import ledger
from core.errors import DomainError

if TYPE_CHECKING:
    from django.contrib.auth import forms as auth_forms

    AdminPasswordChangeForm = auth_forms.AdminPasswordChangeForm
    UserCreationForm = auth_forms.AdminUserCreationForm[User]
    DjangoUserAdmin = auth_admin.UserAdmin[User]
else:
    from unfold.forms import AdminPasswordChangeForm, UserCreationForm

    DjangoUserAdmin = auth_admin.UserAdmin

admin.site.unregister(Group)  # roles in workspaces say who may do what


class ReasonForm(forms.Form):
    """Why something is switched."""

    reason = forms.CharField(
        required=False,
        max_length=workspaces.LONGEST_REASON,
        help_text="The log is told.",
        widget=UnfoldAdminTextInputWidget,
    )


@admin.register(Workspace)
class WorkspaceAdmin(ScopedAdmin):
    """Workspaces are made and rated by operators; their admins say how they answer. Their end is no click."""

    in_workspace = "pk"
    writes = frozenset({"change"})
    managers = (Role.MANAGER, Role.ADMIN)
    list_display = ("name", "slug", "tier", "running", "default_model", "allow_fallback", "created_at")
    list_filter = ("tier", "frozen")
    search_fields = ("name", "slug")
    ordering = ("name",)
    fields = (
        "name", "slug", "tier", "running", "default_model", "allow_fallback", "fallback_models", "break_glass",
        "require_mfa", "conversation_days", "created_at",
    )  # fmt: skip
    lines = ("fallback_models",)
    # What the log is told of.
    told = (
        "name", "slug", "tier", "default_model", "allow_fallback", "fallback_models", "break_glass", "require_mfa",
        "conversation_days",
    )  # fmt: skip
    actions_detail = ("freeze", "unfreeze")

    def workspace_of(self, row: Any) -> Any:
        """The row itself."""
        return row.pk

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Operators of the installation."""
        return scope.sees_all(request)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """What only an operator may set."""
        never = ("running", "created_at")
        return never if scope.sees_all(request) else ("slug", "tier", *never)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> Any:
        """The way out of the state that the workspace is in; to let actions run again is an admin's."""
        row: Any = self.get_object(request, unquote(str(object_id)))
        frozen = row is not None and row.frozen
        if frozen and not self.allows(request, row, Role.ADMIN):
            return []
        wanted = "_unfreeze" if frozen else "_freeze"
        return [one for one in super().get_actions_detail(request, object_id) if one.action_name.endswith(wanted)]

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Store it, and tell the log what became other."""
        before = Workspace.objects.filter(pk=obj.pk).values(*self.told).first()
        super().save_model(request, obj, form, change)
        after = {name: getattr(obj, name) for name in self.told}
        user = request.user
        if before != after and isinstance(user, User):
            who = ledger.person(user.pk, label=str(user))
            type_ = "workspace.changed" if change else "workspace.created"
            told = {"before": before, "after": after}
            ledger.record(
                ledger.Entry(type=type_, workspace_id=obj.pk, who=who, target=("workspace", obj.pk), data=told)
            )

    @on_page("Freeze: no action runs", "ac_unit", danger=True)
    def freeze(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask, then let no action run."""
        text = (
            "No action of this workspace starts until an admin lets them run again. What runs just now is not stopped."
        )
        return self._switch(request, object_id, workspaces.freeze, "Freeze the workspace", text)

    @on_page("Let actions run again", "play_arrow")
    def unfreeze(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask, then let actions run again."""
        text = "Approved actions whose time is not over start at once."
        return self._switch(request, object_id, workspaces.unfreeze, "Let actions run again", text)

    @badge("Actions", {"run": "success", "frozen": "danger"})
    def running(self, workspace: Workspace) -> str:
        """Whether actions run."""
        return "frozen" if workspace.frozen else "run"

    def _switch(
        self, request: HttpRequest, object_id: str, service: Callable[..., bool], title: str, text: str
    ) -> HttpResponse:
        workspace = self.one(request, object_id)
        form = ReasonForm(request.POST if request.method == "POST" else None)
        if request.method != "POST" or not form.is_valid():
            return self.ask(request, workspace, title, text=text, button=title, form=form)
        try:
            service(by=scope.actor(request, workspace), reason=form.cleaned_data["reason"])
        except DomainError as error:
            self.message_user(request, error.detail, messages.ERROR)
        else:
            self.message_user(request, "Done.", messages.SUCCESS)
        return HttpResponseRedirect(self.page_of(workspace.pk))


class NewUserForm(UserCreationForm):
    """A new account, by its address."""

    class Meta:
        model = User
        fields = ("email", "name")
        field_classes: ClassVar[dict[str, type[forms.Field]]] = {}

    def clean_email(self) -> str:
        """The address in lower case, by which it is unique."""
        return str(self.cleaned_data["email"]).strip().lower()


class UserForm(ScopedForm):
    """An account that exists; whether two are one person's is an operator's to say."""

    def clean_email(self) -> str:
        """The address in lower case, by which it is unique."""
        return str(self.cleaned_data["email"]).strip().lower()


@admin.register(User)
class UserAdmin(ScopedAdmin, DjangoUserAdmin):
    """People. An admin may change those who belong to nobody else: an account opens every workspace it is in."""

    writes = frozenset({"change"})
    form = UserForm
    add_form = NewUserForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("email", "name", "is_active", "is_staff", "is_superuser", "last_login", "created_at")
    list_filter = ("is_active", "is_staff")
    search_fields = ("email", "name")
    ordering = ("email",)
    filter_horizontal = ()
    fieldsets = None
    autocomplete_fields = ("same_person_as",)
    fields: ClassVar[Any] = (
        "email", "name", "is_active", "is_staff", "is_superuser", "same_person_as", "password_page", "two_factor",
        "last_login", "created_at",
    )  # fmt: skip
    readonly_fields = ("password_page", "two_factor", "last_login", "created_at")
    actions_detail = ("remove_two_factor",)
    add_fieldsets = ((None, {"fields": ("email", "name", "usable_password", "password1", "password2")}),)

    def within(self, rows: models.QuerySet[Any], workspaces: list[Any]) -> models.QuerySet[Any]:
        """The people who are members there, each once."""
        return rows.filter(pk__in=Membership.objects.filter(workspace__in=workspaces).values("user"))

    def allows(self, request: HttpRequest, row: Any, *wanted: Role) -> bool:
        """Readers see their members; what needs an admin needs one in every workspace that the person is in."""
        if row is None or scope.sees_all(request):
            return scope.holds(request, *wanted)
        theirs = set(row.memberships.values_list("workspace", flat=True))
        held = set(scope.workspaces(request, *wanted))
        if wanted == scope.READERS:
            return bool(theirs & held)
        return bool(theirs) and theirs <= held and not row.is_superuser

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Operators; an admin of a workspace adds a membership, which makes the account."""
        return scope.sees_all(request)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """What only an operator may set."""
        return self.readonly_fields if scope.sees_all(request) else ("is_superuser", *self.readonly_fields)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """The fields; which accounts are one person's is told to operators, for one may belong to another workspace."""
        found = super().get_fields(request, obj)
        return found if scope.sees_all(request) else [name for name in found if name != "same_person_as"]

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Store the account and tell the log; raises Invalid for a second account that cannot be one."""
        people.save(obj, by=scope.user(request))

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        """The page that sets a person's password, of which the log is told."""
        found: Any = self.get_object(request, unquote(id))
        with people.password_told(found.pk if found else None, by=scope.user(request)):
            return super().user_change_password(request, id, form_url)

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        """The people, without the hashes of their passwords."""
        return super().get_queryset(request).defer("password")

    @admin.display(description="Password")
    def password_page(self, user: User) -> str:
        """The way to the page that sets a new one."""
        return format_html('<a class="text-link" href="{}">Set a new password</a>', "../password/")

    @admin.display(description="Two-factor")
    def two_factor(self, user: User) -> str:
        """What the person shows at sign-in besides a password."""
        return ", ".join(mfa.factors(user)) or "Not set up"

    def acts_on(self, row: Any) -> bool:
        """Whether there is a second factor to remove."""
        return bool(mfa.factors(row))

    @on_page("Remove two-factor", "no_encryption", danger=True)
    def remove_two_factor(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask, then take the second factors from a person who lost theirs."""
        user = self.one(request, object_id)
        if request.method != "POST":
            text = f"{user.email} signs in with the password alone until they set it up anew. They are told by e-mail."
            return self.ask(request, user, "Remove two-factor", text=text, button="Remove two-factor")
        try:
            mfa.remove(user, by=scope.user(request))
        except DomainError as error:
            self.message_user(request, error.detail, messages.ERROR)
        else:
            self.message_user(request, "Done.", messages.SUCCESS)
        return HttpResponseRedirect(self.page_of(user.pk))


class MembershipForm(ScopedForm):
    """A membership: a person is named by their address, and an account is made for who has none."""

    email = forms.EmailField(max_length=254, widget=UnfoldAdminEmailInputWidget)
    name = forms.CharField(max_length=200, required=False, widget=UnfoldAdminTextInputWidget)
    password = forms.CharField(
        max_length=1000,
        strip=False,
        required=False,
        widget=UnfoldAdminPasswordWidget({"autocomplete": "new-password"}),
        help_text="For a new account alone; without one the person cannot sign in with a password.",
    )


@admin.register(Membership)
class MembershipAdmin(ScopedAdmin):
    """Who belongs to a workspace, and as what."""

    writes = frozenset({"add", "change", "delete"})
    list_display = ("person", "workspace", "role_badge", "preferred_model", "created_at")
    list_select_related = ("user", "workspace")
    list_filter = ("role", ("workspace", RelatedFilter))
    search_fields = ("user__email", "user__name")
    ordering = ("workspace__name", "user__email")
    add_fields = ("workspace", "email", "name", "password", "role")
    fields = ("workspace", "user", "role", "preferred_model", "created_at")
    readonly_fields = ("user", "preferred_model", "created_at")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """A new one names a person by their address."""
        return self.fields if obj else self.add_fields

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """The form, without the fields of a new account where there is one."""
        if obj is None:
            kwargs["form"] = MembershipForm
        return super().get_form(request, obj, change=change, **kwargs)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Change the role, or add the person; raises what the services refuse."""
        if change:
            members.change_role(Membership.objects.get(pk=obj.pk), form.cleaned_data["role"], by=scope.user(request))
            return
        given = form.cleaned_data
        made = members.add(
            given["workspace"],
            given["email"],
            role=given["role"],
            name=given["name"],
            password=given["password"] or None,
            by=scope.user(request),
        )
        obj.pk = made.pk
        obj.refresh_from_db()

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        """End the membership; raises LastAdmin."""
        members.remove(obj, by=scope.user(request))

    @admin.display(description="Person", ordering="user__email")
    def person(self, membership: Membership) -> str:
        """Their address."""
        return membership.user.email

    @badge("Role", {"Admin": "primary", "Manager": "info", "Auditor": "warning"})
    def role_badge(self, membership: Membership) -> str:
        """The role, in a colour."""
        return membership.get_role_display()
