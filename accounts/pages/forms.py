"""What forms of the console share: what was seen, members by their address, and how it is said what was refused."""

from typing import Any, ClassVar

from django import forms
from django.http import QueryDict

from accounts.models import Actor, Membership
from core.errors import Conflict, DomainError


class SeenForm(forms.Form):
    """A form about something as its page showed it: its hidden fields say what that was.

    What is chosen by what was seen (`anew`) is chosen anew where that has changed; what was typed stays.
    """

    anew: ClassVar[tuple[str, ...]] = ()

    def look_again(self) -> None:
        """Let a form that was refused be about what is there now."""
        data = QueryDict(mutable=True)
        data.update(self.data)
        for field in self:
            if field.is_hidden or field.name in self.anew:
                data[field.html_name] = str(field.initial)
        self.data = data


class SideForm(SeenForm):
    """To which side something is switched."""

    to = forms.ChoiceField(
        choices=[("on", "on"), ("off", "off")],
        widget=forms.HiddenInput,
        error_messages={
            "required": "The form does not say whether to switch it on or off. Go back, and try again.",
            "invalid_choice": "It can be switched on or off, and nothing else.",
        },
    )


class MemberField(forms.EmailField):
    """A member of the workspace, by their e-mail address: as many as there may be, none of them is listed."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=254, widget=forms.EmailInput({"autocomplete": "off"}), **options)
        self.members = Membership.objects.none()

    def within(self, actor: Actor) -> None:
        """Let it be a member of the person's workspace."""
        self.members = Membership.objects.visible_to(actor).select_related("user")

    def clean(self, value: Any) -> Any:
        """The membership, None where nothing was given; raises ValidationError for whoever is no member."""
        email = super().clean(value)
        if not email:
            return None
        found = self.members.filter(user__email=email.lower()).first()
        if found is None:
            raise forms.ValidationError("No member of this workspace has this address.")
        return found


def refuse(form: forms.Form, error: DomainError) -> None:
    """Say of a form what a service refused, at the fields that it names; what has changed is looked at again."""
    told = False
    for one in error.errors:
        if one.field in form.fields:
            form.add_error(one.field, one.message)
            told = True
    if not told:
        form.add_error(None, error.detail)
    if isinstance(error, Conflict) and isinstance(form, SeenForm):
        form.look_again()
