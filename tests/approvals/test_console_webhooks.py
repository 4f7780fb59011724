"""In the console the webhook is set, tried, read and repeated, and its secret made anew."""

import html
import json
import re

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext

from approvals import delivery
from approvals.models import AuditEvent, OutboxItem, WebhookEndpoint
from approvals.services import posting, redelivery, webhooks
from core.publicnet import Endpoint
from tests.approvals.telling import endpoint
from tests.servers.receiver import Receiver, Reply
from tests.servers.threads import bridged

pytestmark = pytest.mark.django_db
URL = "https://93.184.215.14/hook"
TRANSPORT = {"host", "accept", "accept-encoding", "content-length", "connection"}  # which every request of HTTP has


@pytest.fixture
def admin(owner):
    client = Client(headers={"Accept": "text/html"})
    client.force_login(owner.user)
    return client


@pytest.fixture(autouse=True)
def _threads():
    with bridged():
        yield


def secret_of(answer) -> str:
    return re.search(r'<code id="secret">([^<]+)</code>', answer.content.decode())[1]


def test_the_signing_secret_is_shown_when_it_is_made_and_never_again(admin):
    first = admin.post("/console/webhooks/change/", {"url": URL, "enabled": "on"})
    secret = secret_of(first)
    assert secret == WebhookEndpoint.objects.get().secret
    again = admin.post("/console/webhooks/change/", {"url": URL, "events": ["approval.decided"], "enabled": "on"})
    assert again["Location"] == "/console/webhooks/"
    new = secret_of(admin.post("/console/webhooks/secret/"))
    assert new != secret
    assert WebhookEndpoint.objects.get().events == ["approval.decided"], "a new secret changes nothing else"
    for path in ("", "change/", "secret/", "test/"):
        text = admin.get(f"/console/webhooks/{path}").content.decode()
        assert secret not in text
        assert new not in text


@pytest.mark.parametrize("url", ["http://127.0.0.1/", "http://10.0.0.1/", "nothing", "javascript:alert(1)", ""])
def test_an_address_that_is_not_public_is_refused_at_its_field(admin, url):
    answer = admin.post("/console/webhooks/change/", {"url": url, "enabled": "on"})
    assert (answer.status_code, b'id="id_url_error"' in answer.content) == (400, True)


def test_without_a_webhook_nothing_is_tried(admin):
    for path in ("test/", "secret/"):
        assert admin.post(f"/console/webhooks/{path}").status_code == 409


@pytest.mark.django_db(transaction=True)
def test_a_test_is_delivered_signed_and_a_failure_is_repeated_under_its_id(admin, workspace, settings):
    with Receiver(Reply(500), Reply(204)) as receiver:
        settings.WEBHOOK_PRIVATE_ADDRESSES = (Endpoint("127.0.0.1", receiver.port),)
        endpoint(workspace, f"http://127.0.0.1:{receiver.port}/hook", events=["approval.decided"])
        page = admin.post("/console/webhooks/test/")["Location"]
        assert "data-pending" in admin.get(page).content.decode()
        delivery.deliver_due_sync()
        failed = admin.get(page).content.decode()
        assert "The receiver answered 500." in failed
        assert admin.post(f"{page}retry/")["Location"] == page
        delivery.deliver_due_sync()
        assert "delivered" in admin.get(page).content.decode()
        first, second = receiver.received
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == page.split("/")[3]
    assert json.loads(first.body)["type"] == redelivery.TEST
    assert first.headers["webhook-signature"].startswith("v1,")
    shown = html.unescape(re.sub("<[^>]+>", "", failed))
    assert all(name in shown.lower() for name in first.headers if name not in TRANSPORT), first.headers
    for name in ("content-type", "user-agent", "webhook-id"):
        assert first.headers[name] in shown
    assert all(f'"{name}": ' in shown for name in json.loads(first.body)), "the whole body, not its data alone"
    assert json.loads(first.body)["timestamp"] in shown
    assert first.headers["webhook-signature"] not in shown
    late = admin.post(f"{page}retry/", follow=True).content.decode()
    assert "It was delivered" in late


def test_a_delivery_under_way_is_not_sent_beside_itself(admin, workspace, owner):
    endpoint(workspace, URL)
    item = OutboxItem.objects.create(
        workspace=workspace,
        topic=posting.WEBHOOK,
        type="approval.requested",
        attempts=1,
        claimed_until="2999-01-01T00:00Z",
    )
    with pytest.raises(redelivery.NotToRetry):
        redelivery.retry(item, by=owner)
    OutboxItem.objects.update(claimed_until=None, failed_at=Now())
    redelivery.retry(item, by=owner)
    assert OutboxItem.objects.get().failed_at is None


def test_payloads_are_veiled_and_e_mails_are_nobodys_to_read_here(admin, workspace):
    item = OutboxItem.objects.create(
        workspace=workspace, topic=posting.WEBHOOK, type="action.finished", payload={"password": "canary-0123456789"}
    )
    text = admin.get(f"/console/webhooks/{item.pk}/").content.decode()
    assert "canary-0123456789" not in text
    assert "hmac:" in text
    letter = OutboxItem.objects.create(workspace=workspace, topic=posting.EMAIL, type="approval.requested")
    assert admin.get(f"/console/webhooks/{letter.pk}/").status_code == 404


def test_a_new_secret_is_made_once_however_often_the_page_is_sent(admin):
    admin.post("/console/webhooks/change/", {"url": URL, "enabled": "on"})
    form = {"once": once_of(admin.get("/console/webhooks/secret/"))}
    secret = secret_of(admin.post("/console/webhooks/secret/", form))
    again = admin.post("/console/webhooks/secret/", form, follow=True)
    assert again.redirect_chain == [("/console/webhooks/", 302)]
    assert "It was made already" in again.text
    assert secret == WebhookEndpoint.objects.get().secret
    other = {"once": once_of(admin.get("/console/webhooks/secret/"))}
    assert secret_of(admin.post("/console/webhooks/secret/", other)) != secret


def test_what_was_refused_is_not_done_and_can_be_sent_again(admin, monkeypatch):
    form = {"once": "of-this-page", "url": URL, "enabled": "on"}
    with monkeypatch.context() as patch:
        patch.setattr(webhooks.guarded, "check", refusing)
        assert admin.post("/console/webhooks/change/", form).status_code == 400
    assert secret_of(admin.post("/console/webhooks/change/", form)) == WebhookEndpoint.objects.get().secret


def test_a_secret_that_leaked_is_made_anew_where_the_receivers_name_leads_nowhere(admin, owner, monkeypatch):
    admin.post("/console/webhooks/change/", {"url": URL, "events": ["approval.decided"]})
    before = WebhookEndpoint.objects.get()
    monkeypatch.setattr(webhooks.guarded, "check", refusing)
    new = secret_of(admin.post("/console/webhooks/secret/"))
    after = WebhookEndpoint.objects.get()
    assert before.secret != new == after.secret
    assert (after.url, after.events, after.enabled) == (URL, ["approval.decided"], False), "all else stays"
    told = (
        AuditEvent.objects.filter(type="webhook.changed").order_by("pk").values_list("payload__data", flat=True).last()
    )
    assert "new_secret" in told
    assert new not in told


def refusing(url, **_):
    raise webhooks.guarded.UrlRefused("Its name leads nowhere.")


def once_of(answer) -> str:
    return re.search(r'name="once" value="([^"]+)"', answer.text)[1]


def test_deliveries_are_turned_by_their_ids_and_chosen_by_their_event(admin, workspace):
    types = ["approval.requested"] * 27 + [redelivery.TEST] * 2
    rows = OutboxItem.objects.bulk_create(
        [OutboxItem(workspace=workspace, topic=posting.WEBHOOK, type=type) for type in types]
    )
    with CaptureQueriesContext(connection) as queries:
        first = admin.get("/console/webhooks/").text
    told = [query["sql"] for query in queries if "outboxitem" in query["sql"]]
    assert len(told) == 1
    assert not re.search("COUNT|OFFSET", told[0])
    older = re.search(r'href="([^"]+)" rel="next"', first)[1].replace("&amp;", "&")
    second = admin.get(f"/console/webhooks/{older}").text
    shown = [re.findall(r"/console/webhooks/([0-9a-f-]{36})/\"", text) for text in (first, second)]
    assert [*shown[0], *shown[1]] == [str(row.pk) for row in reversed(rows)]
    assert ">Newest<" in second
    assert 'rel="next"' not in second
    tests = admin.get("/console/webhooks/", {"type": redelivery.TEST}).text
    assert tests.count("<b>webhook.test</b>") == 2
    assert "<b>approval.requested</b>" not in tests
    assert "There is nothing here" in admin.get("/console/webhooks/", {"type": "action.finished"}).text
    for wrong in ({"type": "approval"}, {"before": "x"}, {"type": "\0"}):
        assert admin.get("/console/webhooks/", wrong).status_code == 400
