"""Slack and Microsoft Teams: who sets channels up, what they are sent, and what their failures come to."""

import json
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network

import pytest
from django.db.models.functions import Now

from accounts.models import Role
from approvals import cards, delivery
from approvals.models import AuditEvent, Decision, NotificationChannel, OutboxItem
from approvals.services import approvals, outbox, patience
from tests.approvals.desk import request
from tests.approvals.telling import due_now, put, told
from tests.cast import person
from tests.servers.receiver import Receiver, Reply, receiving
from tests.servers.threads import bridged

CHANNELS = "/v1/ai/notifications/channels"
PREFERENCES = "/v1/ai/notifications/preferences"
URL = "https://93.184.215.14/services/T000/B000/the-secret-path-7Xb2"
NEW = {"name": "On call", "kind": "slack", "url": URL}
NOW = datetime(2026, 1, 5, 9, tzinfo=UTC)
HOSTILE = "<!channel> <https://evil.example|safe> *b* [click](https://evil.example) <at>all</at> & \u202e"


@pytest.fixture
def admin(owner, client_of):
    return client_of(owner)


@pytest.fixture
def receiver(transactional_db, settings):
    """A receiver on this machine, as an operator may permit."""
    settings.WEBHOOK_PRIVATE_ADDRESSES = (ip_network("127.0.0.0/8"),)
    settings.PUBLIC_URL = "https://countersign.example"
    with bridged(), receiving() as server:
        yield server


def channel(workspace, receiver: Receiver, kind: str = "slack", **more) -> NotificationChannel:
    return NotificationChannel.objects.create(
        workspace=workspace, name=kind, kind=kind, url=receiver.url(), shown="127.0.0.1 …hook", **more
    )


def test_an_admin_makes_changes_and_deletes_a_channel(admin):
    made = admin.post(CHANNELS, NEW)
    assert made.status_code == 201, made.content
    assert made.json()["address"] == "93.184.215.14 …7Xb2"
    path = f"{CHANNELS}/{made.json()['id']}"
    changed = admin.patch(path, {"name": "Night", "events": ["approval.requested"]})
    assert (changed.json()["name"], changed.json()["events"]) == ("Night", ["approval.requested"])
    assert NotificationChannel.objects.get().url == URL, "what is not sent stays"
    assert [one["name"] for one in admin.get(CHANNELS).json()["channels"]] == ["Night"]
    assert admin.delete(path).status_code == 204
    assert admin.delete(path).status_code == 404


def test_the_address_is_never_given_back_or_logged(admin, caplog):
    answers = [admin.post(CHANNELS, NEW)]
    path = f"{CHANNELS}/{answers[0].json()['id']}"
    answers += [admin.get(CHANNELS), admin.patch(path, {"enabled": False})]
    logged = AuditEvent.objects.filter(type="channel.changed").values_list("payload__data", flat=True)
    assert len(logged) == 2
    assert "93.184.215.14" in logged[0]
    for text in [*(one.content.decode() for one in answers), *logged, caplog.text]:
        assert "secret-path" not in text


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({**NEW, "url": "http://127.0.0.1/x"}, "url_refused"),
        ({**NEW, "url": "https://10.0.0.1/x"}, "url_refused"),
        ({**NEW, "url": "slack://x"}, "url_refused"),
        ({**NEW, "kind": "pager"}, "invalid"),
        ({**NEW, "events": ["everything"]}, "invalid"),
        ({**NEW, "name": "a\nb"}, "invalid"),
        ({**NEW, "secret": "x"}, "invalid"),
    ],
)
def test_what_does_not_fit_is_refused(admin, body, code):
    answer = admin.post(CHANNELS, body)
    assert (answer.status_code, answer.json()["code"]) == (400, code), answer.content
    assert not NotificationChannel.objects.exists()


def test_a_name_is_taken_once_and_twenty_are_enough(admin, workspace, other_workspace):
    admin.post(CHANNELS, NEW)
    again = admin.post(CHANNELS, NEW)
    assert (again.status_code, again.json()["code"]) == (409, "name_taken")
    for number in range(19):
        NotificationChannel.objects.create(workspace=workspace, name=f"{number}", kind="slack")
    assert admin.post(CHANNELS, {**NEW, "name": "one more"}).json()["code"] == "too_many_channels"


@pytest.mark.parametrize("role", [Role.MEMBER, Role.MANAGER, Role.AUDITOR])
def test_only_an_admin_sets_or_sees_them(workspace, client_of, role):
    row = NotificationChannel.objects.create(workspace=workspace, name="On call", kind="slack", url=URL)
    api, path = client_of(person(workspace, "somebody", role)), f"{CHANNELS}/{row.pk}"
    tries = [api.get(CHANNELS), api.post(CHANNELS, NEW), api.patch(path, {"enabled": False}), api.delete(path)]
    for answer in [*tries, api.post(f"{path}/test")]:
        assert (answer.status_code, answer.json()["code"]) == (403, "role_required")
    assert NotificationChannel.objects.get().enabled


def test_slack_gets_a_message_in_its_format(workspace, receiver):
    row = channel(workspace, receiver)
    put(workspace)
    delivery.deliver_due_sync()
    [came], item = receiver.received, OutboxItem.objects.get()
    body = json.loads(came.body)
    assert (came.method, came.headers["content-type"]) == ("POST", "application/json")
    assert came.headers["webhook-id"] == str(item.pk)
    assert "webhook-signature" not in came.headers
    assert body["text"] == "service_restart waits for a decision"
    header, facts, link, about = body["blocks"]
    assert header == {"type": "header", "text": {"type": "plain_text", "text": body["text"], "emoji": False}}
    for text in ("Risk\ndestructive", "Workspace\nHome"):
        assert {"type": "plain_text", "text": text, "emoji": False} in facts["fields"]
    page = f"https://countersign.example/approvals/{item.payload['approval_id']}/"
    words = "Look at it, and decide where you may"
    assert link["text"] == {"type": "mrkdwn", "text": f"<{page}|{words}>", "verbatim": True}
    assert about["elements"][0]["text"] == "Nothing is decided by opening the page."
    assert (item.topic, item.target, item.channel_id, item.status_code) == ("channel", "slack", row.pk, 204)


def test_teams_gets_an_adaptive_card(workspace, receiver):
    channel(workspace, receiver, "teams")
    receiver.replies = [Reply(202)]
    put(workspace)
    delivery.deliver_due_sync()
    [came] = receiver.received
    body = json.loads(came.body)
    [attachment] = body["attachments"]
    card = attachment["content"]
    assert (body["type"], attachment["contentType"]) == ("message", "application/vnd.microsoft.card.adaptive")
    assert (card["type"], card["version"]) == ("AdaptiveCard", "1.4")
    assert set(card) == {"$schema", "type", "version", "fallbackText", "body", "actions"}
    for block in card["body"]:
        assert set(block) == {"type", "inlines"}
        assert block["type"] == "RichTextBlock", "no element that knows markup"
        assert {run["type"] for run in block["inlines"]} == {"TextRun"}
    assert [action["type"] for action in card["actions"]] == ["Action.OpenUrl"]
    assert card["actions"][0]["url"].startswith("https://countersign.example/approvals/")
    assert OutboxItem.objects.get().done_at


@pytest.mark.parametrize("kind", ["slack", "teams"])
@pytest.mark.parametrize("type", ["approval.requested", "approval.ending", "approval.decided", "action.unknown"])
def test_what_a_model_wrote_is_inert_in_a_channel(kind, type):
    names = ("tool", "summary", "agent", "companion", "reason", "code")
    body = json.dumps(cards.compose(kind, type, told(**dict.fromkeys(names, HOSTILE)), NOW), ensure_ascii=False)
    assert "\u202e" not in body
    assert "://evil" not in body
    if kind == "slack":
        assert "<!" not in body
        assert body.count("<") == body.count("<http") <= 1, "the link is ours"
        texts = [block.get("text", {}) for block in json.loads(body)["blocks"]]
        assert all(HOSTILE[:4] not in text.get("text", "") for text in texts if text.get("type") == "mrkdwn")
    else:
        assert '"TextBlock"' not in body
        assert '"FactSet"' not in body
        assert HOSTILE[:10] not in json.loads(body)["attachments"][0]["content"]["fallbackText"]


def test_a_long_text_is_cut_where_slack_would_refuse_it():
    body = cards.compose("slack", "approval.requested", told(tool="<" * 500, summary="&" * 5_000), NOW)
    header, facts = body["blocks"][:2]
    assert len(header["text"]["text"]) <= 150
    assert header["text"]["text"].endswith("&lt;…"), "and no escape is cut in two"
    assert all(len(field["text"]) <= 2_000 for field in facts["fields"])
    assert len(facts["fields"]) <= 10


def test_a_channel_is_told_what_it_wants(desk, member, manager, workspace):
    for name, events, enabled in [("all", [], True), ("ends", ["approval.decided"], True), ("off", [], False)]:
        NotificationChannel.objects.create(workspace=workspace, name=name, kind="slack", events=events, enabled=enabled)

    def sent() -> list[tuple[str, str]]:
        return sorted(OutboxItem.objects.filter(topic="channel").values_list("target", "type"))

    asked = request(desk, member)
    assert sent() == [("all", "approval.requested")]
    approvals.decide(asked.pk, by=manager, decision=Decision.APPROVE)
    both = [("all", "approval.decided"), ("all", "approval.requested"), ("ends", "approval.decided")]
    assert sent() == both
    put(workspace, "action.finished")
    assert sent() == both, "what no channel is told"


def test_another_workspaces_channel_hears_nothing(desk, member, manager, other_workspace):
    NotificationChannel.objects.create(workspace=other_workspace, name="theirs", kind="slack")
    request(desk, member)
    assert not OutboxItem.objects.filter(topic="channel").exists()


@pytest.mark.parametrize("status", [302, 400, 404, 429, 500])
def test_a_channel_that_refuses_is_tried_again_with_the_same_message(workspace, receiver, status):
    channel(workspace, receiver)
    receiver.replies = [Reply(status, {"Location": receiver.url()}), Reply(200)]
    put(workspace)
    delivery.deliver_due_sync()
    assert NotificationChannel.objects.get().paused_until
    assert len(receiver.received) == 1
    due_now()
    delivery.deliver_due_sync()
    first, second = receiver.received
    assert (first.body, first.headers["webhook-id"]) == (second.body, second.headers["webhook-id"])
    row = NotificationChannel.objects.get()
    assert (row.failing_since, row.paused_until, row.enabled) == (None, None, True)


def test_a_channel_that_rests_after_a_failure_keeps_no_other_waiting(workspace, receiver):
    channel(workspace, receiver)
    NotificationChannel.objects.update(paused_until=Now() + timedelta(minutes=1))
    channel(workspace, receiver, "teams")
    put(workspace, emails=("a@example.org",))
    delivery.deliver_due_sync()
    assert sorted(OutboxItem.objects.filter(done_at=None).values_list("target", flat=True)) == ["slack"]


@pytest.mark.parametrize(("status", "long"), [(410, False), (500, True), (500, False)])
def test_a_channel_that_fails_for_long_or_is_gone_is_switched_off_and_admins_are_told(
    workspace, receiver, owner, member, status, long
):
    channel(workspace, receiver, failing_since=datetime.now(UTC) - patience.PATIENCE if long else None)
    receiver.replies = [Reply(status)]
    put(workspace)
    delivery.deliver_due_sync()
    off = status == 410 or long
    row = NotificationChannel.objects.get()
    assert row.enabled is not off
    alarms = OutboxItem.objects.filter(type="channel.disabled")
    assert list(alarms.values_list("target", flat=True)) == ([owner.user.email] if off else [])
    assert AuditEvent.objects.filter(type="channel.changed").exists() is off
    if off:
        assert alarms.get().payload["reason"] == row.disabled_reason != ""
        due_now()
        put(workspace)
        delivery.deliver_due_sync()
        assert len(receiver.received) == 1, "nothing more is sent there"


def test_a_channel_that_was_changed_is_not_switched_off_for_what_its_earlier_address_answered(workspace, receiver):
    made = channel(workspace, receiver)
    put(workspace)
    [sent] = outbox.claim(5)
    made.save()
    outbox.settle(sent, outbox.Outcome(ok=False, status_code=410, final=True, gone=True))
    made.refresh_from_db()
    assert (made.enabled, made.failing_since) == (True, None)
    assert not OutboxItem.objects.filter(type="channel.disabled").exists()


def test_an_address_that_is_not_public_any_more_is_refused_when_it_is_sent_to(workspace, receiver, settings):
    settings.WEBHOOK_PRIVATE_ADDRESSES = ()
    channel(workspace, receiver)
    put(workspace)
    delivery.deliver_due_sync()
    assert not receiver.received
    assert "not public" in OutboxItem.objects.get().error


def test_what_waits_for_a_channel_that_was_deleted_is_given_up(workspace, receiver):
    channel(workspace, receiver)
    put(workspace)
    NotificationChannel.objects.all().delete()
    delivery.deliver_due_sync()
    item = OutboxItem.objects.get()
    assert item.failed_at
    assert item.error == "The channel is switched off."
    assert not receiver.received


def test_a_test_is_sent_through_the_outbox(admin, owner, workspace, receiver):
    row = channel(workspace, receiver)
    answer = admin.post(f"{CHANNELS}/{row.pk}/test")
    assert answer.status_code == 202
    item = OutboxItem.objects.get()
    assert answer.json() == {"delivery_id": str(item.pk)}
    delivery.deliver_due_sync()
    assert json.loads(receiver.received[0].body)["text"] == "This is a test"
    NotificationChannel.objects.update(enabled=False)
    assert admin.post(f"{CHANNELS}/{row.pk}/test").json()["code"] == "channel_off"


def test_preferences_are_ones_own_and_whole(api, member, client_of, manager):
    default = api.get(PREFERENCES).json()
    assert {one["event"]: (one["by"], one["when"]) for one in default["events"]}["approval.waiting"] == (
        "email", "at_once",
    )  # fmt: skip
    wanted = {
        "events": [{"event": "approval.waiting", "when": "hourly"}, {"event": "security.key", "by": "nothing"}],
        "time_zone": "Europe/Berlin",
        "daily_time": "07:30",
        "quiet_hours": {"from": "22:00", "until": "07:00"},
        "urgent_at_once": True,
    }
    answer = api.put(PREFERENCES, wanted)
    assert answer.status_code == 200, answer.content
    read = api.get(PREFERENCES).json()
    assert read == answer.json()
    assert {one["event"]: (one["by"], one["when"]) for one in read["events"]}["approval.waiting"] == ("email", "hourly")
    assert {name: read[name] for name in ("time_zone", "daily_time", "quiet_hours", "urgent_at_once")} == {
        name: wanted[name] for name in ("time_zone", "daily_time", "quiet_hours", "urgent_at_once")
    }
    assert client_of(manager).get(PREFERENCES).json() == default
    api.put(PREFERENCES, {"events": []})
    assert api.get(PREFERENCES).json() == default
    assert AuditEvent.objects.filter(type="notifications.changed", actor_id=member.user.pk).count() == 2


@pytest.mark.parametrize(
    "body",
    [
        {}, {"events": [{"event": "nothing.such"}]}, {"events": [{"event": "approval.waiting", "by": "pigeon"}]},
        {"events": [{"event": "approval.waiting"}, {"event": "approval.waiting"}]}, {"events": {}},
        {"events": [{"event": "approval.waiting", "more": 1}]}, {"events": [], "time_zone": "Mars/Olympus"},
        {"events": [], "time_zone": "../etc/passwd"}, {"events": [], "time_zone": "Europe"},
        {"events": [], "time_zone": ""}, {"events": [], "daily_time": "25:00"}, {"events": [], "daily_time": "8:00"},
        {"events": [], "quiet_hours": {"from": "22:00"}}, {"events": [], "urgent_at_once": "yes"},
        {"events": [], "quiet_hours": {"from": "22:00", "until": "22:00"}},
        {"events": [], "quiet_hours": {"from": "22:00", "until": "24:00"}},
    ],
)  # fmt: skip
def test_preferences_that_do_not_fit_are_refused(api, body):
    answer = api.put(PREFERENCES, body)
    assert answer.status_code == 400, answer.content
    assert answer.json()["errors"]


def test_a_key_that_another_was_shown_silences_nobody(workspace, member, owner, client_of):
    api = client_of(member)
    member.user.keys.update(created_by=owner.user)
    answer = api.put(PREFERENCES, {"events": [{"event": "security.key", "by": "nothing"}]})
    assert (answer.status_code, answer.json()["code"]) == (403, "key_of_another")


def test_a_list_costs_the_same_however_many_there_are(admin, workspace, django_assert_max_num_queries):
    for number in range(15):
        NotificationChannel.objects.create(workspace=workspace, name=f"{number}", kind="slack", url=URL)
    admin.get(CHANNELS)
    with django_assert_max_num_queries(3):
        assert len(admin.get(CHANNELS).json()["channels"]) == 15
