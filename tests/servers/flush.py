"""Emptying the tables between tests, the audit log too: for that one transaction its triggers are off."""

from django.db.backends.postgresql.operations import DatabaseOperations

_flush = DatabaseOperations.execute_sql_flush


def _flush_all(operations: DatabaseOperations, statements: list[str]) -> None:
    _flush(operations, ["SET LOCAL session_replication_role = replica", *statements])


DatabaseOperations.execute_sql_flush = _flush_all
