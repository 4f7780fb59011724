"""`make up`'s supervisor, as it is shipped: what starts, what comes back, what ends, and what is said."""

import contextlib
import json
import os
import re
import shlex
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from config import bootstrap
from core import embedded_home
from tests.servers.stack import eventually, free_port, prepared_folder

PROGRAMS = {"postgres", "valkey-server", "uvicorn", "worker", "beat"}
pytestmark = pytest.mark.timeout(240)


class Up:
    """A supervisor with what it printed, started with nothing but a data directory, a port and a little else."""

    def __init__(self, folder: Path, port: int, **env: str) -> None:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        self.env = {**kept, "DATA_DIR": str(folder), "PORT": str(port), **env}
        self.url = f"http://127.0.0.1:{port}"
        self.output = folder.with_suffix(".out")
        signal.signal(
            signal.SIGHUP, signal.SIG_DFL
        )  # else tests under nohup start supervisors that a hangup leaves alone
        with self.output.open("wb") as out:
            self.process = psutil.Popen(
                [sys.executable, "-m", "config.stack"],
                cwd=bootstrap.BASE_DIR,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    @property
    def text(self) -> str:
        return self.output.read_text(errors="replace")

    def ready(self) -> "Up":
        def is_settled() -> bool:
            return self.process.poll() is not None or "Ctrl-C stops everything" in self.text

        eventually(is_settled, f"{self.output} tells of readiness", seconds=150)
        assert self.process.poll() is None, self.text
        return self

    def children(self) -> dict[str, psutil.Process]:
        """The supervised processes by the word that tells them apart."""
        found = {}
        for child in self.process.children():
            with contextlib.suppress(psutil.Error):  # it ends while we look
                words = {child.name(), *(Path(word).name for word in child.cmdline())}
                found |= {name: child for name in PROGRAMS if name in words}
        return found

    def end(self, by: int = signal.SIGTERM) -> int:
        self.process.send_signal(by)
        return self.process.wait(40)


@pytest.fixture
def up():
    """Starts supervisors on data directories, and ends them and their data with the test."""
    started: list[tuple[Up, Path]] = []

    def start(folder: Path, port: int | None = None, **env: str) -> Up:
        started.append((Up(folder, port or free_port(), **env), folder))
        return started[-1][0]

    yield start
    for one, folder in started:
        if one.process.poll() is None:
            one.end()
        embedded_home.discard(folder)


def all_of(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def test_the_first_start_makes_everything_and_the_printed_curl_line_streams_an_answer(up, tmp_path):
    folder = tmp_path / "data"
    one = up(folder).ready()

    assert "Bringing the database up to date by" in one.text
    assert "Applying" not in one.text
    assert "Applying accounts.0001_initial... OK" in (folder / "logs" / "migrate.log").read_text()
    facts = json.loads((folder / "demo.json").read_text())
    assert stat.S_IMODE((folder / "demo.json").stat().st_mode) == 0o600
    assert stat.S_IMODE((folder / "secret_key").stat().st_mode) == 0o600
    assert facts["base_url"] == one.url
    assert set(facts["users"]) == {"admin", "manager", "manager2", "member", "member2", "auditor"}
    assert set(facts["agents"]) == {"smart-home", "devops", "guard"}
    for path, who in (("/", "member"), ("/approvals/", "manager"), ("/console/", "admin"), ("/admin/", "admin")):
        login = facts["users"][who]
        assert re.search(rf"{one.url}{path} +as {login['email']} +{re.escape(login['password'])}\n", one.text), one.text
    elsewhere = facts["other_workspace_users"]["member"]
    assert re.search(rf"{one.url}/ +as {elsewhere['email']} +{re.escape(elsewhere['password'])}\n", one.text)

    line = re.search(r"curl -N .*", one.text).group()
    answer = subprocess.run([*shlex.split(line), "-s"], capture_output=True, text=True, timeout=30, check=True)
    assert "event: done" in answer.stdout

    assert one.end() == 0
    again = up(folder, int(one.env["PORT"])).ready()

    assert json.loads((folder / "demo.json").read_text()) == facts
    sessions = httpx.get(f"{again.url}/v1/ai/sessions", headers=bearer(facts), trust_env=False).json()
    assert "Explain my server architecture" in json.dumps(sessions)


def bearer(facts: dict) -> dict[str, str]:
    return {"Authorization": f"Bearer {facts['keys']['secret']}"}


@pytest.mark.long
def test_every_process_that_is_killed_is_named_and_comes_back(up):
    one = up(prepared_folder()).ready()
    before = eventually(lambda: everyone(one), "all run")
    for child in before.values():
        child.kill()

    after = eventually(lambda: everyone(one, before), "all run again")

    eventually(lambda: healthy(one), "web answers again")
    assert set(after) == PROGRAMS
    for name in ("postgres", "valkey", "web", "worker", "scheduler"):
        assert f"[{name}] {name} was killed by SIGKILL; it starts again" in one.text


def everyone(one: Up, before: dict[str, psutil.Process] | None = None) -> dict[str, psutil.Process] | None:
    now = one.children()
    old = {child.pid for child in (before or {}).values()}
    return now if set(now) == PROGRAMS and not old & {child.pid for child in now.values()} else None


def healthy(one: Up) -> bool:
    try:
        return httpx.get(f"{one.url}/v1/ai/health", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.parametrize(
    "by",
    [
        signal.SIGTERM,
        *(pytest.param(one, marks=pytest.mark.long) for one in (signal.SIGINT, signal.SIGHUP)),
        signal.SIGKILL,
    ],
)
def test_no_process_outlives_the_supervisor(up, by):
    one = up(prepared_folder()).ready()
    processes = all_of(one.process)
    assert len(processes) > len(PROGRAMS)

    code = one.end(by)

    assert code == (-signal.SIGKILL if by == signal.SIGKILL else 0)
    eventually(lambda: not any(process.is_running() for process in processes), "all end", seconds=15)
    if by != signal.SIGKILL:
        assert "was killed" not in one.text
        log = (Path(one.env["DATA_DIR"]) / "logs" / "postgres.log").read_text()
        assert log.rstrip().endswith("database system is shut down")


def test_a_taken_port_is_said_at_once_and_nothing_is_started(up, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        one = up(tmp_path / "data", taken.getsockname()[1])

        assert one.process.wait(20) == 1

    assert "Address already in use. Choose another: make up PORT=8001" in one.text
    assert not (tmp_path / "data" / "logs").exists()


def test_a_second_supervisor_on_the_same_data_is_refused(up):
    folder = prepared_folder()
    one = up(folder).ready()
    other = Up(folder, free_port())

    assert other.process.wait(20) == 1
    assert other.text == f"Countersign: {folder} is in use by make up, process {one.process.pid}\n"


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"PORT": "many"}, "PORT must be a whole number"),
        ({"HOST": "no.such.host.invalid"}, "cannot listen on no.such.host.invalid"),
        ({"DATABASE_URL": "postgresql://127.0.0.1:1/x"}, "the database does not answer"),
        ({"LIMIT_CHAT": "lots"}, "LIMIT_CHAT must be a whole number"),
    ],
    ids=["port", "host", "database", "setting"],
)
def test_what_is_set_wrongly_is_named(up, tmp_path, env, said):
    one = up(tmp_path / "data", **env)

    assert one.process.wait(60) == 1
    assert said in one.text


def test_a_command_uses_the_servers_that_run_and_else_starts_its_own(up):
    folder = prepared_folder()
    one = up(folder)
    count = [sys.executable, "manage.py", "shell", "-v0", "-c"]
    count.append("from accounts.models import Workspace; print(Workspace.objects.count())")

    def ask() -> str:
        done = subprocess.run(count, env=one.env, cwd=bootstrap.BASE_DIR, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    one.ready()
    assert ask() == "2"
    one.end()
    assert ask() == "2"
    assert not any("countersign" in name for name in left_on(folder))


def left_on(folder: Path) -> list[str]:
    """The command lines of processes that still work on a data directory."""
    place = str(embedded_home.find(folder).path)
    lines = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
    return [line for line in lines if place in line]
