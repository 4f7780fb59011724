"""The role that serving processes take: it adds to the log and reads it, and can do no more with it."""

import json

import httpx
import pytest
from django.db import DatabaseError, connection, transaction
from websockets.sync.client import connect

from approvals.services import audit, roles, sealing
from core.errors import Invalid
from tests.servers.stack import eventually

ROLE = "countersign_test_app"
CHANGES = [
    "UPDATE approvals_auditevent SET type = 'x'",
    "DELETE FROM approvals_auditevent",
    "TRUNCATE approvals_auditevent",
    "UPDATE approvals_auditpayload SET data = '{}'",
    "SET LOCAL countersign.erasing = 'on'; DELETE FROM approvals_auditpayload",
    "UPDATE approvals_auditseal SET seq = 0",
    "DELETE FROM approvals_audithead",
    "ALTER TABLE approvals_auditevent DISABLE TRIGGER ALL",
    "DELETE FROM django_migrations",
    "CREATE TABLE mine (id int)",
]


@pytest.fixture
def as_role(workspace):
    roles.grant(ROLE)
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL ROLE {ROLE}")
        yield cursor


def test_the_role_records_and_seals(as_role, workspace):
    audit.record(audit.Entry(type="tool.enabled", workspace_id=workspace.pk, who=audit.SYSTEM))
    assert sealing.seal() == 1


@pytest.mark.parametrize("change", CHANGES)
def test_the_role_cannot_change_the_log(as_role, change):
    with pytest.raises(DatabaseError, match="permission denied|must be owner"), transaction.atomic():
        as_role.execute(change)


def test_the_role_writes_the_other_tables(as_role, workspace):
    as_role.execute("UPDATE accounts_workspace SET name = 'New'")
    assert as_role.rowcount == 1


def test_granting_twice_changes_nothing(workspace):
    roles.grant(ROLE)
    roles.grant(ROLE)


def test_a_superuser_is_no_such_role(workspace):
    with pytest.raises(roles.RoleTooStrong):
        roles.grant("countersign")


@pytest.mark.parametrize("name", ["", "Upper", "a;b", "x" * 64, "1a"])
def test_a_name_that_is_none_is_refused(workspace, name):
    with pytest.raises(Invalid):
        roles.grant(name)


REFUSED = """
from django.db import connection
try:
    connection.cursor().execute("DELETE FROM approvals_auditevent")
except Exception as error:
    print(error)
"""


@pytest.mark.long
def test_what_serves_takes_the_role_and_what_keeps_the_log_does_not(stack):
    made = stack(webs=1, workers=1)
    answer = httpx.post(
        f"{made.base_url}/v1/ai/chat",
        json={"message": "Hello", "companion": "smart-home"},
        headers=made.headers,
        trust_env=False,
    )
    assert answer.status_code == 200
    url = f"{made.base_url.replace('http', 'ws')}/ws/ai/sessions/{answer.json()['session_id']}"
    with connect(url, additional_headers=made.headers, proxy=None) as socket:
        socket.send('{"type": "message", "message": "And over a socket"}')
        while json.loads(socket.recv())["event"] != "done":
            pass
    started = "SELECT data::json ->> 'ip', data::json ->> 'key' FROM approvals_auditpayload AS payload"
    key = made.demo["keys"]["secret"].split("_")[3]
    told = made.sql(f"{started} JOIN approvals_auditevent AS event ON event.id = event_id WHERE type = 'run.started'")
    assert told == [("127.0.0.1", key), ("127.0.0.1", key)]
    assert "permission denied" in made.manage("shell", "-c", REFUSED)
    eventually(lambda: made.sql("SELECT count(*) FROM approvals_auditunsealed") == [(0,)], "the chain holds them all")
    ((events,),) = made.sql("SELECT count(*) FROM approvals_auditevent")
    assert events
    assert f"{events} events in" in made.manage("audit", "verify")
    person = made.sql("SELECT id FROM accounts_user WHERE email = 'member@demo.example'")[0][0]
    assert " events, 0 notices" in made.manage("audit", "erase", str(person))
