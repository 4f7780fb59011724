"""Model providers: set up with a key that is never shown again, tested, and put in an order."""

from typing import Any

from django import forms
from django.core.validators import validate_slug
from django.db.models import Q
from django.http import HttpRequest, HttpResponse

from accounts import limits
from accounts.models import Actor
from accounts.pages import console
from accounts.services import workspaces
from agents import brain
from agents.models import Provider, ProviderKind
from agents.providers import presets
from agents.services import providers
from core.errors import DomainError, Invalid

PROVIDERS = "providers"
BACK = console.SECTIONS[PROVIDERS].path
TESTS_A_MINUTE = 10  # of a workspace: each asks a server elsewhere
NAMES_SHOWN = 20
SAID = ("kind", "base_url", "default_model", "send_memories", "enabled")
SERVICES = [("", "Another one"), *((one.name, one.label) for one in presets.PRESETS.values())]


class ProviderForm(forms.Form):
    """A provider. Its key is taken and never given back."""

    preset = forms.ChoiceField(
        choices=SERVICES,
        required=False,
        label="Well-known service",
        help_text="Its address is known: choose it, give your key, and leave the rest as it is.",
    )
    name = forms.CharField(
        max_length=60,
        validators=[validate_slug],
        help_text="Letters, digits, - and _. Each answer tells it.",
    )
    kind = forms.ChoiceField(choices=ProviderKind.choices, label="Speaks", initial=ProviderKind.OPENAI)
    base_url = forms.CharField(
        max_length=500,
        required=False,
        label="Address",
        help_text="Up to and with /v1, such as https://api.example.org/v1; Ollama's without it. A well-known "
        "service needs none.",
        widget=forms.TextInput({"inputmode": "url", "spellcheck": "false"}),
    )
    api_key = forms.CharField(
        max_length=4000,
        required=False,
        label="Key",
        help_text="Kept encrypted and never shown again. Empty: the key that is there stays.",
        widget=forms.PasswordInput({"autocomplete": "new-password"}),
    )
    default_model = forms.CharField(
        max_length=200, required=False, label="Default model", help_text="Empty: the first that it lists."
    )
    send_memories = forms.BooleanField(
        required=False, initial=True, label="It may be told what is remembered of the person who writes"
    )
    enabled = forms.BooleanField(required=False, initial=True, label="It is on")

    def __init__(self, *args: Any, provider: Provider | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if provider is not None:
            del self.fields["preset"]
            del self.fields["name"]

    def clean(self) -> dict[str, Any]:
        """What was filled in, with what the service is known for."""
        cleaned = dict(super().clean() or {})
        preset = presets.PRESETS.get(cleaned.get("preset") or "")
        if preset and cleaned.get("kind") != ProviderKind.OPENAI:
            self.add_error("kind", "These services are OpenAI-compatible: choose that, or no service.")
        elif preset and not cleaned.get("base_url"):
            cleaned |= {"base_url": preset.base_url, "any_model": preset.any_model}
            cleaned["default_model"] = cleaned.get("default_model") or preset.default_model
        if cleaned.get("kind") == ProviderKind.OPENAI and cleaned.get("base_url") == "":
            self.add_error("base_url", "This kind of provider needs an address, or choose a service above.")
        return cleaned


class DefaultForm(forms.Form):
    """The model that answers where nobody chose one."""

    model = forms.CharField(
        max_length=200, required=False, help_text="As a provider lists it. Empty: the default of the one asked first."
    )


@console.reads(PROVIDERS)
def index(request: HttpRequest, actor: Actor) -> HttpResponse:
    """The workspace's providers, in the order in which they are asked."""

    def found(search: str) -> Any:
        rows = _rows(actor).order_by("priority", "name")
        return rows.filter(Q(name__icontains=search) | Q(base_url__icontains=search)) if search else rows

    context = {"list": console.listed(request, found), "first": providers.asked_first(actor.workspace)}
    return console.render(request, actor, PROVIDERS, "console/providers.html", context)


@console.changes(PROVIDERS)
def new(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Set a provider up."""

    def set_up(given: dict[str, Any]) -> HttpResponse:
        said = {name: given[name] for name in (*SAID, "any_model") if name in given}
        provider = providers.create(by=actor, name=given["name"], key=given["api_key"], **said)
        told = f"{provider.name} is set up and is asked after all others. Press Test to see whether it answers."
        return console.done(f"{BACK}{provider.pk}/test/", request, told)

    return console.act(
        request,
        actor,
        PROVIDERS,
        set_up,
        form=ProviderForm(console.sent(request)),
        title="Set up a provider",
        text="From then on what is said in this workspace may be sent there. It is asked after all others, those "
        "of the installation too; “Ask first” changes that once it has been tested. The offline rehearsal answers only "
        "while there is no other provider.",
        button="Set it up",
    )


@console.changes(PROVIDERS)
def change(request: HttpRequest, actor: Actor, pk: str) -> HttpResponse:
    """Change a provider: what was changed in the form, and nothing that was only shown."""
    provider = _provider(actor, pk)
    first = {name: getattr(provider, name) for name in SAID}
    form = ProviderForm(console.sent(request), provider=provider, initial=first)

    def keep(given: dict[str, Any]) -> str:
        said = {name: given[name] for name in form.changed_data if name in SAID}
        providers.change(provider, by=actor, key=given["api_key"], **said)
        return f"{provider.name} is changed."

    return console.act(
        request,
        actor,
        PROVIDERS,
        keep,
        form=form,
        title=f"Provider {provider.name}",
        text="A key stays with the address that it was given for: with another address it is asked for again.",
        button="Save",
    )


@console.changes(PROVIDERS)
def remove(request: HttpRequest, actor: Actor, pk: str) -> HttpResponse:
    """Ask, then delete a provider."""
    provider = _provider(actor, pk)

    def delete(given: object) -> str:
        providers.remove(provider, by=actor)
        return f"{provider.name} is deleted, with its key."

    return console.act(
        request,
        actor,
        PROVIDERS,
        delete,
        title=f"Delete {provider.name}",
        text="Its key is deleted too. Answers come from the next provider in line, where that is allowed.",
        button="Delete it",
        danger=True,
    )


@console.changes(PROVIDERS)
def first(request: HttpRequest, actor: Actor, pk: str) -> HttpResponse:
    """Ask, then put a provider first in line."""
    provider = _provider(actor, pk)

    def put(given: object) -> str:
        providers.put_first(provider, by=actor)
        return f"{provider.name} is asked first from now on."

    return console.act(
        request,
        actor,
        PROVIDERS,
        put,
        title=f"Ask {provider.name} first",
        text="Its default model answers wherever neither a person, an agent nor the workspace chose a model. Test it "
        "before: where it fails, so do those answers.",
        button="Ask it first",
    )


@console.changes(PROVIDERS)
def default_model(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Say which model answers in the workspace where nobody chose one."""

    def choose(given: dict[str, Any]) -> str:
        model = given["model"]
        try:
            if model:
                brain.require(actor.workspace, model)
        except DomainError as error:
            raise Invalid.field("model", error.detail) from None
        workspaces.set_default_model(model, by=actor)
        return f"{model or 'The first provider’s default'} answers where nobody chose a model."

    return console.act(
        request,
        actor,
        PROVIDERS,
        choose,
        form=DefaultForm(console.sent(request), initial={"model": actor.workspace.default_model}),
        title="Default model",
        text="It answers in this workspace where neither a message, the person nor the agent names a model.",
        button="Save",
    )


@console.changes(PROVIDERS)
def test(request: HttpRequest, actor: Actor, pk: str) -> HttpResponse:
    """Ask the provider for its models once that is wanted, and say what came back."""
    provider = _provider(actor, pk)
    context: dict[str, Any] = {"provider": provider, "first": providers.asked_first(actor.workspace)}
    if request.method == "POST":
        who = str(actor.workspace.pk)
        limits.guard("provider-test", limit=TESTS_A_MINUTE, who=who, fail_closed=True, request=request)
        try:
            found = providers.tried(provider, by=actor)
        except DomainError as error:
            context["problem"] = f"{error.title}. {error.detail}"
        else:
            context |= {"tried": found, "names": found.names[:NAMES_SHOWN]}
    return console.render(request, actor, PROVIDERS, "console/provider_test.html", context)


def _rows(actor: Actor) -> Any:
    """The providers, with whether they have a key in place of the key."""
    return Provider.objects.filter(workspace=actor.workspace).defer("api_key").annotate(keyed=~Q(api_key=""))


def _provider(actor: Actor, pk: str) -> Provider:
    found: Provider | None = _rows(actor).filter(pk=pk).first()
    if found is None:
        raise console.Gone
    return found
