"""The webhook of a workspace: its address and secret, a test, and the log of deliveries."""

from typing import Any
from urllib.parse import urlencode

from django import forms
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from accounts import limits
from accounts.models import Actor
from accounts.pages import console
from approvals import delivery as postman
from approvals import shown
from approvals.models import OutboxItem
from approvals.services import redelivery, veil, webhooks
from core import guarded
from core.errors import Invalid

WEBHOOKS = "webhooks"
BACK = console.SECTIONS[WEBHOOKS].path
RESENT_A_MINUTE = 20  # tests and repetitions of a workspace
ONCE = (
    "Give it to the receiver now: it is not shown again. Whoever has it can tell that a delivery comes from here "
    "(Standard Webhooks)."
)


class WebhookForm(forms.Form):
    """Where the workspace is told, and of what."""

    url = forms.CharField(
        max_length=guarded.LONGEST_URL,
        label="Address",
        help_text="http or https, a public host, port 80 or 443. Redirects are not followed.",
        widget=forms.TextInput({"inputmode": "url", "spellcheck": "false"}),
    )
    events = forms.MultipleChoiceField(
        choices=[(name, name) for name in webhooks.EVENTS],
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="None ticked: all of them.",
    )
    enabled = forms.BooleanField(required=False, initial=True, label="It is on")


class DeliveriesForm(forms.Form):
    """Which deliveries are listed: of what event, and from which on into the past."""

    type = forms.ChoiceField(
        choices=[("", "All events"), *((name, name) for name in (*webhooks.EVENTS, redelivery.TEST))],
        required=False,
        label="Event",
    )
    before = forms.UUIDField(required=False, widget=forms.HiddenInput)


@console.reads(WEBHOOKS)
def index(request: HttpRequest, actor: Actor) -> HttpResponse:
    """The webhook, to admins, and the deliveries, newest first."""
    asked = DeliveriesForm(request.GET)
    if not asked.is_valid():
        raise Invalid("The deliveries cannot be searched for this. Go back, and choose something else.")
    type, before = asked.cleaned_data["type"], asked.cleaned_data["before"]
    rows, following = webhooks.deliveries(by=actor, limit=console.ROWS, before=before, type=type)
    context = {
        "asked": DeliveriesForm(initial={"type": type}),
        "deliveries": [{"item": row, "state": state(row)} for row in rows],
        "newest": f"?{urlencode({'type': type})}" if before else "",
        "older": f"?{urlencode({'type': type, 'before': following})}" if following else "",
        "endpoint": webhooks.current(by=actor) if actor.may() else None,
    }
    return console.render(request, actor, WEBHOOKS, "console/webhooks.html", context)


@console.changes(WEBHOOKS)
def change(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Set the webhook; the first time its secret is shown."""
    endpoint = webhooks.current(by=actor)
    first = {"url": endpoint.url, "events": endpoint.events, "enabled": endpoint.enabled} if endpoint else None

    def keep(given: dict[str, Any]) -> str | HttpResponse:
        _, secret = webhooks.configure(by=actor, **given)
        return _once(request, actor, secret, "The signing secret") if secret else "The webhook is changed."

    return console.act(
        request,
        actor,
        WEBHOOKS,
        keep,
        form=WebhookForm(console.sent(request), initial=first),
        title="Change the webhook" if endpoint else "Set a webhook",
        text="Each event is sent there with a signature, and again for some days where that fails.",
        button="Save",
    )


@console.changes(WEBHOOKS)
def rotate(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Ask, then make another secret, and show it."""
    if webhooks.current(by=actor) is None:
        raise webhooks.NoWebhook
    return console.act(
        request,
        actor,
        WEBHOOKS,
        lambda given: _once(request, actor, webhooks.rotate(by=actor), "The new signing secret"),
        title="Make a new signing secret",
        text="The secret that is there signs nothing more, at once: the receiver refuses deliveries until it has the "
        "new one. They are tried again meanwhile.",
        button="Make a new secret",
        danger=True,
    )


@console.changes(WEBHOOKS)
def test(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Ask, then send a test, and on to its delivery."""

    def send(given: object) -> HttpResponse:
        _count(request, actor)
        return HttpResponseRedirect(f"{BACK}{redelivery.test(by=actor).pk}/")

    return console.act(
        request,
        actor,
        WEBHOOKS,
        send,
        title="Send a test",
        text=f"The receiver gets an event of type {redelivery.TEST}, signed like all others, which tells of nothing.",
        button="Send it now",
    )


@console.reads(WEBHOOKS)
def delivery(request: HttpRequest, actor: Actor, pk: str) -> HttpResponse:
    """What became of a delivery, and what it told, with secrets veiled."""
    item = redelivery.find(pk, by=actor)
    context = {
        "item": item,
        "state": state(item),
        "title": f"Delivery of {item.type}",
        "headers": _headers(item),
        "body": shown.json_html(
            veil.over(postman.told(item.type, item.payload, item.created_at), workspace_id=actor.workspace.pk)
        ),
    }
    return console.render(request, actor, WEBHOOKS, "console/delivery.html", context)


@console.changes(WEBHOOKS)
def retry(request: HttpRequest, actor: Actor, pk: str) -> HttpResponse:
    """Ask, then deliver once more what was not."""
    item = redelivery.find(pk, by=actor)

    def send(given: object) -> str:
        _count(request, actor)
        redelivery.retry(item, by=actor)
        return "It is on its way again."

    return console.act(
        request,
        actor,
        WEBHOOKS,
        send,
        title="Deliver it again",
        text="It is sent at once, under the same id, so that a receiver that has it already knows.",
        button="Deliver it again",
        back=f"{BACK}{item.pk}/",
    )


def state(item: OutboxItem) -> str:
    """How a delivery stands."""
    return "delivered" if item.done_at else "failed" if item.failed_at else "waiting"


def _headers(item: OutboxItem) -> dict[str, str]:
    """The headers that a delivery goes out with; of those that each attempt makes anew, what they are."""
    return {
        "User-Agent": guarded.AGENT,
        **postman.TYPED,
        "webhook-id": str(item.pk),
        "webhook-timestamp": "the seconds since 1970 of each attempt",
        "webhook-signature": "v1,… made with the signing secret, which is not shown",
    }


def _once(request: HttpRequest, actor: Actor, secret: str, title: str) -> HttpResponse:
    return console.once(request, actor, WEBHOOKS, secret=secret, title=title, text=ONCE)


def _count(request: HttpRequest, actor: Actor) -> None:
    """Count a delivery that was asked for; raises RateLimited, and Unavailable where it cannot be counted."""
    who = str(actor.workspace.pk)
    limits.guard("webhook-resend", limit=RESENT_A_MINUTE, who=who, fail_closed=True, request=request)
