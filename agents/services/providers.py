"""Model providers of a workspace: each change is audited, and of a key only that there is another; what they list."""

import asyncio
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Max, Q

from accounts.models import Actor, Workspace
from accounts.permissions import RoleMissing
from agents import environment
from agents.events import TextDelta
from agents.models import Provider, ProviderKind
from agents.providers import provider_for
from agents.providers.base import ChatMessage, ChatRequest, ProviderError, ProviderSpec, ProviderUnavailable
from agents.services import asking
from approvals.services import audit
from core import guarded
from core.errors import Conflict, FieldError, Invalid, NotFound

PATIENCE_SECONDS = 15
MOST = 100  # providers of a workspace
FIRST_PRIORITY = 100  # of a workspace's first provider: after all that the environment may name
STEP = 10  # from the priority of the last to that of a new one
GREATEST = 32_767  # the greatest priority that can be stored
WORD = "Answer with the one word OK."
WORD_TOKENS = 64  # a model that thinks first may use them up
LONGEST_WORD = 200
OLLAMA = "http://127.0.0.1:11434"
KEY_AGAIN = "Give the key again: the one that is there was for another address."
_TOLD = (
    "name", "kind", "base_url", "default_model", "model_names", "any_model", "priority", "send_memories", "enabled",
)  # fmt: skip


class ProviderNameTaken(Conflict):
    """Another provider of the workspace has this name."""

    code = "name_taken"
    default_detail = "Another provider of this workspace has this name."


class UnknownProvider(NotFound):
    """There is no such provider in the workspace."""

    code = "unknown_provider"
    title = "There is no such provider"
    default_detail = "There is no such provider any more: somebody has deleted it."


@dataclass(frozen=True, slots=True)
class Tried:
    """What a provider said when it was tried: the models that it lists, which one was asked, and its answer."""

    names: list[str]
    model: str
    said: str


def create(*, by: Actor, name: str, key: str = "", priority: int | None = None, **said: Any) -> Provider:
    """Set a provider up for an admin of the workspace: the last in line, unless a priority is named.

    Its address must be public and https, or permitted by PROVIDER_PRIVATE_ADDRESSES, unless its admin is of the staff
    too, who know the network. Raises RoleMissing, UrlRefused, Invalid, ProviderNameTaken.
    """
    provider = Provider(workspace=by.workspace, name=name, api_key=key, **said)
    _admit(provider, by)
    provider.guarded = _check_address(provider.kind, provider.base_url, by)
    try:
        with transaction.atomic():
            Workspace.objects.select_for_update(no_key=True).get(pk=by.workspace.pk)  # of two at once, one counts first
            if Provider.objects.filter(workspace=by.workspace).count() >= MOST:
                raise Invalid(f"A workspace has {MOST} providers at most. Delete one first.")
            provider.priority = last(by.workspace) if priority is None else priority
            save(provider, new_key=bool(key), by=by)
    except IntegrityError:
        raise ProviderNameTaken(errors=[FieldError("name", "name_taken", ProviderNameTaken.default_detail)]) from None
    return provider


def change(provider: Provider, *, by: Actor, key: str = "", **said: Any) -> Provider:
    """Say something else of a provider; what is not said stays, and an empty key leaves the one that is there.

    A key stays with the address that it was given for: another address needs it anew. Raises UnknownProvider, and as
    `create`.
    """
    _admit(provider, by)
    if {"kind", "base_url"} & said.keys():
        kind, url = (said.get(name, getattr(provider, name)) for name in ("kind", "base_url"))
        said = {**said, "guarded": _check_address(kind, url, by)}
    with transaction.atomic():
        rows = Provider.objects.select_for_update(no_key=True).defer("api_key").annotate(keyed=~Q(api_key=""))
        row: Any = rows.filter(pk=provider.pk).first()
        if row is None:
            raise UnknownProvider
        place = row.kind, row.base_url
        for name, value in said.items():
            setattr(row, name, value)
        if key:
            row.api_key = key
        elif row.keyed and (row.kind, row.base_url) != place:
            raise Invalid(KEY_AGAIN, errors=[FieldError("api_key", "required", KEY_AGAIN)])
        save(row, new_key=bool(key), by=by)
    changed: Provider = row
    return changed


def last(workspace: Workspace) -> int:
    """The priority of one that is asked after all others, so that it takes no answer from one that works."""
    rows = Provider.objects.filter(workspace=workspace)
    greatest: int | None = rows.aggregate(greatest=Max("priority"))["greatest"]
    return FIRST_PRIORITY if greatest is None else min(max(greatest + STEP, FIRST_PRIORITY), GREATEST)


def asked_first(workspace: Workspace) -> str:
    """The name of the provider that is asked first, be it the environment's; empty where there is none."""
    rows = list(Provider.objects.filter(workspace=workspace).values_list("name", "kind", "priority", "enabled"))
    names = {name for name, *_ in rows}
    line = [(kind == ProviderKind.REHEARSAL, priority, name) for name, kind, priority, enabled in rows if enabled]
    line += [(one.offline, one.priority, one.name) for one in environment.providers() if one.name not in names]
    return min(line)[2] if line else ""


@transaction.atomic
def put_first(provider: Provider, *, by: Actor) -> None:
    """Let a provider be asked before all others; these stay as they stand to each other, and to the environment's.

    Raises RoleMissing or UnknownProvider.
    """
    _admit(provider, by)
    rows = Provider.objects.visible_to(by).select_for_update(no_key=True).defer("api_key").order_by("priority", "name")
    line = sorted(rows, key=lambda row: row.pk != provider.pk)
    if not line or line[0].pk != provider.pk:
        raise UnknownProvider
    for place, row in enumerate(line):
        priority = max(row.priority, place) if place else 0
        if row.priority != priority:
            row.priority = priority
            save(row, new_key=False, by=by)


@transaction.atomic
def save(provider: Provider, *, new_key: bool, by: Actor) -> None:
    """Store a new or changed provider: from now on what is said in the workspace may be sent there.

    Raises UnknownProvider for one that was deleted meanwhile.
    """
    before = _told(provider)
    if before is None and not provider._state.adding:
        raise UnknownProvider
    provider.save()
    after = _told(provider)
    if new_key or before != after:
        _record(provider, by, before=before, after=after, new_key=new_key)


@transaction.atomic
def remove(provider: Provider, *, by: Actor) -> None:
    """Delete a provider, with its key; raises UnknownProvider for one that is deleted already."""
    before = _told(provider)
    if before is None:
        raise UnknownProvider
    _record(provider, by, before=before, after=None, new_key=False)
    provider.delete()


def models_of(provider: Provider) -> list[str]:
    """The models that the provider lists, asked now.

    Raises UnknownProvider, ProviderError, SealBroken for its key, TooManyAsked.
    """
    spec = _spec(provider)

    async def ask() -> list[str]:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await provider_for(spec).list_models()

    try:
        with asking.place():
            return asyncio.run(ask())
    except TimeoutError:
        raise ProviderUnavailable(f"{spec.name} has not answered within {PATIENCE_SECONDS} seconds.") from None


def tried(provider: Provider, *, by: Actor) -> Tried:
    """Ask for the list of models, and one of them for one word: so address, key and model are known to work.

    Raises RoleMissing, UnknownProvider, UrlRefused, ProviderError, SealBroken for its key, TooManyAsked.
    """
    _admit(provider, by)
    spec = _spec(provider)
    _check_address(spec.kind, spec.base_url, by)
    adapter = provider_for(spec)

    async def ask() -> Tried:
        async with asyncio.timeout(PATIENCE_SECONDS):
            names = await adapter.list_models()
            model = next(
                iter([provider.default_model] if provider.default_model else provider.model_names or names), ""
            )
            if not model:
                raise ProviderError(f"{spec.name} lists no models. Say which one is its default.")
            said = ""
            request = ChatRequest(model, (ChatMessage("user", WORD),), most_tokens=WORD_TOKENS)
            async with aclosing(adapter.stream(request)) as spoken:
                async for delta in spoken:
                    said += delta.text if isinstance(delta, TextDelta) else ""
            return Tried(names, model, said[:LONGEST_WORD])

    try:
        with asking.place():
            return asyncio.run(ask())
    except TimeoutError:
        raise ProviderUnavailable(f"{spec.name} has not answered within {PATIENCE_SECONDS} seconds.") from None


def _admit(provider: Provider, by: Actor) -> None:
    if provider.workspace_id != by.workspace.pk or not by.may():
        raise RoleMissing("Only an admin of the workspace sets its model providers up.")


def _spec(provider: Provider) -> ProviderSpec:
    """Where it is by now and its key, read together: a key is shown to no other address than its own."""
    row = Provider.objects.filter(pk=provider.pk).first()
    if row is None:
        raise UnknownProvider
    return ProviderSpec(row.name, row.kind, row.base_url, row.api_key, guarded=row.guarded)


def _check_address(kind: str, base_url: str, by: Actor) -> bool:
    """Whether each connection to the address is to be vetted again, by who gives it.

    Raises UrlRefused, at its field, for an address that the person may not have this installation ask.
    """
    url = base_url or (OLLAMA if kind == ProviderKind.OLLAMA else "")
    if not url:
        return False  # the service's own
    try:
        if by.user.is_staff:
            guarded.parse(url, longest=guarded.LONGEST_URL)
            return False
        by_permission = guarded.check(url, private=settings.PROVIDER_PRIVATE_ADDRESSES)
        if not by_permission and not url.startswith("https://"):
            raise guarded.UrlRefused("It must begin with https://, so that nobody on the way reads what is said.")
    except guarded.UrlRefused as error:
        raise guarded.UrlRefused.field("base_url", error.detail, error.code) from None
    return True


def _told(provider: Provider) -> dict[str, Any] | None:
    """The provider as the log has it, locked; None where it is not stored."""
    rows = Provider.objects.select_for_update(no_key=True).filter(pk=provider.pk)
    found: dict[str, Any] | None = rows.values(*_TOLD).first()
    return found


def _record(provider: Provider, by: Actor, **told: Any) -> None:
    audit.record(
        audit.Entry(
            type="provider.changed",
            workspace_id=provider.workspace_id,
            who=audit.person(by),
            target=("provider", provider.pk),
            data=told,
        )
    )
