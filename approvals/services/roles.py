"""The database role that serving processes take: it may add to the audit log and read it, and no more."""

import re

from django.db import connection, transaction
from psycopg import sql

from core.errors import Conflict, Invalid

LOG = ("approvals_auditevent", "approvals_auditpayload", "approvals_auditseal", "approvals_audithead")
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_LOCK = 0x636F756E7465726B
# Sequences and tables that are to come are granted by the next call, which follows every migration.
_GRANTS = (
    "GRANT USAGE ON SCHEMA public TO {role}",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}",
    "GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {role}",
    "REVOKE UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER ON {log} FROM {role}",
    "REVOKE INSERT, UPDATE, DELETE ON django_migrations FROM {role}",
)
# Forgetting is everybody's to ask of a serving process, which may not delete: so it deletes payloads by this alone.
# It cannot take out what tells of erasures, by which each payload that is gone is counted.
_ERASE = """
CREATE OR REPLACE FUNCTION countersign_erase(events uuid[]) RETURNS SETOF uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM set_config('countersign.erasing', 'on', true);
    RETURN QUERY DELETE FROM public.approvals_auditpayload AS payload USING public.approvals_auditevent AS event
        WHERE payload.event_id = ANY(events) AND event.id = payload.event_id AND event.type <> 'audit.erased'
        RETURNING payload.event_id;
    PERFORM set_config('countersign.erasing', 'off', true);
END $$"""
_ERASING = (
    _ERASE,
    "REVOKE ALL ON FUNCTION countersign_erase(uuid[]) FROM PUBLIC",
    "GRANT EXECUTE ON FUNCTION countersign_erase(uuid[]) TO {role}",
)
_MAKE = ("CREATE ROLE {role} NOLOGIN", "GRANT {role} TO CURRENT_USER")


class RoleTooStrong(Conflict):
    """A superuser, or the owner of the tables, is bound by no grant."""

    code = "role_too_strong"


def can_grant() -> bool:
    """Whether the log's tables are there: half of the migrations may not be."""
    return set(LOG) <= set(connection.introspection.table_names())


@transaction.atomic
def grant(name: str) -> None:
    """Make the role if it is missing, and give it what serving needs; raises Invalid or RoleTooStrong.

    Who calls it must own the tables and, where the role is missing, be allowed to make roles.
    """
    if not _NAME.fullmatch(name):
        raise Invalid.field("role", "small letters, digits and underscores")
    role = sql.Identifier(name)
    log = sql.SQL(", ").join(map(sql.Identifier, LOG))
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        cursor.execute("SELECT rolsuper OR rolname = current_user FROM pg_roles WHERE rolname = %s", [name])
        found = cursor.fetchone()
        if found and found[0]:
            raise RoleTooStrong(f"The role {name} is a superuser or the owner of the tables: no grant binds it.")
        for statement in (*(() if found else _MAKE), *_GRANTS, *_ERASING):
            cursor.execute(sql.SQL(statement).format(role=role, log=log))
