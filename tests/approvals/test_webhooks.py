"""An admin says where the workspace is told, sees the secret once, and what was delivered; nobody else may."""

import pytest
from django.db.models.functions import Now

from accounts.models import Role
from approvals.models import AuditEvent, OutboxItem, WebhookEndpoint
from core import guarded
from tests.approvals.telling import endpoint, put
from tests.cast import person

CONFIG, DELIVERIES = "/v1/ai/webhooks/config", "/v1/ai/webhooks/deliveries"
URL = "https://93.184.215.14/hook"


@pytest.fixture
def admin(owner, client_of):
    return client_of(owner)


def test_before_it_is_set_there_is_none(admin):
    told = admin.get(CONFIG).json()
    assert (told["url"], told["events"], told["enabled"], told["secret"]) == (None, [], False, None)


def test_the_first_answer_holds_the_secret_and_no_other_does(admin):
    first = admin.put(CONFIG, {"url": URL, "events": ["approval.requested"]})
    assert first.status_code == 200
    assert first.json()["secret"].startswith("whsec_")
    assert (first.json()["url"], first.json()["events"], first.json()["enabled"]) == (URL, ["approval.requested"], True)
    again, read = admin.put(CONFIG, {"url": URL}), admin.get(CONFIG)
    assert again.json()["secret"] is read.json()["secret"] is None
    assert again.json()["events"] == [], "what is left out has its default"
    assert first.json()["secret"] == WebhookEndpoint.objects.get().secret
    assert first.json()["secret"] not in read.content.decode()


def test_a_new_secret_is_made_where_that_is_asked_for(admin):
    first = admin.put(CONFIG, {"url": URL}).json()["secret"]
    second = admin.put(CONFIG, {"url": URL, "rotate_secret": True}).json()["secret"]
    assert second.startswith("whsec_")
    assert first != second == WebhookEndpoint.objects.get().secret


def test_setting_it_again_switches_it_on_and_forgets_its_failures(admin, workspace):
    endpoint(workspace, URL, enabled=False, disabled_reason="It failed.", failing_since=Now(), paused_until=Now())
    assert admin.get(CONFIG).json()["disabled_reason"] == "It failed."
    told = admin.put(CONFIG, {"url": URL}).json()
    assert (told["enabled"], told["disabled_reason"], told["failing_since"]) == (True, "", None)
    assert WebhookEndpoint.objects.get().paused_until is None
    assert admin.put(CONFIG, {"url": URL, "enabled": False}).json()["enabled"] is False


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/", "http://localhost/", "http://169.254.169.254/latest/meta-data", "http://[::1]/",
        "http://2130706433/", "http://10.1.2.3/", "https://example.org:6379/", "ftp://93.184.215.14/", "not an address",
        "http://user:pass@93.184.215.14/", "http://93.184.215.14:8000/", "javascript:alert(1)",
    ],
)  # fmt: skip
def test_an_address_that_is_not_public_is_refused(admin, url, monkeypatch):
    look_up = guarded.lookup
    monkeypatch.setattr(
        guarded, "lookup", lambda host, port: ["93.184.215.14"] if host == "example.org" else look_up(host, port)
    )
    answer = admin.put(CONFIG, {"url": url})
    assert (answer.status_code, answer.json()["code"]) == (400, "url_refused")
    assert answer.json()["errors"][0]["field"] == "url"
    assert not WebhookEndpoint.objects.exists()
    assert not AuditEvent.objects.filter(type="webhook.changed").exists()


@pytest.mark.parametrize(
    "body",
    [
        {}, {"url": URL, "events": ["approval.everything"]}, {"url": URL, "events": "approval.requested"},
        {"url": URL, "secret": "whsec_mine"}, {"url": URL, "enabled": "true"}, {"url": None}, {"url": URL + "x" * 500},
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(admin, body):
    assert admin.put(CONFIG, body).status_code == 400
    assert not WebhookEndpoint.objects.exists()


@pytest.mark.parametrize("role", [Role.MEMBER, Role.MANAGER, Role.AUDITOR])
def test_only_an_admin_sets_or_sees_it(workspace, client_of, role):
    endpoint(workspace, URL)
    api = client_of(person(workspace, "somebody", role))
    for answer in (api.get(CONFIG), api.put(CONFIG, {"url": "https://93.184.215.15/"})):
        assert (answer.status_code, answer.json()["code"]) == (403, "role_required")
    assert WebhookEndpoint.objects.get().url == URL


def test_each_workspace_has_its_own(admin, other_workspace, client_of):
    admin.put(CONFIG, {"url": URL})
    other = client_of(person(other_workspace, "boss", Role.ADMIN))
    assert other.get(CONFIG).json()["url"] is None
    assert other.put(CONFIG, {"url": "https://93.184.215.15/"}).status_code == 200
    assert admin.get(CONFIG).json()["url"] == URL


def test_every_change_is_in_the_audit_log_without_the_secret_and_the_path(admin, owner):
    url = "https://93.184.215.14/services/T000/B000/secret-path"
    secret = admin.put(CONFIG, {"url": url}).json()["secret"]
    admin.put(CONFIG, {"url": url, "enabled": False})
    events = AuditEvent.objects.filter(type="webhook.changed").select_related("payload").order_by("pk")
    assert [event.actor_id for event in events] == [owner.user.pk] * 2
    texts = [event.payload.data for event in events]
    assert '"host":"93.184.215.14"' in texts[0]
    assert '"enabled":false' in texts[1]
    assert all("secret-path" not in text and secret not in text for text in texts)


def test_deliveries_are_listed_newest_first_page_by_page(admin, workspace, other_workspace):
    for place in (workspace, other_workspace):
        endpoint(place, URL)
        for _ in range(5):
            put(place, emails=("a@example.org",))
    items = [
        str(pk) for pk in OutboxItem.objects.filter(workspace=workspace, topic="webhook").values_list("pk", flat=True)
    ]
    seen, cursor = [], None
    for _ in range(3):
        page = admin.get(DELIVERIES, {"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        seen += [row["id"] for row in page["deliveries"]]
        cursor = page["next_cursor"]
    assert cursor is None
    assert seen == sorted(items, reverse=True)


def test_a_delivery_tells_how_it_stands(admin, workspace):
    endpoint(workspace, URL)
    for _ in range(3):
        put(workspace)
    failed, done, _ = OutboxItem.objects.order_by("pk")
    OutboxItem.objects.filter(pk=failed.pk).update(failed_at=Now(), attempts=10, status_code=500, error="It failed.")
    OutboxItem.objects.filter(pk=done.pk).update(done_at=Now(), attempts=2, status_code=204)
    third, second, first = admin.get(DELIVERIES).json()["deliveries"]
    assert (third["status"], third["attempts"], third["delivered_at"]) == ("pending", 0, None)
    assert third["next_attempt_at"]
    assert (second["status"], second["status_code"], second["next_attempt_at"]) == ("delivered", 204, None)
    assert second["delivered_at"]
    assert (first["status"], first["error"], first["next_attempt_at"]) == ("failed", "It failed.", None)
    assert set(first) == {
        "id", "type", "status", "attempts", "status_code", "error", "created_at", "delivered_at", "next_attempt_at",
    }  # fmt: skip


@pytest.mark.parametrize(("role", "status"), [(Role.MANAGER, 200), (Role.AUDITOR, 200), (Role.MEMBER, 403)])
def test_those_who_run_the_workspace_see_deliveries(workspace, client_of, role, status):
    assert client_of(person(workspace, "somebody", role)).get(DELIVERIES).status_code == status


def test_a_list_costs_the_same_however_many_there_are(admin, workspace, django_assert_max_num_queries):
    endpoint(workspace, URL)
    for _ in range(30):
        put(workspace)
    admin.get(DELIVERIES)  # a key's first use of the day is told to the audit log
    with django_assert_max_num_queries(3):
        assert len(admin.get(DELIVERIES, {"limit": 30}).json()["deliveries"]) == 30
