"""Erasing a person on their page of the admin: their address is typed, so that no click does it.

People's own pages are below this floor, so the button is added to them from here.
"""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from unfold.widgets import UnfoldAdminTextInputWidget

from accounts.admin import scope
from accounts.admin.base import on_page
from accounts.admin.people import UserAdmin
from accounts.models import User
from chat.services import leaving
from core import ledger
from core.errors import DomainError

TEXT = (
    "All that they said, all that is remembered of them, their keys and their account will be gone, everywhere. "
    "That something happened stays in the audit log, without what it was. This cannot be undone."
)

admin.site.unregister(User)


class AddressForm(forms.Form):
    """The address, typed."""

    email = forms.CharField(
        label="Their address", help_text="Type it to go on.", widget=UnfoldAdminTextInputWidget({"autocomplete": "off"})
    )

    def __init__(self, *args: Any, wanted: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._wanted = wanted

    def clean_email(self) -> str:
        """The address of the person that the page is about."""
        typed = str(self.cleaned_data["email"]).strip().lower()
        if typed != self._wanted:
            raise forms.ValidationError("This is not their address: nothing was erased.")
        return typed


@admin.register(User)
class ErasableUserAdmin(UserAdmin):
    """People, with a page that erases one."""

    actions_detail: Any = ("erase", *(getattr(UserAdmin, "actions_detail", None) or ()))

    @on_page("Erase this person", "person_remove", danger=True)
    def erase(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask for the address, then erase."""
        row: User = self.one(request, object_id)
        user = scope.user(request)
        if row.pk == user.pk:
            self.message_user(request, "Somebody else erases you: ask another admin.", messages.ERROR)
            return HttpResponseRedirect(self.page_of(row.pk))
        if not self.has_change_permission(request, row):
            raise PermissionDenied
        form = AddressForm(request.POST if request.method == "POST" else None, wanted=row.email)
        if request.method != "POST" or not form.is_valid():
            title = f"Erase {row.email}"
            return self.ask(request, row, title, text=TEXT, button="Erase for good", form=form)
        try:
            leaving.erase(row, by=ledger.person(user.pk, label=str(user)))
        except DomainError as error:
            self.message_user(request, error.detail, messages.ERROR)
            return HttpResponseRedirect(self.page_of(row.pk))
        self.message_user(request, "The person was erased.", messages.SUCCESS)
        return HttpResponseRedirect(reverse(f"{self.admin_site.name}:accounts_user_changelist"))
