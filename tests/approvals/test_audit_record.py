"""What is recorded: once, with the change, in order, and without secrets."""

import json
import uuid
from datetime import datetime, timedelta, timezone

import pytest
from django.db import DatabaseError, connection, transaction

from accounts.models import Workspace
from approvals.models import AuditEvent, AuditPayload, AuditUnsealed
from approvals.services import audit
from core import ledger
from core.sealed import Secret


def entry(workspace, **given):
    return audit.Entry(**{"type": "tool.enabled", "workspace_id": workspace.pk, "who": audit.SYSTEM, **given})


def recorded(workspace, **data):
    """The payload of an event with this data."""
    audit.record(entry(workspace, data=data))
    return json.loads(AuditEvent.objects.latest("pk").payload.data)


def test_an_event_tells_who_did_what_and_where_it_came_from(workspace, manager):
    target = uuid.uuid4()
    with ledger.came_from(ip="192.0.2.1", request_id="r-1"):
        audit.record(
            entry(workspace, who=audit.person(manager), target=("tool", target), data={"before": False, "after": True})
        )
    event = AuditEvent.objects.get()
    assert (event.type, event.actor_kind, event.actor_id) == ("tool.enabled", "person", manager.user.pk)
    assert (event.person_id, event.target_kind, event.target_id) == (manager.user.pk, "tool", target)
    assert json.loads(event.payload.data) == {
        "actor": manager.user.email,
        "ip": "192.0.2.1",
        "request_id": "r-1",
        "before": False,
        "after": True,
    }


def test_what_an_agent_did_names_the_agent_and_the_person(workspace, member):
    agent = uuid.uuid4()
    audit.record(entry(workspace, type="action.started", who=audit.agent(agent, member.user.pk, "devops")))
    event = AuditEvent.objects.get()
    assert (event.actor_kind, event.agent_id, event.person_id) == ("agent", agent, member.user.pk)


def test_events_of_one_statement_keep_their_order(workspace):
    audit.record(*(entry(workspace, data={"n": n}) for n in range(50)))
    audit.record(entry(workspace, data={"n": 50}))
    told = AuditPayload.objects.order_by("event_id").values_list("data", flat=True)
    assert [json.loads(text)["n"] for text in told] == list(range(51))
    times = list(AuditEvent.objects.order_by("id").values_list("at", flat=True))
    assert times == sorted(times)


def test_ids_are_of_version_seven_and_carry_the_time_of_the_event(workspace):
    audit.record(entry(workspace))
    event = AuditEvent.objects.get()
    assert (event.pk.version, event.pk.variant) == (7, uuid.RFC_4122)
    assert event.pk.int >> 80 == int(event.at.timestamp() * 1000)


def test_an_unknown_type_is_not_recorded(workspace):
    with pytest.raises(KeyError, match=r"tool\.invented"):
        audit.record(entry(workspace, type="tool.invented"))
    assert not AuditEvent.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_outside_of_a_transaction_nothing_is_recorded(workspace):
    with pytest.raises(transaction.TransactionManagementError):
        audit.record(entry(workspace))
    assert not AuditEvent.objects.exists()


@transaction.atomic
def freeze(workspace):
    Workspace.objects.filter(pk=workspace.pk).update(frozen=True)
    audit.record(entry(workspace))


@pytest.mark.django_db(transaction=True)
def test_where_the_event_cannot_be_written_the_change_is_rolled_back(workspace):
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE approvals_auditpayload ADD CONSTRAINT disk_full CHECK (false) NOT VALID")
    try:
        with pytest.raises(DatabaseError):
            freeze(workspace)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE approvals_auditpayload DROP CONSTRAINT disk_full")
    workspace.refresh_from_db()
    assert not workspace.frozen
    assert not AuditEvent.objects.exists()


def test_within_another_statement_only_what_it_hit_is_recorded(workspace, other_workspace):
    both = [entry(each, target=("workspace", each.pk)) for each in (workspace, other_workspace)]
    logged, parameters = audit.cte(both, only_if="entry.target_id IN (SELECT id FROM changed)")
    change = "changed AS (UPDATE accounts_workspace SET frozen = true WHERE slug = %(slug)s RETURNING id)"
    with connection.cursor() as cursor:
        cursor.execute(f"WITH {change}, {logged} SELECT id FROM changed", {"slug": workspace.slug, **parameters})
    assert [event.workspace_id for event in AuditEvent.objects.all()] == [workspace.pk]
    assert AuditPayload.objects.count() == AuditUnsealed.objects.count() == 1


SECRETS = {
    "under a telling name": {"headers": {"Authorization": "canary-7f3a91"}},
    "under a telling name, nested": {"password": {"old": "canary-7f3a91", "new": ["canary-7f3a91"]}},
    "a key in a text": {"text": "use sk_live_cs_canary7f3a91abcdefgh please"},
    "a token in a text": {"text": "curl -H 'Authorization: Bearer canary-7f3a91'"},
    "a password in an address": {"url": "https://me:canary-7f3a91@example.org/"},
    "a typed secret": {"value": Secret("canary-7f3a91")},
    "in a list": {"lines": ["ok", "password=canary-7f3a91"]},
    "in a name": {"sk_live_cs_canary7f3a91abcdefgh": 1},
}


@pytest.mark.parametrize("data", SECRETS.values(), ids=SECRETS)
def test_a_secret_becomes_a_keyed_hash(workspace, data):
    text = json.dumps(recorded(workspace, **data))
    assert "7f3a91" not in text
    assert "hmac:" in text


@pytest.mark.parametrize("number", ["4111 1111 1111 1111", 4111111111111111])
def test_the_number_of_a_card_becomes_a_keyed_hash(workspace, number):
    assert recorded(workspace, card=number)["card"].startswith("hmac:")


def test_equal_secrets_have_equal_hashes_in_one_workspace_alone(workspace, other_workspace):
    first, again = recorded(workspace, password="one two"), recorded(workspace, password="one two")
    elsewhere, other = recorded(other_workspace, password="one two"), recorded(workspace, password="three")
    assert first == again
    assert len({each["password"] for each in (first, elsewhere, other)}) == 3


PLAIN = {
    "numbers": {"n": 12, "x": 1.5, "tokens": 9000},
    "settings that sound secret": {"fresh_password": True, "password": None, "api_key": ""},
    "nested": {"before": {"roles": ["manager"]}, "after": {"roles": []}},
    "text": {"text": "Übergrößenträger \u0000 \u2028 \U0001f600"},
}


@pytest.mark.parametrize("data", PLAIN.values(), ids=PLAIN)
def test_what_is_no_secret_is_kept_as_it_is(workspace, data):
    assert recorded(workspace, **data) == data


ODD = {
    "an integer that JSON's readers round": (2**70, str(2**70)),
    "no number": (float("nan"), "nan"),
    "a lone surrogate": ("a\ud800b", "a?b"),
    "an id": (uuid.UUID(int=7), str(uuid.UUID(int=7))),
    "a time": (datetime(2026, 1, 5, 10, 2, tzinfo=timezone(timedelta(hours=1))), "2026-01-05T09:02:00Z"),
    "a tuple": ((1, 2), [1, 2]),
}


@pytest.mark.parametrize(("given", "kept"), ODD.values(), ids=ODD)
def test_what_json_cannot_say_is_kept_as_text(workspace, given, kept):
    assert recorded(workspace, value=given)["value"] == kept


def test_what_is_too_long_or_too_deep_is_cut(workspace):
    deep = 1
    for _ in range(500):
        deep = [deep]
    told = recorded(workspace, text="x" * 50_000, deep=deep)
    assert len(told["text"]) < 10_100
    assert "hmac:" in told["text"]
    assert json.dumps(told["deep"]).count("[") == 63


@pytest.mark.parametrize("table", ["auditevent", "auditpayload", "auditseal", "audithead"])
@pytest.mark.parametrize("change", ["UPDATE {} SET {}={}", "DELETE FROM {}", "TRUNCATE {}"])
def test_the_database_refuses_to_change_the_log(db, table, change):
    column = "event_id" if table in ("auditpayload", "auditseal") else "id"
    with pytest.raises(DatabaseError, match="only ever added to"), transaction.atomic():
        connection.cursor().execute(change.format(f"approvals_{table}", column, column))


def test_payloads_alone_can_be_erased_and_only_by_who_says_so(workspace):
    audit.record(entry(workspace))
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL countersign.erasing = 'on'")
        cursor.execute("DELETE FROM approvals_auditpayload")
        with pytest.raises(DatabaseError, match="only ever added to"), transaction.atomic():
            cursor.execute("TRUNCATE approvals_auditpayload")
        with pytest.raises(DatabaseError, match="only ever added to"), transaction.atomic():
            cursor.execute("DELETE FROM approvals_auditevent")
        cursor.execute("SET LOCAL countersign.erasing = 'off'")
    assert not AuditPayload.objects.exists()
