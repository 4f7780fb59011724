"""The forms to decide by, as the admin draws them."""

from collections.abc import Callable, Mapping
from typing import ClassVar

from django.forms import Widget
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminPasswordWidget,
    UnfoldAdminTextareaWidget,
    UnfoldBooleanWidget,
)

from approvals import forms, lots

Widgets = Mapping[str, Callable[[], Widget]]

_LOT: Widgets = {
    "reason": lambda: UnfoldAdminTextareaWidget({"rows": 2}),
    "password": lambda: UnfoldAdminPasswordWidget({"autocomplete": "current-password"}),
    "certain": lambda: UnfoldBooleanWidget({"required": True}),  # said by the browser, of the buttons that approve
}
_BALLOT: Widgets = {
    **_LOT,
    "response": lambda: UnfoldAdminTextareaWidget({"rows": 3}),
    "remember": UnfoldBooleanWidget,
    "remember_arguments": UnfoldAdminCheckboxSelectMultipleWidget,
    "remember_minutes": UnfoldAdminIntegerFieldWidget,
    "remember_count": UnfoldAdminIntegerFieldWidget,
}


class BallotForm(forms.BallotForm):
    """A decision on one request."""

    widgets: ClassVar[Widgets] = _BALLOT


class AloneForm(forms.AloneForm):
    """An emergency."""

    widgets: ClassVar[Widgets] = _BALLOT


class ArgumentsForm(forms.ArgumentsForm):
    """Other arguments in place of those proposed."""

    widgets: ClassVar[Widgets] = {
        "arguments": lambda: UnfoldAdminTextareaWidget({"rows": 14, "spellcheck": "false", "class": "exact"})
    }


class LotForm(lots.LotForm):
    """One decision on several requests of one tool."""

    widgets: ClassVar[Widgets] = _LOT
