"""Webhooks that come in: addresses that wake an agent, and what makes one believed (Standard Webhooks)."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from standardwebhooks import Webhook, WebhookVerificationError

from accounts.models import Actor, Role
from accounts.permissions import RoleMissing
from agents.models import Agent, AgentHook, AgentKind, HookDelivery
from approvals.services import audit
from approvals.services.webhooks import new_secret
from core import jsonbody
from core.errors import Invalid, NotFound, TooLarge, Unauthorized
from core.sealed import Secret

T = TypeVar("T")

LARGEST = 256 * 1024  # bytes of a body
LONGEST_NAME = 100
KEPT = timedelta(days=7)  # far beyond the five minutes for which a signature holds
PRUNED_AT_ONCE = 5_000
NOBODYS = new_secret()  # what an unknown hook is verified against, so that it takes as long as a known one
# Strictly as Standard Webhooks writes them: the library takes more than one spelling of what is signed.
_FORMS = {
    "webhook-id": re.compile(r"[!-\-/-~]{1,255}"),  # printable ASCII without the dot, which separates what is signed
    "webhook-timestamp": re.compile(r"[1-9][0-9]{0,11}"),
    "webhook-signature": re.compile(r"v[0-9a-z]{1,8},[A-Za-z0-9+/]+=*(?: v[0-9a-z]{1,8},[A-Za-z0-9+/]+=*){0,9}"),
}


class UnknownHook(NotFound):
    """The workspace has no such hook."""

    code = "unknown_hook"
    title = "There is no such hook"


class SignatureRefused(Unauthorized):
    """The hook is unknown or switched off, or the signature is wrong or old; which of these is not told."""

    code = "invalid_signature"
    default_detail = "There is no such hook, or the signature is not valid."
    default_headers = {"WWW-Authenticate": 'Signature realm="Standard Webhooks"'}


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A webhook that was believed: the agent to wake, and what was sent, as JSON or as text."""

    hook: AgentHook
    webhook_id: str
    data: Any


@transaction.atomic
def create(agent: Agent, *, name: str, by: Actor) -> tuple[AgentHook, Secret]:
    """A new address that wakes the agent, and its secret, which cannot be had again; raises RoleMissing or Invalid."""
    _admit(by)
    if not 0 < len(name) <= LONGEST_NAME:
        raise Invalid.field("name", f"from 1 to {LONGEST_NAME} characters")
    if agent.workspace_id != by.workspace.pk or agent.kind != AgentKind.MANAGER:
        raise Invalid.field("agent", "is no agent of kind manager in this workspace")
    secret = new_secret()
    hook = AgentHook.objects.create(workspace=by.workspace, agent=agent, name=name, secret=secret, author=by.user)
    _record("webhook.changed", hook, audit.person(by), name=name, enabled=True, new_secret=True)
    return hook, secret


@transaction.atomic
def rotate(hook: AgentHook, *, by: Actor) -> Secret:
    """A new secret in the place of the old one, which holds no more; raises RoleMissing or UnknownHook."""
    _admit(by)
    secret = new_secret()
    _change(hook, by, secret=secret, author=by.user)
    _record("webhook.changed", hook, audit.person(by), new_secret=True)
    return secret


@transaction.atomic
def switch(hook: AgentHook, *, on: bool, by: Actor) -> None:
    """Switch the hook on or off; raises RoleMissing or UnknownHook."""
    _admit(by)
    _change(hook, by, enabled=on)
    _record("webhook.changed", hook, audit.person(by), enabled=on)


def receive(
    hook_id: UUID, *, headers: Mapping[str, str], media_type: str, body: bytes, act: Callable[[Event], T]
) -> T | None:
    """What `act` makes of a webhook, in one transaction with the note that it came; None where it came before.

    Where `act` raises, nothing is kept, and the sender may repeat it. Raises TooLarge, Invalid for a body that cannot
    be read, and SignatureRefused.
    """
    if len(body) > LARGEST:
        raise TooLarge(f"A webhook may have {LARGEST} bytes at most.")
    text = _text(body)
    hook = AgentHook.objects.select_related("agent__workspace", "author").filter(pk=hook_id).first()
    given = {name: headers.get(name, "") for name in _FORMS}
    believed = _signed(given, text, secret=hook.secret if hook and hook.enabled else NOBODYS)
    if hook is None or not believed:
        if hook is not None:
            with transaction.atomic():
                _record("webhook.refused", hook, audit.SYSTEM, enabled=hook.enabled)
        raise SignatureRefused
    is_json = media_type == "application/json" or media_type.endswith("+json")
    data = jsonbody.loads(body, limit=LARGEST) if is_json else text
    event = Event(hook=hook, webhook_id=given["webhook-id"], data=data)
    with transaction.atomic():
        try:
            with transaction.atomic():  # a repetition at the same instant waits here for the first to end
                HookDelivery.objects.create(hook=hook, webhook_id=event.webhook_id)
        except IntegrityError:
            return None
        _record("webhook.received", hook, audit.SYSTEM, webhook_id=event.webhook_id)
        return act(event)


def prune() -> int:
    """Drop some notes of what came long ago; returns how many went, 0 once none are left."""
    old = HookDelivery.objects.filter(created_at__lt=Now() - KEPT)
    gone, _ = HookDelivery.objects.filter(pk__in=old.values("pk")[:PRUNED_AT_ONCE]).delete()
    return gone


def _text(body: bytes) -> str:
    """The body as text; raises Invalid where it is none."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise Invalid(f"The body is not UTF-8: byte {error.start} cannot be read.") from None
    if "\x00" in text:
        raise Invalid("The body contains the character U+0000.")
    return text


def _signed(given: Mapping[str, str], text: str, *, secret: str) -> bool:
    """Whether the headers hold a signature over the text that is right and not older or newer than five minutes."""
    if not all(form.fullmatch(given[name]) for name, form in _FORMS.items()):
        return False
    try:
        Webhook(str(secret)).verify(text, dict(given), json_parse=False)
    except (WebhookVerificationError, ValueError):  # ValueError: what follows `v1,` is not Base64
        return False
    return True


def _admit(by: Actor) -> None:
    if not by.may(Role.MANAGER):
        raise RoleMissing


def _change(hook: AgentHook, by: Actor, **values: Any) -> None:
    if not AgentHook.objects.visible_to(by).filter(pk=hook.pk).update(**values):
        raise UnknownHook
    for name, value in values.items():
        setattr(hook, name, value)


def _record(type: str, hook: AgentHook, who: audit.Who, **data: Any) -> None:
    audit.record(
        audit.Entry(
            type=type,
            workspace_id=hook.workspace_id,
            who=who,
            target=("hook", hook.pk),
            agent_id=hook.agent_id,
            data=data,
        )
    )
