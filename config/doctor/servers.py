"""The servers beneath: PostgreSQL and Valkey."""

import time
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.db import OperationalError, connection
from django.db.migrations.executor import MigrationExecutor
from redis.exceptions import RedisError

from approvals.services import roles
from config.doctor import Finding, Wanted, bad, ok, warn
from core import valkey

LEAST_POSTGRES, LEAST_VECTOR, LEAST_VALKEY = 15, (0, 7), 7
OF_A_WEB, OF_A_WORKER = 4, 8  # connections beside those of WEB_THREADS and TOOL_THREADS
SKEW, FAR = 2.0, 30.0  # seconds between the database's clock and ours
_HELD = """
SELECT name, has_table_privilege(current_user, name::regclass, 'INSERT'),
    has_table_privilege(current_user, name::regclass, 'UPDATE, DELETE, TRUNCATE'),
    has_table_privilege(session_user, name::regclass, 'UPDATE, DELETE, TRUNCATE')
FROM unnest(%s::text[]) AS name"""
_ROOM = """
SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int,
    (SELECT count(*) FROM pg_stat_activity WHERE datname IS NOT NULL)"""


def check_postgres(wanted: Wanted) -> Iterator[Finding]:
    """Whether it answers, is new enough, has room, and keeps our time."""
    part = "database"
    began = time.monotonic()
    try:
        connection.ensure_connection()
        ((version, number, clock, vector),) = _rows(
            "SELECT current_setting('server_version'), current_setting('server_version_num')::int,"
            " extract(epoch FROM clock_timestamp()),"
            " (SELECT extversion FROM pg_extension WHERE extname = 'vector')"
        )
    except OperationalError as error:
        yield bad(part, f"does not answer: {str(error).splitlines()[0]}", "Start it, or mend DATABASE_URL.")
        return
    if number // 10_000 < LEAST_POSTGRES:
        yield bad(part, f"PostgreSQL {version}", f"Move to PostgreSQL {LEAST_POSTGRES} or newer.")
    else:
        yield ok(part, f"PostgreSQL {version} answers in {(time.monotonic() - began) * 1000:.0f} ms")
    if vector is None or _version(vector) < LEAST_VECTOR:
        yield bad(part, f"pgvector {vector or 'is missing'}", "Install pgvector 0.7 or newer, then manage.py migrate.")
    skew = abs(float(clock) - time.time())
    if skew > SKEW:
        level = bad if skew > FAR else warn
        yield level(part, f"its clock and this machine's are {skew:.0f} s apart", "Run a time service (NTP) on both.")
    yield from _migrations()
    yield from _room(wanted)


def check_role(wanted: Wanted) -> Iterator[Finding]:
    """Whether who serves can do all that it must, and cannot change the audit log."""
    part = "role"
    tables = [name for name in connection.introspection.table_names() if name != "django_migrations"]
    held = {name: rights for name, *rights in _rows(_HELD, [tables])}
    ((me, first),) = _rows("SELECT current_user, session_user")
    if lacking := sorted(name for name, (adds, *_) in held.items() if not adds):
        yield bad(part, f"{me} may not write to {', '.join(lacking[:3])}", f"As the owner: manage.py audit role {me}")
    elif any(held[name][1] for name in roles.LOG if name in held):
        todo = "Set DATABASE_ROLE=countersign_app, after manage.py audit role countersign_app."
        yield warn(part, f"{me} could change the audit log", todo)
    elif any(held[name][2] for name in roles.LOG if name in held):
        text = f"{me} adds to the audit log and cannot change it; {first}, who takes that role, could by RESET ROLE"
        yield warn(part, text, f"Where that matters, let DATABASE_URL sign in as {me} itself: docs/audit.md.")
    else:
        yield ok(part, f"{me} adds to the audit log and cannot change it")


def check_valkey(wanted: Wanted) -> Iterator[Finding]:
    """Whether it answers, keeps what it is given, and throws nothing away."""
    part = "valkey"
    began = time.monotonic()
    try:
        told: dict[str, Any] = valkey.client().info("all")
    except (RedisError, OSError) as error:
        yield bad(part, f"does not answer: {error}", "Start it, or mend REDIS_URL.")
        return
    version = str(told.get("valkey_version") or told.get("redis_version", "0"))
    name = "Valkey" if "valkey_version" in told else "Redis"
    if _version(version)[0] < LEAST_VALKEY:
        yield bad(part, f"{name} {version}", f"Move to Valkey or Redis {LEAST_VALKEY} or newer.")
    else:
        yield ok(part, f"{name} {version} answers in {(time.monotonic() - began) * 1000:.0f} ms")
    yield from _keeping(part, told)


def _keeping(part: str, told: dict[str, Any]) -> Iterator[Finding]:
    policy = str(told.get("maxmemory_policy", "noeviction"))
    if policy != "noeviction":
        yield bad(part, f"it throws doorbells away ({policy})", "Set maxmemory-policy noeviction.")
    if not told.get("aof_enabled"):
        todo = "Set appendonly yes. Until then each restart of it loses doorbells: work waits for the next sweep."
        yield warn(part, "it keeps nothing on the disk", todo)
    if "ok" not in (told.get("aof_last_write_status", "ok"),):
        yield bad(part, "it cannot write to its disk", "Make room where its data is.")
    most, used = int(told.get("maxmemory", 0)), int(told.get("used_memory", 0))
    if most and used > 0.8 * most:
        yield warn(part, f"{used / most:.0%} of its memory is used", "Raise maxmemory: full, it refuses all writes.")


def _migrations() -> Iterator[Finding]:
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if plan:
        names = ", ".join(f"{one.app_label}.{one.name}" for one, _ in plan[:3])
        yield bad("database", f"{len(plan)} migrations are not applied: {names}", "manage.py migrate")
    else:
        yield ok("database", "all migrations are applied")


def _room(wanted: Wanted) -> Iterator[Finding]:
    ((room, used),) = _rows(_ROOM)
    of_webs = wanted.webs * (settings.WEB_THREADS + settings.TOOL_THREADS + OF_A_WEB)
    needed = of_webs + wanted.workers * (settings.WEB_THREADS + settings.TOOL_THREADS + OF_A_WORKER)
    text = f"{used} of {room} connections are used; {wanted.webs} web and {wanted.workers} worker may take {needed}"
    if needed > room:
        yield bad("database", text, f"Raise max_connections to {needed + 20}, or lower WEB_THREADS.")
    elif used > 0.8 * room:
        yield warn("database", text, "See who holds them: SELECT * FROM pg_stat_activity")
    else:
        yield ok("database", text)


def _rows(query: str, parameters: list[Any] | None = None) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        return list(cursor.fetchall())


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2] if part.isdigit()) or (0,)
