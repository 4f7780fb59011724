"""Reading the audit log through the API."""

import datetime
import uuid

import pytest
from django.core import signing
from django.db import connection
from django.utils.http import urlencode

from accounts.models import Role
from agents.models import Agent
from approvals.models import AuditEvent
from approvals.services import audit, sealing
from tests.approvals.auditing import record
from tests.cast import person

PATH = "/v1/ai/events"


@pytest.fixture
def reader(client_of):
    """Makes the client of a person whose key was used today, which leaves no trace that a test would find."""

    def make(actor):
        client = client_of(actor)
        client.get(PATH)
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")
            for table in ("auditevent", "auditpayload", "auditunsealed"):
                cursor.execute(f"DELETE FROM approvals_{table}")
            cursor.execute("SET LOCAL session_replication_role = origin")
        return client

    return make


@pytest.fixture
def auditor(workspace, reader):
    return reader(person(workspace, "auditor", Role.AUDITOR))


def listed(client, **query):
    answer = client.get(f"{PATH}?{urlencode(query)}")
    assert answer.status_code == 200, answer.content
    return answer.json()


def kinds(client, **query):
    return [event["type"] for event in listed(client, **query)["events"]]


def test_an_event_is_told_with_its_place(workspace, auditor, manager):
    target = uuid.uuid4()
    record(workspace, 1, who=audit.person(manager), target=("tool", target), data={"after": True})
    sealing.seal()
    event = AuditEvent.objects.get()
    assert listed(auditor) == {
        "events": [
            {
                "id": str(event.pk),
                "seq": 1,
                "type": "action.succeeded",
                "actor": {"kind": "person", "id": str(manager.user.pk), "label": manager.user.email},
                "on_behalf_of": str(manager.user.pk),
                "target": {"kind": "tool", "id": str(target)},
                "agent_id": None,
                "session_id": None,
                "data": {"actor": manager.user.email, "after": True},
                "created_at": event.at.isoformat().replace("+00:00", "Z"),
                "hash": bytes(event.seal.hash).hex(),
            }
        ],
        "next_cursor": None,
    }


def test_an_event_without_place_or_payload_says_so(workspace, auditor):
    record(workspace)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL countersign.erasing = 'on'")
        cursor.execute("DELETE FROM approvals_auditpayload")
    (event,) = listed(auditor)["events"]
    assert (event["seq"], event["hash"], event["data"]) == (None, None, None)
    assert event["actor"] == {"kind": "system", "id": None, "label": ""}


def test_pages_go_back_in_time_and_end(workspace, auditor):
    record(workspace, 25)
    seen, cursor = [], None
    for size in (10, 10, 5):
        page = listed(auditor, limit=10, **({"cursor": cursor} if cursor else {}))
        assert len(page["events"]) == size
        seen += [event["data"]["n"] for event in page["events"]]
        cursor = page["next_cursor"]
        record(workspace, 1, data={"n": "later"})  # what is new does not shift the pages
    assert seen == list(reversed(range(25)))
    assert cursor is None


def test_each_filter_finds_its_own(workspace, auditor, manager):
    agent = Agent.objects.create(workspace=workspace, slug="devops", name="D", instructions="")
    session = uuid.uuid4()
    record(workspace, 1, type="key.created", who=audit.person(manager))
    record(workspace, 1, type="run.started", who=audit.agent(agent.pk), session_id=session)
    record(workspace, 1, type="run.failed", agent_id=agent.pk)
    assert kinds(auditor, type="key.created") == ["key.created"]
    assert kinds(auditor, actor=str(manager.user.pk)) == ["key.created"]
    assert kinds(auditor, actor=manager.user.email) == ["key.created"]
    assert kinds(auditor, actor="system") == ["run.failed"]
    assert kinds(auditor, agent="devops") == kinds(auditor, agent=str(agent.pk)) == ["run.failed", "run.started"]
    assert kinds(auditor, session_id=str(session)) == ["run.started"]
    assert kinds(auditor, agent="devops", type="run.failed") == ["run.failed"]
    assert kinds(auditor, agent="nobody") == kinds(auditor, actor="nobody@example.org") == []


def test_times_are_exact_and_inclusive(workspace, auditor):
    record(workspace, 3)
    first, second, third = AuditEvent.objects.order_by("pk").values_list("at", flat=True)
    assert len(kinds(auditor, since=second.isoformat())) == 2
    assert len(kinds(auditor, until=second.isoformat())) == 2
    assert len(kinds(auditor, since=second.isoformat(), until=second.isoformat())) == 1
    tiny = datetime.timedelta(microseconds=1)
    assert len(kinds(auditor, since=(third + tiny).isoformat())) == 0
    assert len(kinds(auditor, until=(first - tiny).isoformat())) == 0
    assert len(kinds(auditor, since="0001-01-01T00:00:00Z", until="9999-12-31T23:59:59.999999Z")) == 3


def test_a_member_sees_what_was_done_by_or_for_them(workspace, reader, member, manager):
    client = reader(member)
    record(workspace, 1, type="key.created", who=audit.person(member))
    record(workspace, 1, type="run.started", who=audit.agent(uuid.uuid4(), member.user.pk))
    record(workspace, 1, type="key.revoked", who=audit.person(manager))
    record(workspace, 1, type="run.failed")
    assert set(kinds(client)) == {"run.started", "key.created"}


def test_another_workspace_sees_nothing(workspace, other_workspace, reader, member):
    client = reader(person(other_workspace, "boss", Role.ADMIN))
    agent = Agent.objects.create(workspace=workspace, slug="devops", name="D", instructions="")
    record(workspace, 3, who=audit.agent(agent.pk, member.user.pk), session_id=agent.pk)
    for query in ({}, {"agent": "devops"}, {"agent": agent.pk}, {"session_id": agent.pk}, {"actor": agent.pk}):
        assert listed(client, **query)["events"] == []


BAD = {
    "an unknown filter": {"kind": "x"},
    "an unknown type": {"type": "run.invented"},
    "no id": {"session_id": "x"},
    "no time": {"since": "yesterday"},
    "a time out of the world": {"until": "9999-99-99T00:00:00Z"},
    "no number": {"limit": "many"},
    "too many": {"limit": 101},
    "none": {"limit": 0},
    "a cursor of nobody": {"cursor": "eyJ:x:y"},
    "U+0000": {"actor": "a\u0000"},
    "an offset": {"offset": 5},
}


@pytest.mark.parametrize("query", BAD.values(), ids=BAD)
def test_what_does_not_fit_is_refused(auditor, query):
    answer = auditor.get(f"{PATH}?{urlencode(query)}")
    assert answer.status_code == 400
    assert answer.json()["code"] == "invalid"


def test_a_cursor_of_another_list_is_refused(auditor):
    answer = auditor.get(f"{PATH}?{urlencode({'cursor': signing.dumps(str(uuid.uuid4()))})}")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "bad_cursor")


def test_a_page_costs_a_bounded_number_of_queries(workspace, auditor, django_assert_max_num_queries):
    record(workspace, 100)
    with django_assert_max_num_queries(4):
        assert len(listed(auditor, limit=100)["events"]) == 100
