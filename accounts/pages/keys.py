"""API keys: made, rotated, revoked; the text of one is on the page that made it, and nowhere again."""

from datetime import timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from accounts.models import Actor, ApiKey, KeyKind, KeyMode
from accounts.pages import console
from accounts.services import keys
from core.errors import DomainError, Forbidden

KEYS = "keys"
MOST_ORIGINS = 50
KINDS = [
    (KeyKind.SECRET.value, "Secret (sk): for a server of yours. It acts as you, as far as its scopes go."),
    (KeyKind.PUBLISHABLE.value, "Publishable (pk): for web pages. It chats, from the origins that you name."),
    (KeyKind.SCOPED.value, "Scoped (at): for one agent's or team's client, or for some scopes."),
]
SCOPES = [
    ("chat", "chat: talk, read conversations, usage"),
    ("memory", "memory: what is remembered of you"),
    ("approvals", "approvals: read and decide what waits"),
    ("audit", "audit: read the audit log"),
    ("keys", "keys: make and end keys"),
    ("admin", "admin: agents, tools, policies, webhooks"),
]
ENDS = [("", "Never"), ("7", "In 7 days"), ("30", "In 30 days"), ("90", "In 90 days"), ("365", "In a year")]
ONCE = "Copy it now: it is not shown again. Only a hash of it was kept."


class KeyForm(forms.Form):
    """A new key."""

    name = forms.CharField(max_length=200, help_text="What carries it, such as “billing server”.")
    kind = forms.ChoiceField(choices=KINDS, widget=forms.RadioSelect, initial=KeyKind.SECRET)
    mode = forms.ChoiceField(choices=KeyMode.choices, widget=forms.RadioSelect, initial=KeyMode.LIVE)
    scopes = forms.MultipleChoiceField(
        choices=SCOPES,
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="What it opens. None ticked: all that its kind may do.",
    )
    only = forms.CharField(
        max_length=100,
        required=False,
        label="Only one agent or team",
        help_text="For a scoped key: agent:<id> or team:<id>, and no scopes beside it. It opens that one alone.",
    )
    origins = forms.CharField(
        max_length=10_000,
        required=False,
        widget=forms.Textarea({"rows": 3, "spellcheck": "false"}),
        label="Origins of pages",
        help_text="One a line, such as https://shop.example. A publishable key names one at least; a secret key "
        "that is called from no page names none.",
    )
    expires = forms.ChoiceField(choices=ENDS, required=False, label="Ends")

    def clean_origins(self) -> list[str]:
        """The lines, as origins are written; raises ValidationError for more or less than an origin."""
        lines = [line.strip() for line in self.cleaned_data["origins"].splitlines() if line.strip()]
        if len(lines) > MOST_ORIGINS:
            raise forms.ValidationError(f"{MOST_ORIGINS} at most.")
        try:
            return [keys.origin_of(line) for line in lines]
        except DomainError as error:
            raise forms.ValidationError(error.detail) from None


class RotateForm(forms.Form):
    """How a key's successor takes over."""

    grace = forms.IntegerField(
        min_value=0, max_value=24 * 90, initial=24, label="Hours for which the old key goes on working"
    )


@console.reads(KEYS)
def index(request: HttpRequest, actor: Actor) -> HttpResponse:
    """The keys: an admin's page has the workspace's, others have their own."""

    def found(search: str) -> Any:
        rows = ApiKey.objects.visible_to(actor).defer("secret_hash").select_related("user").order_by("-created_at")
        if not search:
            return rows
        return rows.filter(
            Q(name__icontains=search) | Q(public_id__icontains=search) | Q(user__email__icontains=search)
        )

    listed = console.listed(request, found)
    rows = [{"key": key, "state": state(key), "works": state(key) in ("active", "rotated")} for key in listed.rows]
    return console.render(request, actor, KEYS, "console/keys.html", {"list": listed, "keys": rows})


@console.changes(KEYS)
def new(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Make a key, and show it."""

    def make(given: dict[str, Any]) -> HttpResponse:
        ends = timezone.now() + timedelta(days=int(given["expires"])) if given["expires"] else None
        made, text = keys.create(
            workspace=actor.workspace,
            user=actor.user,
            name=given["name"],
            kind=given["kind"],
            mode=given["mode"],
            scopes=[*given["scopes"], *([given["only"]] if given["only"] else [])],
            origins=given["origins"],
            expires_at=ends,
            by=actor.user,
        )
        return _once(request, actor, made, text)

    return console.act(
        request,
        actor,
        KEYS,
        make,
        form=KeyForm(console.sent(request)),
        title="Make an API key",
        text="It acts on your behalf. Its text is shown once.",
        button="Make the key",
    )


@console.changes(KEYS)
def rotate(request: HttpRequest, actor: Actor, pk: str) -> HttpResponse:
    """Make a key's successor, and show it; the old key works for a while yet."""
    key = _key(actor, pk)
    if key.user_id != actor.user.pk:  # whoever is shown it reads what its person said
        raise Forbidden("Whoever the key acts for rotates it. You can revoke it.")

    def make(given: dict[str, Any]) -> HttpResponse:
        made, text = keys.rotate(key, grace=timedelta(hours=given["grace"]), by=actor.user)
        return _once(request, actor, made, text)

    return console.act(
        request,
        actor,
        KEYS,
        make,
        form=RotateForm(console.sent(request)),
        title=f"Rotate {key.name}",
        text="A successor with the same rights is made and shown once. The old key ends when the time is over.",
        button="Rotate",
    )


@console.changes(KEYS)
def revoke(request: HttpRequest, actor: Actor, pk: str) -> HttpResponse:
    """Ask, then end a key."""
    key = _key(actor, pk)

    def end(given: object) -> str:
        keys.revoke(key, by=actor.user)
        return f"{key.name} is revoked."

    return console.act(
        request,
        actor,
        KEYS,
        end,
        title=f"Revoke {key.name}",
        text="Programs that carry it are refused at once. This cannot be undone.",
        button="Revoke the key",
        danger=True,
    )


def state(key: ApiKey) -> str:
    """Whether it works."""
    if key.revoked_at:
        return "revoked"
    if key.expires_at and key.expires_at <= timezone.now():
        return "expired"
    return "rotated" if key.rotated_to_id else "active"


def _key(actor: Actor, pk: str) -> ApiKey:
    found = ApiKey.objects.visible_to(actor).select_related("user", "workspace").filter(pk=pk).first()
    if found is None:
        raise console.Gone
    return found


def _once(request: HttpRequest, actor: Actor, key: ApiKey, text: str) -> HttpResponse:
    example = f'curl {settings.PUBLIC_URL}/v1/ai/models -H "Authorization: Bearer $KEY"'
    page = key.kind == KeyKind.PUBLISHABLE
    about = f"{ONCE} It is for pages: whoever looks at a page can read it." if page else ONCE
    if key.maker:
        about += " It acts for somebody else than you: what it asks for, you cannot approve."
    shown = {} if page else {"example": example}
    return console.once(request, actor, KEYS, secret=text, title=f"{key.name}: the key", text=about, **shown)
