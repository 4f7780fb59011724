"""Statements that each connection plans once: for those that every message or answer takes.

Django binds parameters in the client, so that PostgreSQL parses and plans each statement anew; of those with many parts
that takes longer than to run them. Here the driver binds on the server and keeps the plan with the connection.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from django.db import connection
from psycopg import RawCursor

_NAMED = re.compile(r"%\((\w+)\)s|%%")


def execute(statement: str, parameters: Mapping[str, Any]) -> Any:
    """The cursor of a statement with named parameters, as `%(name)s`, on this thread's connection; in its transaction.

    The texts of statements should be few: each is kept with the connection. A parameter whose type nothing else tells
    is to be cast. Raises what Django's cursors do.
    """
    watched = connection.execute_wrappers or connection.queries_logged  # whoever looks at statements sees these too
    if watched or connection.settings_dict["DISABLE_SERVER_SIDE_CURSORS"]:  # and a pooler keeps no plans for us
        cursor = connection.cursor()
        cursor.execute(statement, parameters)
        return cursor
    connection.ensure_connection()
    connection.validate_no_broken_transaction()
    numbered, names = _numbered(statement)
    with connection.wrap_database_errors:
        raw = RawCursor(connection.connection)
        raw.execute(numbered, [parameters[name] for name in names], prepare=True)
    return raw


@lru_cache(maxsize=256)
def _numbered(statement: str) -> tuple[bytes, tuple[str, ...]]:
    """The statement with numbers for its parameters, and their names in that order."""
    places: dict[str, int] = {}

    def number(found: re.Match[str]) -> str:
        name = found.group(1)
        return f"${places.setdefault(name, len(places) + 1)}" if name else "%"

    return _NAMED.sub(number, statement).encode(), tuple(places)
