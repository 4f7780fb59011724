"""What is in `deploy/`, run without a container engine: the very commands and variables, as processes of this machine.

What a container sees at a path of its own (secrets, data, the code) is put where this machine has it.
"""

import contextlib
import functools
import itertools
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import yaml

from config import bootstrap
from core import embedded, embedded_child, embedded_home
from tests.servers.stack import eventually, free_port

DEPLOY = bootstrap.BASE_DIR / "deploy"
DOMAIN = "countersign.example.org"
_VARIABLE = re.compile(r"\$\{(\w+)(?:(:-|:\?)([^}]*))?\}")


def compose(environ: Mapping[str, str]) -> dict[str, Any]:
    """compose.yaml with its variables filled in, as Docker Compose does; raises KeyError where one must be set."""

    def value(match: re.Match[str]) -> str:
        name, how, text = match.groups()
        return environ.get(name) or (text if how == ":-" else environ[name])

    return yaml.safe_load(_VARIABLE.sub(value, (DEPLOY / "compose.yaml").read_text()).replace("$$", "$"))


def variables(file: Path) -> dict[str, str]:
    """The lines NAME=value of a file."""
    lines = (line for line in file.read_text().splitlines() if line and not line.startswith("#"))
    return dict(line.split("=", 1) for line in lines)


def manifests(*files: Path) -> list[dict[str, Any]]:
    """Every document of the Kubernetes base, or of these files."""
    found = files or sorted((DEPLOY / "kubernetes" / "base").glob("[!k]*.yaml"))
    return [one for file in found for one in yaml.safe_load_all(file.read_text())]


@functools.cache
def image() -> dict[str, dict[str, str]]:
    """The instructions of the image's last stage: ENV as variables, the others as they stand."""
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text[text.rindex("\nFROM ") :].splitlines() if line and not line.startswith("#")]
    words = [line.split(None, 1) for line in lines]
    environment = [shlex.split(rest) for name, rest in words if name == "ENV"]
    pairs = dict(pair.split("=", 1) for pair in itertools.chain.from_iterable(environment))
    return {"ENV": pairs, **{name: {"": rest} for name, rest in words if name != "ENV"}}


@dataclass
class Machine:
    """PostgreSQL and Valkey as the compose file starts them, on TCP with passwords, and processes beside them."""

    folder: Path
    secrets: Path
    ports: dict[str, int]
    static: Path
    children: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def placed(self, text: str, of: str) -> str:
        """A text with the paths of a container in it, with those of this machine instead."""
        places = {"/run/secrets/countersign/": f"{self.secrets}/", "/run/secrets/owner/": f"{self.secrets}/owner_"}
        places |= {"/run/secrets/": f"{self.secrets}/", "/app/static": str(self.static), "/app/": f"{DEPLOY.parent}/"}
        places |= {"/data": str(self.folder / "data"), "/tmp/": f"{self.folder}/{of}-"}
        for inside, outside in places.items():
            if text.startswith(inside):
                return text.replace(inside, outside, 1)
        return text

    def environment(self, of: str, *given: Mapping[str, str]) -> dict[str, str]:
        """Exactly what the container has: the image's variables and these, nothing of the machine but its PATH."""
        merged = {name: value for one in (image()["ENV"], *given) for name, value in one.items()}
        return {name: self.placed(value, of) for name, value in merged.items()} | {"PATH": os.environ["PATH"]}

    def command(self, of: str, words: list[str]) -> list[str]:
        """The command line of a container with this machine's Python."""
        assert words[0] == "python", words
        return [sys.executable, *(self.placed(word, of) for word in words[1:])]

    def run(self, of: str, words: list[str], environ: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
        """Run a container to its end."""
        command = self.command(of, words)
        options: dict[str, Any] = {"env": dict(environ), "cwd": DEPLOY.parent, "capture_output": True, "text": True}
        return subprocess.run(command, check=False, timeout=120, **options)

    def start(self, of: str, words: list[str], environ: Mapping[str, str]) -> None:
        """Start a container that stays."""
        with self.log(of).open("ab") as output:
            command = self.command(of, words)
            self.children[of] = embedded_child.start(command, output=output, env=environ, cwd=DEPLOY.parent)

    def log(self, of: str) -> Path:
        """What a container printed."""
        return self.folder / f"{of}.log"

    def until(self, of: str, condition: Callable[[], Any], what: str) -> Any:
        """Wait for something while a container runs."""

        def looked() -> Any:
            child = self.children[of]
            assert child.poll() is None, f"{of} ended with {child.returncode}:\n{self.log(of).read_text()[-4000:]}"
            return condition()

        return eventually(looked, f"{of} {what}", seconds=90)

    def stop(self, of: str, seconds: float) -> int:
        """End a container as an engine does: SIGTERM, and so long to heed it; gives the exit code."""
        child = self.children.pop(of)
        child.send_signal(signal.SIGTERM)
        return child.wait(seconds)

    def sql(self, query: str, *values: Any, owner: bool = True) -> list[tuple[Any, ...]]:
        """The rows of a query, as the owner of the tables or as who serves."""
        url = (self.secrets / ("owner_database_url" if owner else "database_url")).read_text().strip()
        with psycopg.connect(url) as connection:
            cursor = connection.execute(query, values)
            return cursor.fetchall() if cursor.description else []


@contextlib.contextmanager
def machine() -> Iterator[Machine]:
    """A machine with secrets and both servers, and with nothing in the database yet; raises EmbeddedError."""
    folder = Path(tempfile.mkdtemp(prefix="cs-deploy-"))
    home = embedded_home.find(folder / "servers")
    ports = {"postgres": free_port(), "valkey": free_port()}
    one = Machine(folder, folder / "secrets", ports, folder / "static")
    try:
        subprocess.run([DEPLOY / "make-secrets", one.secrets], check=True)
        for name in ("database_url", "owner_database_url", "redis_url"):
            file = one.secrets / name
            text = re.sub(r"@(postgres|valkey):\d+", lambda match: f"@127.0.0.1:{ports[match[1]]}", file.read_text())
            file.unlink()
            file.write_text(text)
        (folder / "data").mkdir()
        with (folder / "servers.log").open("ab") as output, _servers(one, home, output):
            yield one
    finally:
        embedded_child.stop(*one.children.values(), by=signal.SIGKILL)
        embedded_home.discard(folder / "servers")
        shutil.rmtree(folder)


@contextlib.contextmanager
def _servers(one: Machine, home: embedded_home.Home, output: Any) -> Iterator[None]:
    services = compose({"DOMAIN": DOMAIN})["services"]
    programs = embedded_home.programs(home)
    started: list[tuple[subprocess.Popen[bytes], int]] = []
    try:
        started.append((_postgres(one, home, programs, services["postgres"], output), signal.SIGINT))
        name, *arguments = services["valkey"]["command"]
        found = sorted((programs / embedded_home.VALKEY_PROGRAMS).glob(f"*/{name}"))[0]
        where = ["--port", str(one.ports["valkey"]), "--bind", "127.0.0.1", "--dir", str(one.folder)]
        argv = [found, *(one.placed(word, "valkey") for word in arguments), *where]
        started.append((embedded_child.start(argv, output=output), signal.SIGTERM))
        yield
    finally:
        for child, by in reversed(started):
            embedded_child.stop(child, by=by, seconds=30)


def _postgres(
    one: Machine, home: embedded_home.Home, programs: Path, service: dict[str, Any], output: Any
) -> "subprocess.Popen[bytes]":
    """The cluster as the official image makes it: an owner with a password, a database, then the scripts."""
    binaries, data, environ = (
        programs / embedded_home.POSTGRES_PROGRAMS / "bin",
        home.path / "data",
        service["environment"],
    )
    password = home.path / "password"
    password.write_text((one.secrets / "postgres_password").read_text())
    as_user = {"cwd": home.path, "env": embedded.ENVIRONMENT, "user": home.user, "group": home.group}
    if home.user is not None:
        os.chown(password, home.user, -1)
    home.make(home.sockets)
    init = ["--username", environ["POSTGRES_USER"], "--pwfile", password, "--auth", "scram-sha-256", "--no-sync"]
    init += shlex.split(environ["POSTGRES_INITDB_ARGS"])
    made = [binaries / "initdb", "--pgdata", data, *init]
    subprocess.run(made, check=True, capture_output=True, extra_groups=None if home.user is None else (), **as_user)
    _, *arguments = service["command"]
    where = {"listen_addresses": "127.0.0.1", "port": str(one.ports["postgres"]), "fsync": "off"}
    where["unix_socket_directories"] = str(home.sockets)
    options = [part for name, value in where.items() for part in ("-c", f"{name}={value}")]
    child = embedded_child.start([binaries / "postgres", "-D", data, *arguments, *options], output=output, **as_user)
    reach = {"PGHOST": "127.0.0.1", "PGPORT": str(one.ports["postgres"]), "PGPASSWORD": password.read_text().strip()}
    known = {**reach, "PATH": f"{binaries}:{os.defpath}", **environ}
    asked = [*service["healthcheck"]["test"][1:], f"--port={one.ports['postgres']}"]
    eventually(lambda: subprocess.run(asked, env=known, capture_output=True, check=False).returncode == 0, "PostgreSQL")
    create = ["createdb", f"--username={environ['POSTGRES_USER']}", environ["POSTGRES_DB"]]
    script = (DEPLOY / "postgres-role.sh").read_text().replace("/run/secrets", str(one.secrets))
    for argv in (create, ["sh", "-c", script]):
        subprocess.run(argv, env=known, check=True, capture_output=True)
    return child
