"""Companions: who they are, how they speak, what they keep, and whether they are there to talk to."""

from typing import Any

from django import forms
from django.core.validators import validate_slug
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.http import HttpRequest, HttpResponse

from accounts.models import Actor
from accounts.pages import console
from agents.models import Agent
from companions import services
from companions.models import Companion, Layer, Mood
from core.errors import Conflict, FieldError

COMPANIONS = "companions"
PERSONA = ("personality", "tone", "mood", "memory_layers")
ADMINS = ("name", "description", "agent", "enabled")
TAKEN = "There is a companion of this type already."


class CompanionForm(forms.Form):
    """A companion; who is no admin changes how it speaks and what it keeps, and nothing else."""

    name = forms.CharField(max_length=200)
    description = forms.CharField(
        max_length=5_000, required=False, widget=forms.Textarea({"rows": 2}), help_text="What people read."
    )
    agent = forms.ModelChoiceField(
        Agent.objects.none(),
        empty_label=None,
        help_text="What answers: instructions, model and tools are the agent's.",
    )
    personality = forms.CharField(
        max_length=10_000, required=False, widget=forms.Textarea({"rows": 5}), help_text="Who it is; told to the model."
    )
    tone = forms.CharField(max_length=200, required=False, help_text="Such as: brief, friendly.")
    mood = forms.ChoiceField(choices=Mood.choices, help_text="Where a message does not say which.")
    memory_layers = forms.MultipleChoiceField(
        choices=Layer.choices,
        required=False,
        widget=forms.CheckboxSelectMultiple,
        label="What it remembers of people",
    )
    enabled = forms.BooleanField(required=False, initial=True, label="People can talk to it")

    def __init__(self, *args: Any, actor: Actor, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        agents = self.fields["agent"]
        assert isinstance(agents, forms.ModelChoiceField)
        agents.queryset = Agent.objects.visible_to(actor).filter(bare=False).order_by("name")
        if not actor.may():
            for name in ADMINS:
                del self.fields[name]

    def clean_personality(self) -> str:
        """The text, with line breaks as models are told them."""
        return str(self.cleaned_data["personality"]).replace("\r\n", "\n")


class NewCompanionForm(CompanionForm):
    """A new companion, and the name by which programs ask for it."""

    type = forms.CharField(
        max_length=60, validators=[validate_slug], help_text="By which programs name it, such as smart-home; it stays."
    )
    field_order = ("type",)


@console.reads(COMPANIONS)
def index(request: HttpRequest, actor: Actor) -> HttpResponse:
    """The companions of the workspace, those that are off too."""

    def found(search: str) -> Any:
        rows = _rows(actor).defer("personality", "agent__instructions").order_by("name", "pk")
        return rows.filter(Q(name__icontains=search) | Q(type__icontains=search)) if search else rows

    context = {"list": console.listed(request, found)}
    return console.render(request, actor, COMPANIONS, "console/companions.html", context)


@console.changes(COMPANIONS)
def new(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Make a companion; raises NotYours for who is no admin."""
    if not actor.may():
        raise console.NotYours
    first = {"memory_layers": Layer.values, "mood": Mood.NORMAL}

    def make(given: dict[str, Any]) -> str:
        companion = Companion(workspace=actor.workspace, **given)
        _save(companion, actor)
        return f"{companion.name} is there to talk to."

    return console.act(
        request,
        actor,
        COMPANIONS,
        make,
        form=NewCompanionForm(console.sent(request), actor=actor, initial=first),
        title="Make a companion",
        text="A companion is a face for an agent: a name, a way to speak, and a memory of each person.",
        button="Make it",
    )


@console.reads(COMPANIONS)
def change(request: HttpRequest, actor: Actor, pk: str) -> HttpResponse:
    """A companion's persona, and for admins all of it."""
    companion = _companion(actor, pk)
    if not console.may_change(actor, COMPANIONS):
        context = {"companion": companion, "title": companion.name}
        return console.render(request, actor, COMPANIONS, "console/companion.html", context)
    first = {name: getattr(companion, name) for name in (*PERSONA, *ADMINS)}

    def keep(given: dict[str, Any]) -> str:
        if actor.may():
            for name, value in given.items():
                setattr(companion, name, value)
            _save(companion, actor)
        else:
            services.configure(companion, services.Persona(**{name: given[name] for name in PERSONA}), by=actor)
        return f"{companion.name} is changed."

    return console.act(
        request,
        actor,
        COMPANIONS,
        keep,
        form=CompanionForm(console.sent(request), actor=actor, initial=first),
        title=f"Companion {companion.name}",
        text="What you change holds from the next message on.",
        button="Save",
        companion=companion,
        below="console/companion_more.html",
    )


def _save(companion: Companion, actor: Actor) -> None:
    """Store it; raises as the service does, and Conflict where there is one of this type."""
    try:
        with transaction.atomic():
            services.save(companion, by=actor)
    except IntegrityError as error:
        if "one_companion_per_type" not in str(error):
            raise
        raise Conflict(TAKEN, errors=[FieldError("type", "type_taken", TAKEN)]) from None


def _rows(actor: Actor) -> Any:
    return Companion.objects.filter(workspace=actor.workspace).select_related("agent")


def _companion(actor: Actor, pk: str) -> Companion:
    found: Companion | None = _rows(actor).filter(pk=pk).first()
    if found is None:
        raise console.Gone
    return found
