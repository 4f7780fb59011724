"""Emptying the tables after a test that committed, the audit log too: for that one transaction its triggers are off.

Rows are deleted: the TRUNCATE that Django would send makes new files for every table, and takes fifty times as long.
"""

from functools import cache

from django.db import connection, transaction
from django.test import TransactionTestCase

MIGRATED = {"django_migrations", "django_content_type", "auth_permission"}  # what migrations wrote stays


def tables() -> list[str]:
    """The names of the tables that tests fill, quoted."""
    names = connection.introspection.table_names()
    return [connection.ops.quote_name(name) for name in sorted(names) if name not in MIGRATED]


@cache
def _statements() -> str:
    # The lock waits for whoever writes still, so that nobody's rows come after.
    lock = f"LOCK TABLE {', '.join(tables())} IN EXCLUSIVE MODE"
    return ";".join(["SET LOCAL session_replication_role = replica", lock, *(f"DELETE FROM {one}" for one in tables())])


def _empty(_: TransactionTestCase) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_statements())


TransactionTestCase._fixture_teardown = _empty
