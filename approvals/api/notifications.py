"""Doors to notifications, below /v1/ai/: what a person prefers, and the channels of the workspace."""

from datetime import time
from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import actor_of
from approvals.models import ChannelKind, NotificationChannel
from approvals.preferences import EVENTS, By, Preferences, When, Wish
from approvals.services import channels, wishes
from core.guarded import LONGEST_URL
from core.schema import BODY, GUARDED, problems
from core.serializers import QuerySerializer, StrictSerializer

CLOCK = r"^([01][0-9]|2[0-3]):[0-5][0-9]\Z"
PREFERENCES = {
    "events": [
        {"event": "approval.waiting", "by": "email", "when": "hourly"},
        {"event": "agent.message", "by": "nothing", "when": "at_once"},
    ],
    "time_zone": "Europe/Berlin",
    "daily_time": "08:00",
    "quiet_hours": {"from": "22:00", "until": "07:00"},
    "urgent_at_once": True,
}
CHANNEL = {
    "id": "01932f3a-7c5e-7d11-9a60-3c1f0d6b7a05",
    "name": "On call",
    "kind": "slack",
    "address": "hooks.slack.com …7Xb2",
    "events": ["approval.requested"],
    "enabled": True,
    "disabled_reason": "",
    "failing_since": None,
    "created_at": "2026-01-05T09:00:00Z",
    "updated_at": "2026-01-05T09:00:00Z",
}
SLACK = "https://hooks.slack.com/services/T00000000/B00000000/…7Xb2"
NEW = {"name": "On call", "kind": "slack", "url": SLACK, "events": ["approval.requested"]}
REFUSED = {
    400: "`url_refused`: the address is not public; or something does not fit.",
    403: "`role_required`: only an admin may do this.",
    409: "`name_taken`: another channel of the workspace has the name; `too_many_channels`: it has 20.",
}


class WishIO(StrictSerializer):
    """How one event is told."""

    event = serializers.ChoiceField(choices=[(name, one.says) for name, one in EVENTS.items()])
    by = serializers.ChoiceField(choices=[one.value for one in By], default=By.EMAIL.value)
    when = serializers.ChoiceField(
        choices=[one.value for one in When],
        default=When.AT_ONCE.value,
        help_text="At once, or with what else there is in one e-mail by the hour or the day.",
    )


class QuietIO(StrictSerializer):
    """From when until when nothing is told, by the person's clock; over midnight where it ends before it begins."""

    until = serializers.RegexField(CLOCK)

    def get_fields(self) -> dict[str, Any]:
        """With `from`, which is no name in Python."""
        return {"from": serializers.RegexField(CLOCK), **super().get_fields()}


class PreferencesIO(StrictSerializer):
    """What a person wants to be told in this workspace; what is left out has its default."""

    events = serializers.ListField(
        child=WishIO(), max_length=len(EVENTS), help_text="Those left out are told as they are by default."
    )
    time_zone = serializers.CharField(max_length=64, default="UTC", help_text="A name such as Europe/Berlin.")
    daily_time = serializers.RegexField(CLOCK, default="08:00", help_text="When the day's e-mail comes, by that clock.")
    quiet_hours = QuietIO(default=None, allow_null=True, help_text="What happens in them is told when they end.")
    urgent_at_once = serializers.BooleanField(
        default=False,
        help_text="What cannot be taken back, ends soon, was passed on, or was an emergency is told at once, "
        "whatever the quiet hours and the e-mails of an hour or a day.",
    )

    def validate_events(self, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Each event once."""
        if len({one["event"] for one in found}) < len(found):
            raise serializers.ValidationError("An event stands twice.", code="repeated")
        return found


class ChannelIn(StrictSerializer):
    """A channel to make. Its address is taken and never given back."""

    name = serializers.CharField(max_length=channels.LONGEST_NAME)
    kind = serializers.ChoiceField(choices=ChannelKind.choices)
    url = serializers.CharField(max_length=LONGEST_URL, write_only=True, help_text="The incoming webhook's address.")
    events = serializers.ListField(
        child=serializers.ChoiceField(choices=channels.EVENTS),
        max_length=len(channels.EVENTS),
        default=list,
        help_text="Which events are told; empty: all.",
    )
    enabled = serializers.BooleanField(default=True)


class ChannelChange(StrictSerializer):
    """What of a channel is changed; what is not sent stays."""

    name = serializers.CharField(max_length=channels.LONGEST_NAME, required=False)
    url = serializers.CharField(max_length=LONGEST_URL, write_only=True, required=False)
    events = serializers.ListField(
        child=serializers.ChoiceField(choices=channels.EVENTS), max_length=len(channels.EVENTS), required=False
    )
    enabled = serializers.BooleanField(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuses a body that changes nothing, which is a mistake."""
        if not attrs:
            raise serializers.ValidationError(f"Send at least one of {', '.join(self.fields)}.", code="required")
        return attrs


class ChannelOut(serializers.ModelSerializer[NotificationChannel]):
    """A channel; of its address the host and the last four characters."""

    address = serializers.CharField(source="shown")
    events = serializers.ListField(child=serializers.ChoiceField(choices=channels.EVENTS))
    disabled_reason = serializers.CharField(help_text="Why it was switched off, where nobody did so.")

    class Meta:
        model = NotificationChannel
        fields = tuple(CHANNEL)
        read_only_fields = fields


class ChannelsOut(serializers.Serializer[Any]):
    """The workspace's channels."""

    channels = ChannelOut(many=True)


class TestOut(serializers.Serializer[Any]):
    """Which delivery it is, among those that the admin lists."""

    delivery_id = serializers.UUIDField()


def rendered(wanted: Preferences) -> dict[str, Any]:
    """Preferences as answers have them, every event with what holds for it."""
    quiet = None
    if wanted.quiet_from is not None and wanted.quiet_until is not None:
        quiet = {"from": f"{wanted.quiet_from:%H:%M}", "until": f"{wanted.quiet_until:%H:%M}"}
    told = [(name, wanted.wish(name)) for name in EVENTS]
    return {
        "events": [{"event": name, "by": wish.by.value, "when": wish.when.value} for name, wish in told],
        "time_zone": wanted.time_zone,
        "daily_time": f"{wanted.daily_at:%H:%M}",
        "quiet_hours": quiet,
        "urgent_at_once": wanted.urgent_at_once,
    }


class PreferencesView(APIView):
    """/v1/ai/notifications/preferences."""

    scope = "approvals"

    @extend_schema(
        responses={200: PreferencesIO, **problems(*GUARDED)},
        examples=[OpenApiExample("What holds", response_only=True, value=PREFERENCES)],
        tags=["notifications"],
    )
    def get(self, request: Request) -> Response:
        """What you are told in this workspace, by which way and when."""
        QuerySerializer.read(request.query_params)
        return Response(rendered(wishes.current(by=actor_of(request))))

    @extend_schema(
        request=PreferencesIO,
        responses={200: PreferencesIO, **problems(*GUARDED, *BODY)},
        examples=[OpenApiExample("Set it", value=PREFERENCES)],
        tags=["notifications"],
    )
    def put(self, request: Request) -> Response:
        """Say what you want to be told, by which way and when; what is left out has its default."""
        said = PreferencesIO.read(request.data)
        quiet = said["quiet_hours"]
        wanted = wishes.configure(
            by=actor_of(request),
            wishes={one["event"]: Wish(By(one["by"]), When(one["when"])) for one in said["events"]},
            time_zone=said["time_zone"],
            daily_at=time.fromisoformat(said["daily_time"]),
            quiet_from=time.fromisoformat(quiet["from"]) if quiet else None,
            quiet_until=time.fromisoformat(quiet["until"]) if quiet else None,
            urgent_at_once=said["urgent_at_once"],
        )
        return Response(rendered(wanted))


class ChannelsView(APIView):
    """GET and POST /v1/ai/notifications/channels."""

    scope = "admin"

    @extend_schema(
        responses={200: ChannelsOut, **problems(*GUARDED)},
        examples=[OpenApiExample("Channels", response_only=True, value={"channels": [CHANNEL]})],
        operation_id="ai_notifications_channels_list",
        tags=["notifications"],
    )
    def get(self, request: Request) -> Response:
        """The workspace's channels, by name. For admins."""
        QuerySerializer.read(request.query_params)
        return Response(ChannelsOut({"channels": channels.listed(by=actor_of(request))}).data)

    @extend_schema(
        request=ChannelIn,
        responses={201: ChannelOut, **problems(*GUARDED, *BODY, told=REFUSED)},
        examples=[
            OpenApiExample("A channel of Slack", request_only=True, value=NEW),
            OpenApiExample("It was made", response_only=True, value=CHANNEL),
        ],
        tags=["notifications"],
    )
    def post(self, request: Request) -> Response:
        """Make a channel of Slack or Microsoft Teams. For admins."""
        actor = actor_of(request)
        channels.admit(actor)
        return Response(ChannelOut(channels.create(by=actor, **ChannelIn.read(request.data))).data, status=201)


class ChannelView(APIView):
    """PATCH and DELETE /v1/ai/notifications/channels/{id}."""

    scope = "admin"

    @extend_schema(
        request=ChannelChange,
        responses={200: ChannelOut, **problems(*GUARDED, *BODY, 404, told=REFUSED)},
        examples=[
            OpenApiExample("Switch it off", request_only=True, value={"enabled": False}),
            OpenApiExample("It was changed", response_only=True, value={**CHANNEL, "enabled": False}),
        ],
        tags=["notifications"],
    )
    def patch(self, request: Request, channel_id: UUID) -> Response:
        """Change a channel; one that was switched off for its failures starts anew. For admins."""
        actor = actor_of(request)
        channel = channels.find(channel_id, by=actor)
        channels.admit(actor)
        return Response(ChannelOut(channels.change(channel, by=actor, **ChannelChange.read(request.data))).data)

    @extend_schema(request=None, responses={204: None, **problems(*GUARDED, 404)}, tags=["notifications"])
    def delete(self, request: Request, channel_id: UUID) -> Response:
        """Take a channel away; what waits for it is given up. For admins."""
        actor = actor_of(request)
        channels.delete(channels.find(channel_id, by=actor), by=actor)
        return Response(status=204)


class ChannelTestView(APIView):
    """POST /v1/ai/notifications/channels/{id}/test."""

    scope = "admin"

    @extend_schema(
        request=None,
        responses={
            202: TestOut,
            **problems(*GUARDED, 404, told={409: "`channel_off`: it is switched off."}),
        },
        examples=[
            OpenApiExample(
                "It is on its way", response_only=True, status_codes=["202"], value={"delivery_id": CHANNEL["id"]}
            )
        ],
        tags=["notifications"],
    )
    def post(self, request: Request, channel_id: UUID) -> Response:
        """Send a test to a channel; the admin's list of deliveries tells what came of it. For admins."""
        actor = actor_of(request)
        return Response({"delivery_id": channels.test(channels.find(channel_id, by=actor), by=actor)}, status=202)
