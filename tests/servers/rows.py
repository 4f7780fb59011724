"""Rows that many tests begin with: made once in a session, and put back in one go for each of them."""

from django.db import connection, transaction

from tests.servers.flush import tables


def taken() -> dict[str, bytes]:
    """All the rows there are, by table."""
    found = {}
    with connection.cursor() as cursor:
        for table in tables():
            with cursor.copy(f"COPY {table} TO STDOUT") as copy:
                found[table] = b"".join(copy)
    return {table: data for table, data in found.items() if data}


def put_back(kept: dict[str, bytes]) -> None:
    """Write the rows into empty tables as they were; no trigger tells of them again."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        for table, data in kept.items():
            with cursor.copy(f"COPY {table} FROM STDIN") as copy:
                copy.write(data)
        cursor.execute("SET LOCAL session_replication_role = origin")
