"""Forms of the admin: they keep a row in its workspace and show what a service refuses."""

from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

from django import forms
from django.contrib.admin.widgets import AutocompleteSelect
from django.db import models
from unfold.widgets import UnfoldAdminTextareaWidget

from accounts.models import Workspace
from core.errors import DomainError

if TYPE_CHECKING:
    Form = forms.ModelForm[models.Model]
    Choice = forms.ModelChoiceField[models.Model]
else:
    Form = forms.ModelForm
    Choice = forms.ModelChoiceField


class LinesField(forms.CharField):
    """A list of short texts, one on each line, none twice."""

    widget = UnfoldAdminTextareaWidget

    def prepare_value(self, value: Any) -> Any:
        """The lines as text."""
        return "\n".join(map(str, value)) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        """The texts; raises ValidationError for one that is too long."""
        lines = [line.strip() for line in str(value or "").splitlines()]
        found = list(dict.fromkeys(line for line in lines if line))
        if any(len(line) > 200 for line in found):
            raise forms.ValidationError("Each line has 200 characters at most.")
        return found

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Whether the list is another one now."""
        return bool((initial or []) != self.to_python(data))


class RowField(Choice):
    """A row that is chosen by its id."""

    def to_python(self, value: Any) -> Any:
        """The row; raises ValidationError, also for what cannot be an id."""
        try:
            return super().to_python(value)
        except forms.ValidationError:  # the id's own does not speak of choices
            said = self.error_messages["invalid_choice"]
            raise forms.ValidationError(said, code="invalid_choice", params={"value": value}) from None


class RowSelect(AutocompleteSelect):
    """Rows that are looked for by name; what cannot be an id selects none."""

    def optgroups(self, name: str, value: Any, attrs: Any = None) -> Any:
        """The option of the row that is chosen."""
        return super().optgroups(name, [one for one in value if not one or is_id(str(one))], attrs)


def is_id(text: str) -> bool:
    """Whether a text can be the id of a row."""
    try:
        return bool(UUID(text))
    except ValueError:
        return False


class ScopedForm(Form):
    """A form whose rows stay in one workspace, and which shows what a service refused."""

    refusal: ClassVar[DomainError | None] = None
    unchecked: ClassVar[frozenset[str]] = frozenset()  # fields that the form itself checks, not the model

    def clean(self) -> dict[str, Any]:
        """What was filled in; a row of another workspace does not fit."""
        cleaned = super().clean() or self.cleaned_data
        workspace = cleaned.get("workspace")
        for name, value in list(cleaned.items()):
            home = getattr(value, "workspace_id", None)
            if home is not None and isinstance(workspace, Workspace) and home != workspace.pk:
                self.add_error(name, "This belongs to another workspace.")
        return cleaned

    def _get_validation_exclusions(self) -> set[str]:
        return {*super()._get_validation_exclusions(), *self.unchecked}  # type: ignore[misc]

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        if self.refusal is not None:
            at_fault = next((error for error in self.refusal.errors if error.field in self.fields), None)
            if at_fault is not None:
                self.add_error(at_fault.field, at_fault.message)
            else:
                self.add_error(None, self.refusal.detail)
