"""What the first `make up` shows: a line for each step, and where it failed the end of what was said, and its log."""

import os
import subprocess
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection
from django.db.migrations.recorder import MigrationRecorder

from config.bootstrap import BASE_DIR

PIP = """#!/bin/sh
case $* in
-c*) exit 0 ;;
*model.txt) echo "Collecting model==1"; [ -z "$FAILS" ] || { echo "ERROR: no such $FAILS" >&2; exit 1; } ;;
*) seq 100 | sed 's/^/Collecting package /' ;;
esac
"""


@pytest.fixture
def install(tmp_path: Path):
    """Runs it with a Python whose pip is a few lines of shell."""
    python = tmp_path / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(PIP)
    python.chmod(0o755)
    (tmp_path / "all.txt").write_text("one==1 \\\n    --hash=sha256:00\ntwo==2\n")
    (tmp_path / "model.txt").write_text("model==1\nits-data==1\n")

    def run(**env: str) -> subprocess.CompletedProcess[str]:
        command = [BASE_DIR / "bin" / "install", python, "venv", "all.txt", "model.txt"]
        env = {"PATH": os.environ["PATH"], "EMBEDDER": "local", **env}
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=30, check=False)

    return run


def test_each_step_is_one_line(install, tmp_path):
    done = install()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "Installing the 2 packages of all.txt ...\nInstalling the 2 packages of model.txt ...\n"
    assert not (tmp_path / "venv" / "install.log").exists()


def test_a_failure_shows_its_end_and_names_the_log_that_has_all(install, tmp_path):
    done = install(FAILS="wheel")
    assert done.returncode == 1
    assert "ERROR: no such wheel\npip failed; all that it said is in venv/install.log\n" in done.stderr
    assert "Without it: make up EMBEDDER=none" in done.stderr
    assert "Collecting package 1\n" not in done.stdout + done.stderr
    assert "Collecting package 1\n" in (tmp_path / "venv" / "install.log").read_text()
    assert install(EMBEDDER="none", FAILS="wheel").returncode == 0


@pytest.mark.django_db
def test_migrations_are_one_line_and_one_that_fails_leads_to_their_log(tmp_path, capsys):
    MigrationRecorder(connection).record_unapplied("usersessions", "0001_initial")  # its table is there already
    log = tmp_path / "logs" / "migrate.log"
    with pytest.raises(DatabaseError):
        call_command("prepare", log=log)
    told = capsys.readouterr()
    assert told.out == "Bringing the database up to date by 1 migration …\n"
    assert told.err == f"A migration failed. How far it came is in {log}\n"
    assert "Applying usersessions.0001_initial..." in log.read_text()
