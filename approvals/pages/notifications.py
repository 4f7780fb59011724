"""/account/notifications/: what somebody wants to be told in the workspace that they work in, and when."""

from datetime import time

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from accounts import limits, signedin
from accounts.models import Actor
from approvals.preferences import EVENTS, By, Preferences, When, Wish, time_zones
from approvals.services import wishes
from core.errors import DomainError

NOTHING = By.NOTHING.value
WAYS = [
    (When.AT_ONCE.value, "By e-mail, at once"),
    (When.HOURLY.value, "By e-mail, with what else the hour brings"),
    (When.DAILY.value, "By e-mail, with what else the day brings"),
    (NOTHING, "Not at all"),
]
CLOCK = forms.TimeInput(attrs={"type": "time"}, format="%H:%M")


def _clocks() -> list[tuple[str, str]]:
    """The clocks to choose from; of one that there is no more, nothing else is taken in its place."""
    return [("", "Choose one"), *((name, name.replace("_", " ")) for name in time_zones())]


class PreferencesForm(forms.Form):
    """One choice for each event, and the person's clock."""

    time_zone = forms.ChoiceField(
        choices=_clocks,
        help_text="The times below are those of its clocks.",
    )
    daily_at = forms.TimeField(label="The day's e-mail comes at", widget=CLOCK)
    quiet_from = forms.TimeField(label="Quiet from", required=False, widget=CLOCK)
    quiet_until = forms.TimeField(
        label="Quiet until",
        required=False,
        widget=CLOCK,
        help_text="What happens meanwhile is told when the quiet hours end; they may go over midnight.",
    )
    urgent_at_once = forms.BooleanField(
        label="Tell me what is urgent at once, whatever the hour",
        required=False,
        help_text="What cannot be taken back, ends soon, was passed on, or was an emergency.",
    )

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # Django's own
        for name, event in EVENTS.items():
            self.fields[_field(name)] = forms.ChoiceField(label=event.says, choices=WAYS)
        self.order_fields([_field(name) for name in EVENTS])

    def clean(self) -> None:
        """Quiet hours have both ends, and these differ."""
        given = super().clean() or self.cleaned_data
        begin, end = given.get("quiet_from"), given.get("quiet_until")
        if not self.errors and ((begin is None) != (end is None) or (begin is not None and begin == end)):
            self.add_error("quiet_until", "Quiet hours need a beginning and another end, or neither.")

    @property
    def wanted(self) -> dict[str, Wish]:
        """The choices, by event."""
        chosen = {name: self.cleaned_data[_field(name)] for name in EVENTS}
        return {name: Wish(By.NOTHING) if way == NOTHING else Wish(By.EMAIL, When(way)) for name, way in chosen.items()}


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@signedin.signed_in
def page(request: HttpRequest, actor: Actor) -> HttpResponse:
    """The choices as they stand; a POST sets them. Raises OtherWorkspace, and RateLimited."""
    signedin.same_workspace(request, actor)
    limits.count_page(request, actor)
    form = PreferencesForm(request.POST if request.method == "POST" else None, initial=_stand(wishes.current(by=actor)))
    if request.method == "POST" and form.is_valid():
        try:
            wishes.configure(by=actor, wishes=form.wanted, **{name: form.cleaned_data[name] for name in _CLOCKS})
        except DomainError as error:
            form.add_error(None, error.detail)
        else:
            messages.success(request, "Your choices are kept.")
            return HttpResponseRedirect(request.path)
    context = {"form": form, "workspace": actor.workspace}
    return render(request, "approvals/pages/notifications.html", context, status=400 if form.errors else 200)


_CLOCKS = ("time_zone", "daily_at", "quiet_from", "quiet_until", "urgent_at_once")


def _stand(found: Preferences) -> dict[str, str | bool | time | None]:
    chosen = {name: found.wish(name) for name in EVENTS}
    ways = {_field(name): NOTHING if one.by == By.NOTHING else one.when.value for name, one in chosen.items()}
    return {**ways, **{name: getattr(found, name) for name in _CLOCKS}}


def _field(event: str) -> str:
    return f"event_{event.replace('.', '_')}"
