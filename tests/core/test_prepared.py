"""Statements whose plan a connection keeps: what they give, where they fail, and that a pooler is spared them."""

from uuid import uuid4

import pytest
from django.db import DataError, IntegrityError, connection, transaction

from accounts.models import Workspace
from core import prepared

pytestmark = pytest.mark.django_db(transaction=True)

TWICE = "SELECT %(text)s::text || '%%' || %(text)s::text, %(number)s::bigint + 1"


def plans() -> int:
    """How many of our statements this connection has a plan of."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%%::text || ''%%''%%'")
        return int(cursor.fetchone()[0])


def test_a_parameter_may_stand_twice_and_a_percent_sign_is_one():
    assert prepared.execute(TWICE, {"text": "a", "number": 41}).fetchone() == ("a%a", 42)


def test_a_statement_is_planned_once():
    for number in range(3):
        prepared.execute(TWICE, {"text": "a", "number": number})
    assert plans() == 1


def test_another_connection_plans_it_anew():
    prepared.execute(TWICE, {"text": "a", "number": 1})
    connection.close()
    assert prepared.execute(TWICE, {"text": "b", "number": 1}).fetchone() == ("b%b", 2)


def test_a_pooler_is_sent_no_plan(settings, monkeypatch):
    monkeypatch.setitem(connection.settings_dict, "DISABLE_SERVER_SIDE_CURSORS", True)
    connection.close()
    assert prepared.execute(TWICE, {"text": "a", "number": 41}).fetchone() == ("a%a", 42)
    assert plans() == 0


def test_it_is_a_part_of_the_transaction_at_hand(workspace):
    with transaction.atomic():
        prepared.execute(
            "UPDATE accounts_workspace SET name = %(name)s WHERE id = %(id)s", {"name": "B", "id": workspace.pk}
        )
        transaction.set_rollback(True)
    assert Workspace.objects.get(pk=workspace.pk).name != "B"


def test_what_goes_wrong_is_djangos_error():
    with pytest.raises(DataError), transaction.atomic():
        prepared.execute("SELECT %(text)s::uuid", {"text": "no id"})
    with pytest.raises(IntegrityError), transaction.atomic():
        prepared.execute("INSERT INTO accounts_group (id) VALUES (%(id)s)", {"id": uuid4()})
    assert prepared.execute(TWICE, {"text": "a", "number": 1}).fetchone() == ("a%a", 2)
