"""Channels of a workspace: where people read together, how that is changed, and what their failures come to."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q

from accounts.models import Actor, Workspace
from accounts.permissions import RoleMissing
from approvals.models import NotificationChannel, OutboxItem
from approvals.services import audit, notices, patience, posting
from core import guarded
from core.errors import Conflict, Invalid, NotFound

EVENTS = ("approval.requested", "approval.ending", "approval.decided", "approval.expired", "action.unknown")
MOST = 20  # channels of a workspace
LONGEST_NAME = 100
ENDING = 4  # characters of an address that are shown


class UnknownChannel(NotFound):
    """The workspace has no such channel."""

    code = "unknown_channel"
    title = "There is no such channel"


class NameTaken(Conflict):
    """Another channel of the workspace has the name."""

    code = "name_taken"
    title = "There is a channel of this name"


class ChannelOff(Conflict):
    """It is switched off, so that nothing is sent there."""

    code = "channel_off"
    title = "The channel is switched off"


class TooMany(Conflict):
    """The workspace has as many as it may."""

    code = "too_many_channels"
    title = f"A workspace has {MOST} channels at most"


def admit(by: Actor) -> None:
    """Raises RoleMissing for whoever is no admin."""
    if not by.may():
        raise RoleMissing


def listed(*, by: Actor) -> Sequence[NotificationChannel]:
    """The channels of the caller's workspace by name, without their addresses; raises RoleMissing."""
    admit(by)
    return list(NotificationChannel.objects.filter(workspace=by.workspace).defer("url").order_by("name"))


def find(channel_id: UUID, *, by: Actor) -> NotificationChannel:
    """A channel of the caller's workspace, without its address; raises UnknownChannel."""
    found = NotificationChannel.objects.filter(workspace=by.workspace, pk=channel_id).defer("url").first()
    if found is None:
        raise UnknownChannel
    return found


def create(
    *, by: Actor, name: str, kind: str, url: str, events: Sequence[str] = (), enabled: bool = True
) -> NotificationChannel:
    """A new channel. No events stand for all of them.

    Raises RoleMissing, NameTaken, TooMany, Invalid, or UrlRefused where the address is not public.
    """
    admit(by)
    fields = _fields({"name": name, "url": url, "events": events, "enabled": enabled})
    with transaction.atomic():
        Workspace.objects.select_for_update(no_key=True).get(pk=by.workspace.pk)  # of two at once, one counts first
        if NotificationChannel.objects.filter(workspace=by.workspace).count() >= MOST:
            raise TooMany
        return _save(NotificationChannel(workspace=by.workspace, kind=kind), by, fields, before=None)


def change(channel: NotificationChannel, *, by: Actor, **said: Any) -> NotificationChannel:
    """Change what is said of `name`, `url`, `events` and `enabled`; its failures are forgotten.

    What is not said stays. Raises UnknownChannel, and as `create`.
    """
    admit(by)
    fields = _fields(said)
    with transaction.atomic():
        rows = NotificationChannel.objects.select_for_update(no_key=True).defer("url")
        row = rows.filter(pk=channel.pk, workspace=by.workspace).first()
        if row is None:
            raise UnknownChannel
        return _save(row, by, fields, before=_told(row))


@transaction.atomic
def delete(channel: NotificationChannel, *, by: Actor) -> None:
    """Take a channel away; what waits for it is given up. Raises RoleMissing or UnknownChannel."""
    admit(by)
    told, pk = _told(channel), channel.pk
    if not NotificationChannel.objects.filter(pk=pk).delete()[0]:
        raise UnknownChannel
    _record(by.workspace.pk, pk, audit.person(by), before=told, after=None)


@transaction.atomic
def test(channel: NotificationChannel, *, by: Actor) -> UUID:
    """Send a test there, through the outbox; gives the delivery's id. Raises RoleMissing or ChannelOff."""
    admit(by)
    if not channel.enabled:
        raise ChannelOff("Switch it on, then send the test.")
    row = _row(channel, "channel.test", {"name": channel.name, "by": by.user.name or by.user.email})
    posting.post([row])
    return row.pk


def rows(workspace_id: UUID, type: str, payload: dict[str, Any]) -> list[OutboxItem]:
    """What the channels of the workspace are told that are on and want events of this type."""
    if type not in EVENTS:
        return []
    wants = Q(events=[]) | Q(events__contains=[type])
    found = NotificationChannel.objects.filter(wants, workspace_id=workspace_id, enabled=True)
    return [_row(channel, type, payload) for channel in found.only("name", "workspace_id")]


def note(
    channel_id: UUID, workspace_id: UUID, *, set_at: datetime, ok: bool, gone: bool, delay: timedelta | None
) -> None:
    """Keep how a channel does, in the transaction at hand; admins are told where its failures switch it off."""
    channels = NotificationChannel.objects.filter(pk=channel_id, updated_at=set_at)  # else it was another
    if reason := patience.note(channels, ok=ok, gone=gone, delay=delay):
        channel = channels.select_related("workspace").defer("url").get()
        _record(workspace_id, channel_id, audit.SYSTEM, before=None, after={"enabled": False, "reason": reason})
        about = {"name": f"The channel {channel.name}", "address": channel.shown, "workspace": channel.workspace.name}
        notices.alarm(workspace_id, {**about, "reason": reason})


def _fields(said: Mapping[str, Any]) -> dict[str, Any]:
    """What is said, as the columns have it; raises Invalid, or UrlRefused after it asked where the name leads."""
    found: dict[str, Any] = {}
    if "name" in said:
        found["name"] = str(said["name"]).strip()
        if not 0 < len(found["name"]) <= LONGEST_NAME or not found["name"].isprintable():
            raise Invalid.field("name", f"from 1 to {LONGEST_NAME} characters, in one line")
    if "url" in said:
        found["url"], found["shown"] = _checked(said["url"])
    if "events" in said:
        found["events"] = sorted(set(said["events"]))
    if "enabled" in said:
        found["enabled"] = said["enabled"]
    return found


def _save(
    channel: NotificationChannel, by: Actor, fields: Mapping[str, Any], *, before: dict[str, Any] | None
) -> NotificationChannel:
    """Store a channel that is new or locked, in the transaction at hand."""
    for name, value in fields.items():
        setattr(channel, name, value)
    channel.disabled_reason, channel.failing_since, channel.paused_until = "", None, None
    try:
        with transaction.atomic():
            channel.save()
    except IntegrityError as error:
        if "one_channel_per_name" not in str(error):
            raise
        raise NameTaken(f"Another channel is called {channel.name}.") from None
    after = {**_told(channel), "new_address": "url" in fields}
    _record(by.workspace.pk, channel.pk, audit.person(by), before=before, after=after)
    return channel


def _checked(url: str) -> tuple[str, str]:
    """The address, and how it is shown; raises UrlRefused."""
    try:
        guarded.check(url, private=settings.WEBHOOK_PRIVATE_ADDRESSES)
    except guarded.UrlRefused as error:
        raise guarded.UrlRefused.field("url", error.detail, error.code) from None
    return url, f"{urlsplit(url).hostname} …{url[-ENDING:]}"


def _row(channel: NotificationChannel, type: str, payload: dict[str, Any]) -> OutboxItem:
    return OutboxItem(
        workspace_id=channel.workspace_id,
        topic=posting.CHANNEL,
        type=type,
        target=channel.name,
        channel=channel,
        payload=payload,
    )


def _told(channel: NotificationChannel) -> dict[str, Any]:
    """What the audit log says of it: of its address the host alone, for the path is as good as a password."""
    host = channel.shown.partition(" ")[0]
    told = {"name": channel.name, "kind": channel.kind, "host": host}
    return {**told, "events": channel.events, "enabled": channel.enabled}


def _record(workspace_id: UUID, channel_id: UUID, who: audit.Who, **data: Any) -> None:
    target = ("channel", channel_id)
    audit.record(audit.Entry(type="channel.changed", workspace_id=workspace_id, who=who, target=target, data=data))
