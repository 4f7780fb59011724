"""The whole of Countersign as real processes, each of which a test may kill, stop and start again.

A stack has a database and a Valkey of its own, copied from one prepared once a session with demo data.
"""

import contextlib
import fcntl
import functools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from config import bootstrap
from config import stack as shipped
from config.supervisor import Part
from core import embedded, embedded_child, embedded_home
from tests.servers import session

WAIT = 40.0  # seconds; generous, for a machine that runs other tests beside


def eventually(condition: Callable[[], Any], what: str, seconds: float = WAIT) -> Any:
    """Wait until a condition holds and return its value; fails the test when it does not."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
        time.sleep(0.02)
    return value


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Stack:
    """Processes by name: `postgres`, `valkey`, `scheduler`, `web1`…, `worker1`…; `urls` of the webs.

    A `durable` PostgreSQL waits for the disk at each commit, as the shipped one does.
    """

    def __init__(self, webs: int, workers: int, scheduler: bool, env: dict[str, str], *, durable: bool = False) -> None:
        self.folder = prepared_folder()
        self.home = embedded_home.find(self.folder)
        self.env = _environment(self.folder) | env
        servers = (embedded.postgres(self.home, durable=durable), embedded.valkey(self.home))
        self.servers = {server.name: server for server in servers}
        self.ports = {f"web{number + 1}": free_port() for number in range(webs)}
        self.urls = [f"http://127.0.0.1:{port}" for port in self.ports.values()]
        self.base_url = self.urls[0] if self.urls else ""
        self.programs: dict[str, Part] = {}
        for name, port in self.ports.items():
            self.programs[name] = shipped.web(name, "127.0.0.1", port, self.env)
        for number in range(workers):
            self.programs[f"worker{number + 1}"] = shipped.worker(f"worker{number + 1}", self.env)
        if scheduler:
            self.programs["scheduler"] = shipped.scheduler("scheduler", self.env)
        self.children: dict[str, subprocess.Popen[bytes]] = {}
        self.marks: dict[str, int] = {}  # where in its log the present life of a process begins

    @property
    def demo(self) -> dict[str, Any]:
        """The facts of demo.json: users, keys, agents, workspace_id."""
        return json.loads((self.folder / "demo.json").read_text())

    @property
    def headers(self) -> dict[str, str]:
        """What a request of the demo's member carries."""
        return {"Authorization": f"Bearer {self.demo['keys']['secret']}"}

    def pid(self, name: str) -> int:
        """The number of a process that runs."""
        return self.children[name].pid

    def log(self, name: str) -> str:
        """What a process has printed in its present life."""
        text = bootstrap.log_file(self.folder, name).read_bytes()
        return text[self.marks[name] :].decode(errors="replace")

    def start(self, name: str) -> None:
        """Start a process that does not run; `wait` tells when it does its work."""
        if name in self.servers:
            eventually(lambda: self._start_server(self.servers[name]), f"{name} starts")
            return
        with bootstrap.log_file(self.folder, name).open("ab") as output:
            self.marks[name] = output.tell()
            self.children[name] = self.programs[name].launch(output)

    def _start_server(self, server: embedded.Server) -> bool:
        # Backends of a killed PostgreSQL may live a moment longer and keep its data to themselves.
        with bootstrap.log_file(self.folder, server.name).open("ab") as output:
            self.marks[server.name] = output.tell()
            child = server.start(output)
        try:
            server.wait(child)
        except embedded_home.EmbeddedError:
            embedded_child.stop(child, by=signal.SIGKILL)
            return False
        self.children[server.name] = child
        return True

    def kill(self, name: str, by: int = signal.SIGKILL) -> None:
        """Send a process a signal, by default kill -9, and wait for its end."""
        child = self.children.pop(name)
        child.send_signal(by)
        child.wait(WAIT)
        embedded_child.kill_group(child.pid)

    def freeze(self, name: str) -> None:
        """Stop a process in its tracks until `thaw`."""
        self.children[name].send_signal(signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """Let a frozen process go on."""
        self.children[name].send_signal(signal.SIGCONT)

    def stop(self, name: str) -> None:
        """Stop a process cleanly."""
        by = self.servers[name].stop_signal if name in self.servers else signal.SIGTERM
        embedded_child.stop(self.children.pop(name), by=by, seconds=WAIT)

    def restart(self, name: str, by: int = signal.SIGKILL) -> None:
        """Kill a process, start it again, and wait until it does its work."""
        self.kill(name, by)
        self.start(name)
        self.wait(name)

    def wait(self, *names: str) -> None:
        """Wait until processes do their work; all of them where none is named."""
        for name in names or tuple(self.children):
            eventually(functools.partial(self._works, name), f"{name} works")

    def _works(self, name: str) -> bool:
        child = self.children[name]
        assert child.poll() is None, f"{name} ended with code {child.returncode}:\n{self.log(name)[-4000:]}"
        if name in self.ports:
            return _healthy(self.ports[name])
        if name in self.servers:
            return self.servers[name].ready()
        return name == "scheduler" or " ready." in self.log(name)

    def sql(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows of a query, in a connection of its own."""
        with psycopg.connect(self.home.database_url) as connection:
            cursor = connection.execute(query, values)
            return cursor.fetchall() if cursor.description else []

    def manage(self, *arguments: str, stdin: str = "") -> str:
        """What a `manage.py` command on this stack's data prints; fails the test where it fails."""
        command = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(
            command, env=self.env, cwd=bootstrap.BASE_DIR, input=stdin, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def valkey(self) -> redis.Redis:
        """A client of the stack's Valkey; close it."""
        return redis.Redis.from_url(self.home.redis_url)

    def close(self) -> None:
        """Stop everything at once; nothing of it is needed any more."""
        programs = [self.children.pop(name) for name in tuple(self.children) if name not in self.servers]
        embedded_child.stop(*programs, by=signal.SIGKILL)
        for name in reversed(tuple(self.children)):
            self.thaw(name)
            self.stop(name)
        embedded_home.discard(self.folder)


@contextlib.contextmanager
def running(
    *, webs: int = 1, workers: int = 1, scheduler: bool = False, env: dict[str, str] | None = None
) -> Iterator[Stack]:
    """A stack that works, for as long as the block lasts; without a scheduler, for nothing of a test waits a minute."""
    stack = Stack(webs, workers, scheduler, env or {})
    try:
        for name in (*stack.servers, *stack.programs):
            stack.start(name)
        stack.wait()
        yield stack
    finally:
        stack.close()


@pytest.fixture
def stack() -> Iterator[Callable[..., Stack]]:
    """Makes stacks that end with the test: `stack(workers=2, env={…})`, as `running` does."""
    with contextlib.ExitStack() as open_stacks:
        yield lambda **options: open_stacks.enter_context(running(**options))


@functools.cache
def _golden() -> Path:
    """A data directory with schema and demo data, whose servers are stopped; made by whoever needs it first."""
    folder = session.TOGETHER / "golden"
    with (session.TOGETHER / "golden.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "demo.json").exists():
            _prepare(folder)
    return folder


def _prepare(folder: Path) -> None:
    home = embedded_home.find(folder)
    servers = [embedded.postgres(home, durable=False), embedded.valkey(home)]
    with bootstrap.log_file(folder, "prepare").open("ab") as log, embedded.running(servers, log):
        command = [sys.executable, "manage.py", "prepare"]
        env, cwd = _environment(folder), bootstrap.BASE_DIR
        done = subprocess.run(command, env=env, cwd=cwd, capture_output=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()


def prepared_folder() -> Path:
    """A new data directory with schema and demo data; discard it with `embedded_home.discard`."""
    golden, folder = _golden(), session.FOLDER / f"stack-{free_port()}"
    data, place = embedded_home.find(golden).path / "postgres", embedded_home.find(folder).path
    subprocess.run(["cp", "-a", data, place], check=True)
    subprocess.run(["cp", "-a", golden / "demo.json", golden / "static", folder], check=True)
    return folder


def _environment(folder: Path) -> dict[str, str]:
    home = embedded_home.find(folder)
    own = {"DATA_DIR": str(folder), "DATABASE_URL": home.database_url, "REDIS_URL": home.redis_url}
    own["DATABASE_ROLE"] = bootstrap.EMBEDDED_ROLE  # as `make up` has it
    own["PROVIDER_BREAKER_FAILURES"] = "1000"  # tests make one provider fail in every way, again and again
    return {**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings", **own}


def _healthy(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/v1/ai/health", headers={"X-Forwarded-Proto": "https"})  # for those behind TLS
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
