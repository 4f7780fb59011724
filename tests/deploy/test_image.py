"""The image: what goes into it is enough, what stays out is not in it, and what it promises of itself holds."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from config import bootstrap, processes
from core import handler
from tests.deploy import containers
from tests.deploy.containers import DEPLOY

pytestmark = pytest.mark.timeout(300)
IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc", ".DS_Store")


@pytest.fixture(scope="module")
def context(tmp_path_factory) -> Path:
    """What a build is given, by .dockerignore: nothing but what it names."""
    folder = tmp_path_factory.mktemp("context")
    lines = (bootstrap.BASE_DIR / ".dockerignore").read_text().splitlines()
    assert lines[1] == "*"
    for name in (line.removeprefix("!") for line in lines if line.startswith("!")):
        source, target = bootstrap.BASE_DIR / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=IGNORED)
        else:
            shutil.copy2(source, target)
    return folder


@pytest.mark.long
def test_the_code_runs_from_what_a_build_is_given(context, tmp_path):
    environ = {**containers.image()["ENV"], "SECRET_KEY": "unused", "DATA_DIR": str(tmp_path)}
    for command in (["collectstatic", "--no-input", "--verbosity", "0"], ["check"]):
        argv = [sys.executable, "manage.py", *command]
        own = {**environ, "STATIC_ROOT": str(tmp_path / "static")}
        done = subprocess.run(argv, cwd=context, env=own, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "static" / "staticfiles.json").is_file()


def test_neither_secrets_nor_tests_nor_data_are_in_it(context):
    kept = {path.relative_to(context).parts[0] for path in context.rglob("*")}
    assert not kept & {".env", ".data", ".git", ".venv", "tests", "docs", "benchmarks"}
    assert [path.name for path in (context / "deploy").rglob("*")] == ["probe.py"]


def test_every_file_that_the_build_names_is_there(context):
    text = (DEPLOY / "Dockerfile").read_text()
    [names] = re.findall(r"^COPY (bin.*) \./$", text, re.MULTILINE)
    assert all((context / name).is_file() for name in names.split())


def test_it_runs_as_nobody_in_particular_and_hears_signals_itself():
    image = containers.image()
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", image["USER"][""])
    assert json.loads(image["CMD"][""]) == ["python", "-m", "config.processes", "web"]
    assert "ENTRYPOINT" not in image


def test_what_speaks_to_buckets_is_locked_as_the_tests_have_it():
    def locked(name: str) -> dict[str, set[str]]:
        blocks = re.split(r"(?m)^(?=\w)", (bootstrap.BASE_DIR / name).read_text())
        pinned = {block.split()[0]: set(re.findall(r"sha256:\w+", block)) for block in blocks if "==" in block}
        return {package.replace("[s3]", ""): hashes for package, hashes in pinned.items()}

    tested, shipped = locked("requirements-dev.txt"), locked("requirements-s3.txt")
    assert shipped.keys() >= {package for package in tested if re.match(r"boto|django-storages|s3transfer", package)}
    assert all(tested[package] == hashes for package, hashes in shipped.items())


@pytest.mark.parametrize("process", ["web", "worker", "scheduler"])
def test_a_process_is_asked_for_by_its_name(process, monkeypatch):
    monkeypatch.setenv("WORKER_QUEUES", "runs, actions")
    argv = processes.asked_for([process])
    assert argv[0] == {"web": "uvicorn", "worker": "celery", "scheduler": "celery"}[process]
    assert ("--queues=runs,actions" in argv) == (process == "worker")


def test_a_worker_more_has_a_name_of_its_own_and_else_the_same_command():
    named, plain = processes.asked_for(["worker", "extra7"]), processes.asked_for(["worker"])
    assert "--hostname=extra7@%h" in named
    assert [word for word in named if "hostname" not in word] == [word for word in plain if "hostname" not in word]
    makefile = (bootstrap.BASE_DIR / "Makefile").read_text()
    assert "config.processes worker extra$$$$" in makefile


@pytest.mark.parametrize("arguments", [[], ["database"], ["web", "more"], ["worker", "a", "b"]])
def test_a_process_that_there_is_not_is_refused_with_those_that_there_are(arguments):
    done = subprocess.run(
        [sys.executable, "-m", "config.processes", *arguments], cwd=bootstrap.BASE_DIR, capture_output=True, text=True
    )
    assert (done.returncode, "web, worker or scheduler" in done.stderr, "Traceback" in done.stderr) == (1, True, False)


def test_a_worker_for_a_queue_that_there_is_not_does_not_start(tmp_path):
    environ = {"SECRET_KEY": "unused", "DATA_DIR": str(tmp_path), "WORKER_QUEUES": "runs,mail"}
    environ |= {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "REDIS_URL": "redis://127.0.0.1:1/0"}
    argv = [sys.executable, "-m", "config.processes", "worker"]
    done = subprocess.run(
        argv, cwd=bootstrap.BASE_DIR, env=environ, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode != 0
    assert "mail" in done.stderr


def test_the_proxy_in_front_takes_a_little_more_and_waits_a_little_less_than_the_web_process(settings):
    text = (DEPLOY / "Caddyfile").read_text()
    [megabytes] = re.findall(r"max_size (\d+)MB", text)
    assert settings.BODY_LIMIT_IMAGES < int(megabytes) * 1_000_000 < settings.BODY_LIMIT_IMAGES * 1.2
    [idle] = re.findall(r"keepalive (\d+)s", text)
    assert int(idle) < 5  # for which uvicorn keeps a connection that says nothing
    # Either would end streams, or keep them open after their readers left.
    assert not re.findall(r"^\s*(read_body|flush_interval|write|stream_timeout|read_timeout)\b", text, re.MULTILINE)
    assert handler.BODY_SECONDS == 30  # as the file says
