"""What a restore leaves, also where it is stopped on its way, and who is in its way."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis
from django.conf import settings as shipped
from django.db import connection

from agents.models import Agent
from approvals.models import AuditEvent
from chat.models import Action
from chat.services import attachments, restored
from config import bootstrap
from config.backups import archive, database, restoring, taking
from config.backups.archive import BackupError
from core import valkey
from tests.operations.archives import backup
from tests.servers.session import HOME

STATES = {
    "ready": ("ready", "unknown"), "executing": ("executing", "unknown"), "keyed": ("ready", "keyed"),
    "succeeded": ("succeeded", "unknown"),
}  # fmt: skip
HELD = {"ready": "unknown", "executing": "unknown", "keyed": "ready", "succeeded": "succeeded"}
# Dies as soon as the database has come.
KILLED = """
import os, pathlib, sys
os.environ["DATABASE_AS_OWNER"] = "1"
import django
django.setup()
from config.backups import restoring
restoring._migrate = lambda: os._exit(9)
restoring.restore(pathlib.Path(sys.argv[1]))
"""


def acts(workspace) -> None:
    """An action in each of the states."""
    agent = Agent.objects.create(workspace=workspace, slug="devops", name="Argus")
    for place, (name, (state, retry)) in enumerate(STATES.items()):
        Action.objects.create(
            workspace=workspace, agent=agent, step=1, place=place, call_id=name, tool="service_restart",
            tool_version="1", risk="write", retry=retry, digest="x", verdict="allow", state=state,
        )  # fmt: skip


class Fresh:
    """An empty database whose owner is no superuser, with the extension that a superuser made, and a data directory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        (folder / "secret_key").write_text("a key that was made here, long enough for every check that looks at it")
        mine = HOME.database_url.replace("postgresql://countersign@/countersign", "postgresql://keeper@/fresh")
        self.valkey_url = HOME.redis_url.replace("db=0", "db=7")
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        more = {"DATA_DIR": str(folder), "DATABASE_URL": mine, "REDIS_URL": self.valkey_url}
        self.env = {**kept, **more, "DJANGO_SETTINGS_MODULE": "config.settings", "PYTHONPATH": str(bootstrap.BASE_DIR)}
        self.env["SECRET_KEY_FILE"] = str(folder / "secret_key")

    def sql(self, query: str) -> list[tuple]:
        with psycopg.connect(HOME.database_url.replace("@/countersign", "@/fresh")) as link:
            return link.execute(query).fetchall()

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, *words]
        return subprocess.run(argv, env=self.env, cwd=bootstrap.BASE_DIR, capture_output=True, text=True, check=False)


@pytest.fixture
def fresh(tmp_path) -> Iterator[Fresh]:
    with psycopg.connect(HOME.database_url, autocommit=True) as link:
        link.execute("CREATE ROLE keeper LOGIN")
        link.execute("CREATE DATABASE fresh OWNER keeper")
        made = Fresh(tmp_path / "new")
        try:
            with psycopg.connect(HOME.database_url.replace("@/countersign", "@/fresh")) as inside:
                inside.execute("CREATE EXTENSION vector")
            yield made
        finally:
            link.execute("DROP DATABASE fresh WITH (FORCE)")
            link.execute("DROP ROLE keeper")


def test_a_restore_that_is_killed_once_the_database_came_lets_nothing_run_again(
    transactional_db, workspace, fresh, tmp_path
):
    acts(workspace)
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO django_session VALUES ('k', 'd', now() + interval '1 day')")
    file = tmp_path / "backup.tar"
    taking.take(file, with_keys=True)
    with redis.Redis.from_url(fresh.valkey_url) as old:
        old.set("of before", "1")

    with psycopg.connect(HOME.database_url.replace("@/countersign", "@/fresh")):
        refused = fresh.run("manage.py", "restore", str(file))
    assert refused.returncode == 1
    assert "1 others use the database" in refused.stderr

    killed = fresh.run("-c", KILLED, str(file))
    assert killed.returncode == 9, killed.stdout + killed.stderr
    assert dict(fresh.sql("SELECT call_id, state FROM chat_action")) == HELD
    assert fresh.sql("SELECT count(*) FROM django_session") == [(0,)]
    assert (fresh.folder / "secret_key").read_text() == shipped.SECRET_KEY
    with redis.Redis.from_url(fresh.valkey_url) as now:
        assert now.dbsize() == 0

    # As autovacuum does, with the plan that it leads to on most installations: sequences come before their tables.
    with psycopg.connect(HOME.database_url.replace("@/countersign", "@/fresh")) as inside:
        inside.execute("ANALYZE")
        inside.execute("ALTER DATABASE fresh SET enable_mergejoin = off")
    again = fresh.run("manage.py", "restore", str(file), "--replace")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "2 actions were about to run" in again.stdout
    assert dict(fresh.sql("SELECT call_id, state FROM chat_action")) == HELD
    told = "SELECT count(*) FROM approvals_auditevent WHERE type = 'action.unknown'"
    assert fresh.sql(told) == [(2,)]
    assert fresh.sql("SELECT count(*) FROM approvals_auditunsealed") == [(0,)], "each has its place"
    owner = "SELECT extowner::regrole::text FROM pg_extension WHERE extname = 'vector'"
    assert fresh.sql(owner) == [("countersign",)]


@pytest.mark.django_db
def test_what_was_held_back_is_told_once(workspace):
    acts(workspace)
    with connection.cursor() as cursor:
        cursor.execute(restored.HOLD_BACK)
    assert dict(Action.objects.values_list("call_id", "state")) == HELD
    assert restored.tell() == 2
    assert restored.tell() == 2
    assert AuditEvent.objects.filter(type="action.unknown").count() == 2


def test_what_stops_it_before_the_end_of_the_database_leaves_keys_as_they_were(tmp_path):
    there, new = tmp_path / "secret_key", tmp_path / "audit" / "heads.jsonl"
    there.write_text("old")
    with pytest.raises(BackupError), restoring._placed({there: b"new", new: b"{}"}):
        raise BackupError("psql failed")
    assert there.read_text() == "old"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [there]
    with restoring._placed({there: b"new", new: b"{}"}):
        pass
    assert there.read_text() == "new"
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted([there, new])


@pytest.fixture
def rekeyed(settings, tmp_path):
    """The marks and the text of the keys of an installation, and another installation instead of it."""
    settings.DATA_DIR, settings.SECRET_KEY, settings.SEALING_KEYS = tmp_path, "old", ["sealed with"]
    settings.AUDIT_HEADS_FILE, settings.AUDIT_SIGNING_KEY = str(tmp_path / "heads.jsonl"), ""
    marks, text = taking.key_marks(), json.dumps(taking.keys()).encode()
    settings.SECRET_KEY, settings.SEALING_KEYS = "new", []
    (tmp_path / "secret_key").write_text("new")
    return marks, text


def test_each_key_that_is_not_the_backups_is_to_be_set(rekeyed, settings, tmp_path):
    marks, text = rekeyed
    parts = [(archive.DATABASE, b"x"), (archive.KEYS, text)]
    done = restoring.Restored()
    files = restoring._keys(archive.check(io.BytesIO(backup(*parts, keys=marks))), done)
    assert files[tmp_path / "secret_key"] == b"old"
    assert json.loads(files[tmp_path / "restored_keys.json"]) == {"SEALING_KEYS": ["sealed with"]}
    assert ["SEALING_KEYS" in one and "SECRET_KEY" not in one for one in done.todo] == [True]


def test_without_keys_in_the_backup_each_that_differs_is_named(rekeyed, tmp_path):
    marks, _ = rekeyed
    done = restoring.Restored()
    files = restoring._keys(archive.check(io.BytesIO(backup((archive.DATABASE, b"x"), keys=marks))), done)
    assert files == {}
    assert [one.partition("Set")[0] for one in done.todo] == [
        "Not those of the backup, which has no keys in it: SECRET_KEY, SEALING_KEYS. "
    ]


def test_an_image_of_which_a_killed_restore_wrote_half_is_written_anew(settings, tmp_path):
    backend = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": tmp_path}}
    settings.STORAGES = {**settings.STORAGES, "attachments": backend}
    held = archive.check(
        io.BytesIO(backup((archive.DATABASE, b"x"), *((f"attachments/2026-01-01/{one}.png", b"image") for one in "ab")))
    )
    (tmp_path / "2026-01-01").mkdir()
    (tmp_path / "2026-01-01" / "a.png").write_bytes(b"ima")
    restoring._images(held)
    assert [attachments.contents(f"2026-01-01/{one}.png") for one in "ab"] == [b"image", b"image"]
    assert len(list((tmp_path / "2026-01-01").iterdir())) == 2


def test_without_valkey_nothing_is_begun(monkeypatch):
    monkeypatch.setattr(valkey, "_client", redis.Redis(port=1))
    with pytest.raises(BackupError, match="Valkey does not answer"):
        restoring._forget()


def test_the_newest_program_reads_and_that_of_the_server_writes(monkeypatch, tmp_path):
    for version in (15, 18):
        program = tmp_path / f"p{version}"
        program.write_text(f'#!/bin/sh\necho "p (PostgreSQL) {version}.4"\n')
        program.chmod(0o755)
    monkeypatch.setattr(database, "_candidates", lambda name: [str(tmp_path / "p18"), str(tmp_path / "p15")])
    monkeypatch.setattr(database, "server", lambda: 19)
    assert database._program("pg_restore") == str(tmp_path / "p18")
    assert database._program("pg_dump", least=15) == str(tmp_path / "p15")
    assert database._program("pg_dump", least=16) == str(tmp_path / "p18")
    with pytest.raises(BackupError, match="postgresql-client-19"):
        database._program("pg_dump", least=19)
