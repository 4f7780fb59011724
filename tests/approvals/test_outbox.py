"""What is told outside is stored with what it tells of, delivered at least once, and given up after three days."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from ipaddress import ip_network

import pytest
from django.core import mail
from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now
from standardwebhooks import Webhook

from approvals import delivery
from approvals.models import AuditEvent, OutboxItem, WebhookEndpoint
from approvals.services import outbox, patience
from core import queue
from tests.approvals.telling import TYPE, due_now, endpoint, put, told
from tests.servers.receiver import Receiver, Reply, receiving
from tests.servers.threads import bridged

LOOPBACK = (ip_network("127.0.0.0/8"),)


@pytest.fixture(autouse=True)
def _threads():
    with bridged():
        yield


@pytest.fixture
def receiver():
    with receiving() as server:
        yield server


@pytest.fixture
def hook(transactional_db, workspace, receiver: Receiver, settings) -> WebhookEndpoint:
    """The workspace's webhook, at a receiver on this machine, as an operator may permit."""
    settings.WEBHOOK_PRIVATE_ADDRESSES = LOOPBACK
    return endpoint(workspace, receiver.url())


def only() -> OutboxItem:
    return OutboxItem.objects.get()


@pytest.mark.parametrize(
    ("options", "wanted"),
    [({}, True), ({"events": [TYPE]}, True), ({"events": ["action.finished"]}, False), ({"enabled": False}, False)],
)
def test_the_webhook_is_told_what_it_wants(workspace, options, wanted):
    endpoint(workspace, "https://example.org/", **options)
    put(workspace)
    assert OutboxItem.objects.exists() is wanted


def test_without_a_webhook_and_an_address_nothing_is_stored(workspace, other_workspace):
    endpoint(other_workspace, "https://example.org/")
    put(workspace)
    assert not OutboxItem.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_it_belongs_into_a_transaction_and_goes_with_it(workspace, monkeypatch):
    rung = []
    monkeypatch.setattr(queue, "ring", lambda name, row_id: rung.append(name))
    with pytest.raises(transaction.TransactionManagementError):
        outbox.put(workspace.pk, TYPE, told())
    endpoint(workspace, "https://example.org/")
    with transaction.atomic():
        outbox.put(workspace.pk, TYPE, told())
        transaction.set_rollback(True)
    assert not OutboxItem.objects.exists()
    assert rung == []
    put(workspace)
    assert rung == [outbox.DELIVER]


def test_a_webhook_is_signed_as_standard_webhooks_has_it(hook, receiver, workspace):
    put(workspace)
    assert delivery.deliver_due_sync() == 1
    [request], item = receiver.received, only()
    assert (request.method, request.headers["content-type"]) == ("POST", "application/json")
    assert request.headers["webhook-id"] == str(item.pk)
    body = Webhook(hook.secret).verify(request.body, request.headers)
    assert set(body) == {"type", "timestamp", "data"}
    assert (body["type"], body["data"]) == (TYPE, item.payload)
    assert body["timestamp"].endswith("Z")
    assert str(hook.secret) not in str(request)
    assert item.done_at
    assert (item.attempts, item.status_code, item.error) == (1, 204, "")
    assert delivery.deliver_due_sync() == 0


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_success_settles_it(hook, receiver, workspace, status):
    receiver.replies = [Reply(status)]
    put(workspace)
    delivery.deliver_due_sync()
    assert only().done_at


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 404, 429, 500, 503])
def test_anything_else_is_tried_again_later_under_the_same_id(hook, receiver, workspace, status):
    receiver.replies = [Reply(status, {"Location": receiver.url()}), Reply(200)]
    put(workspace)
    delivery.deliver_due_sync()
    item = only()
    assert (item.done_at, item.failed_at, item.status_code) == (None, None, status)
    assert str(status) in item.error
    assert timedelta(seconds=5) <= item.not_before - item.created_at < timedelta(minutes=2)
    assert len(receiver.received) == 1, "and not at once"
    due_now()
    delivery.deliver_due_sync()
    first, second = receiver.received
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    Webhook(hook.secret).verify(second.body, second.headers)
    assert only().done_at


def test_each_attempt_is_signed_for_its_own_time(hook, receiver, workspace, monkeypatch):
    receiver.replies = [Reply(500)]
    put(workspace)
    delivery.deliver_due_sync()
    later = delivery.time.time() + 3600
    monkeypatch.setattr(delivery.time, "time", lambda: later)
    due_now()
    delivery.deliver_due_sync()
    first, second = receiver.received
    assert int(second.headers["webhook-timestamp"]) == int(later) > int(first.headers["webhook-timestamp"])
    assert first.headers["webhook-signature"] != second.headers["webhook-signature"]


@pytest.mark.parametrize(
    ("reply", "words"),
    [(Reply(cut=True), "closed"), (Reply(hold=threading.Event()), "within")],
    ids=["it closes", "it is silent"],
)
def test_no_answer_is_a_failure_too(hook, receiver, workspace, reply, words, monkeypatch):
    monkeypatch.setattr(delivery, "SECONDS", 0.3)
    receiver.replies = [reply]
    put(workspace)
    delivery.deliver_due_sync()
    item = only()
    assert (item.status_code, item.done_at, item.failed_at) == (None, None, None)
    assert words in item.error
    assert "127.0.0.1" not in item.error


def test_an_address_that_is_not_public_any_more_is_refused_when_it_is_sent_to(hook, receiver, workspace, settings):
    settings.WEBHOOK_PRIVATE_ADDRESSES = ()
    put(workspace)
    delivery.deliver_due_sync()
    assert not receiver.received
    assert "not public" in only().error
    assert only().not_before > only().created_at + timedelta(seconds=4)


@pytest.mark.parametrize(
    ("header", "seconds"), [("120", 120), ("1", 5), ("999999999", 86_400), ("nonsense", 5), ("-5", 5), ("nan", 5)]
)
def test_a_receiver_that_says_when_to_come_back_is_believed(hook, receiver, workspace, header, seconds):
    receiver.replies = [Reply(429, {"Retry-After": header})]
    put(workspace)
    delivery.deliver_due_sync()
    wait = (only().not_before - only().created_at).total_seconds()
    assert seconds <= wait <= seconds * (1 + outbox.JITTER) + 60


def test_waits_grow_until_it_is_given_up_after_ten_attempts_in_three_days(hook, receiver, workspace):
    receiver.replies = [Reply(500)]
    put(workspace)
    waits = []
    for _ in range(9):
        delivery.deliver_due_sync()
        with connection.cursor() as cursor:
            cursor.execute("SELECT extract(epoch FROM not_before - now()) FROM approvals_outboxitem")
            waits.append(float(cursor.fetchone()[0]))
        due_now()
    assert waits == sorted(waits)
    assert 3 * 86_400 < sum(waits) < 4 * 86_400
    assert waits[0] < 7
    assert waits[-1] > 86_000
    assert only().failed_at is None
    delivery.deliver_due_sync()
    item = only()
    assert item.failed_at
    assert (item.attempts, item.status_code) == (10, 500)
    due_now()
    assert delivery.deliver_due_sync() == 0


def test_gone_ends_the_delivery_and_the_webhook(hook, receiver, workspace):
    receiver.replies = [Reply(410)]
    put(workspace)
    delivery.deliver_due_sync()
    hook.refresh_from_db()
    assert (hook.enabled, hook.disabled_reason) == (False, patience.GONE)
    assert only().failed_at
    assert AuditEvent.objects.filter(type="webhook.changed", actor_kind="system", target_id=hook.pk).count() == 1
    put(workspace)
    assert OutboxItem.objects.count() == 1, "nothing is stored for one that is off"


def test_what_waits_while_the_webhook_is_switched_off_is_given_up(hook, receiver, workspace):
    put(workspace)
    WebhookEndpoint.objects.update(enabled=False)
    delivery.deliver_due_sync()
    assert only().failed_at
    assert "switched off" in only().error
    assert not receiver.received


def test_a_webhook_that_fails_for_days_is_switched_off_and_one_success_forgets_all(hook, receiver, workspace):
    receiver.replies = [Reply(500), Reply(500), Reply(200), Reply(500), Reply(500)]

    def attempt() -> WebhookEndpoint:
        put(workspace)
        due_now()
        OutboxItem.objects.filter(attempts__gt=0).delete()
        delivery.deliver_due_sync()
        return WebhookEndpoint.objects.get()

    def days_pass() -> None:
        WebhookEndpoint.objects.update(failing_since=F("failing_since") - timedelta(days=4))

    since = attempt().failing_since
    assert since
    days_pass()
    assert attempt().enabled, "four days are no five"
    assert attempt().failing_since is None
    attempt()
    days_pass()
    days_pass()
    off = attempt()
    assert (off.enabled, off.disabled_reason) == (False, patience.FAILING)
    assert AuditEvent.objects.filter(type="webhook.changed").count() == 1


def test_after_a_failure_the_webhook_is_left_alone_for_a_moment(hook, receiver, workspace, other_workspace):
    receiver.replies = [Reply(500), Reply(200)]
    put(workspace)
    delivery.deliver_due_sync()
    put(workspace)
    put(workspace, emails=("a@example.org",))
    endpoint(other_workspace, receiver.url())
    put(other_workspace)
    delivery.deliver_due_sync()
    assert len(receiver.received) == 2, "the other workspace's goes out"
    assert len(mail.outbox) == 1, "and so does mail"
    due_now()
    delivery.deliver_due_sync()
    assert not OutboxItem.objects.filter(done_at=None).exists()


def test_two_workers_share_the_work_and_send_nothing_twice(hook, receiver, workspace):
    for _ in range(60):
        put(workspace)

    def work(_: int) -> int:
        try:
            return delivery.deliver_due_sync()
        finally:
            connection.close()

    with ThreadPoolExecutor(3) as pool:
        assert sum(pool.map(work, range(3))) == 60
    sent = [request.headers["webhook-id"] for request in receiver.received]
    assert len(sent) == len(set(sent)) == 60
    assert not OutboxItem.objects.filter(done_at=None).exists()


def test_what_a_dead_worker_had_claimed_is_sent_once_its_claim_lapses(hook, receiver, workspace):
    put(workspace)
    [lost] = outbox.claim(5)
    assert outbox.claim(5) == []
    OutboxItem.objects.update(claimed_until=Now())
    delivery.deliver_due_sync()
    assert only().done_at
    assert only().attempts == 2
    outbox.settle(lost, outbox.Outcome(ok=False, error="too late"))
    assert only().done_at
    assert only().error == ""


def test_a_late_answer_to_an_earlier_attempt_does_not_settle_the_later_one(hook, workspace):
    put(workspace)
    [first] = outbox.claim(5)
    OutboxItem.objects.update(claimed_until=Now())
    [second] = outbox.claim(5)
    outbox.settle(first, outbox.Outcome(ok=False, error="first", final=True))
    assert only().failed_at is None
    outbox.settle(second, outbox.Outcome(ok=True, status_code=200))
    assert only().done_at


def test_what_an_earlier_address_answered_says_nothing_of_the_one_that_took_its_place(hook, receiver, workspace):
    put(workspace)
    [sent] = outbox.claim(5)
    hook.url = f"{receiver.url()}/new"
    hook.save()
    outbox.settle(sent, outbox.Outcome(ok=False, status_code=410, final=True, gone=True))
    hook.refresh_from_db()
    assert (hook.enabled, hook.failing_since) == (True, None)
    assert only().failed_at, "but of the delivery it does"
    put(workspace)
    [sent] = outbox.claim(5)
    outbox.settle(sent, outbox.Outcome(ok=False, status_code=410, final=True, gone=True))
    hook.refresh_from_db()
    assert not hook.enabled


async def test_slow_receivers_hold_up_neither_the_loop_nor_the_others(hook, receiver, workspace):
    slow = threading.Event()
    receiver.replies = [Reply(hold=slow), Reply(200)]
    await delivery.bridge.in_thread(put, workspace)
    assert await delivery.deliver_due() == 1
    await delivery.bridge.in_thread(put, workspace)
    assert await delivery.deliver_due() == 1
    done = OutboxItem.objects.exclude(done_at=None)
    while not await delivery.bridge.in_thread(done.count):
        pass
    assert await delivery.bridge.in_thread(done.count) == 1
    slow.set()
    await delivery.postman().idle()
    assert await delivery.bridge.in_thread(done.count) == 2


async def test_more_than_there_is_room_for_is_delivered_by_one_ring(hook, receiver, workspace):
    for _ in range(45):
        await delivery.bridge.in_thread(put, workspace)
    assert await delivery.deliver_due() == delivery.SLOTS
    await delivery.postman().idle()
    assert len(receiver.received) == 45


async def test_what_is_not_done_when_the_worker_stops_is_left_to_another(hook, receiver, workspace):
    slow = threading.Event()
    receiver.replies = [Reply(hold=slow)]
    await delivery.bridge.in_thread(put, workspace)
    await delivery.deliver_due()
    await delivery.drain(0.05)
    item = await delivery.bridge.in_thread(only)
    assert item.done_at is None
    assert item.claimed_until is not None
    await delivery.bridge.in_thread(put, workspace)
    assert await delivery.deliver_due() == 0, "and nothing more is begun"
    slow.set()
    await delivery.drain(10)


def test_what_was_settled_long_ago_is_dropped(workspace):
    for done, old in [(True, True), (True, False), (False, True)]:
        item = OutboxItem.objects.create(workspace=workspace, topic="webhook", type=TYPE)
        OutboxItem.objects.filter(pk=item.pk).update(
            done_at=Now() if done else None, created_at=Now() - timedelta(days=31 if old else 29)
        )
    assert outbox.prune() == 1
    assert outbox.prune() == 0
    assert OutboxItem.objects.count() == 2


def test_a_payload_that_holds_anything_arrives_as_it_was(hook, receiver, workspace):
    strange = '\u2028 ünïcode 🙂 </script> \\ " \r\n'
    put(workspace, summary=strange)
    delivery.deliver_due_sync()
    assert json.loads(receiver.received[0].body)["data"]["summary"] == strange
