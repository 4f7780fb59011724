"""The role that serving processes take: it adds to the log and reads it, and can do no more with it."""

import pytest
from django.db import DatabaseError, connection, transaction

from approvals.services import audit, roles, sealing
from core.errors import Invalid

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
