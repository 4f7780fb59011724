"""`make up`: the whole of Countersign on this machine, under one supervisor.

It is small on purpose and does not load Django: the processes that it starts do.
"""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import IO

from django.core.exceptions import ImproperlyConfigured

from config import bootstrap, env, prepared, processes
from config.supervisor import Part, StartError, StoppedError, Supervisor, say
from core import embedded, embedded_child, embedded_home

# What a stranger opens as whom, by config/demo.py.
DEMO = (
    ("Chat", "/", "users", "member"),
    ("Approvals", "/approvals/", "users", "manager"),
    ("Console", "/console/", "users", "admin"),
    ("Admin", "/admin/", "users", "admin"),
    ("Elsewhere", "/", "other_workspace_users", "member"),
)
ANY_HOST = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # how to reach a server that listens on every address


def _server_part(server: embedded.Server) -> Part:
    return Part(server.name, server.start, server.stop_signal, 30.0, foundation=True)


def _program_part(name: str, argv: list[str], environ: Mapping[str, str], patience: float) -> Part:
    surroundings = {**processes.SURROUNDINGS, **environ}

    def launch(output: IO[bytes]) -> "subprocess.Popen[bytes]":
        return embedded_child.start(processes.command(argv), output=output, env=surroundings, cwd=bootstrap.BASE_DIR)

    return Part(name, launch, signal.SIGTERM, patience)


def web(name: str, host: str, port: int, environ: Mapping[str, str]) -> Part:
    """A web process."""
    patience = 8.0 + env.seconds("WEB_DRAIN_SECONDS", 0.0)
    return _program_part(name, processes.web(host, port), environ, patience)


def worker(name: str, environ: Mapping[str, str]) -> Part:
    """A worker process."""
    return _program_part(name, processes.worker(name), environ, patience=5.0 + env.seconds("DRAIN_SECONDS", 10.0))


def scheduler(name: str, environ: Mapping[str, str]) -> Part:
    """The one process that rings the doorbells whose time has come."""
    return _program_part(name, processes.scheduler(), environ, patience=5.0)


def _check_port(host: str, port: int) -> None:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        advice = "Choose another: make up PORT=8001"
        raise StartError(f"cannot listen on {host}:{port}: {error.strerror or error}. {advice}") from None


def _healthy(host: str, port: int) -> bool:
    connection = HTTPConnection(ANY_HOST.get(host, host), port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _summary(base_url: str, folder: Path) -> str:
    lines = [f"Countersign is ready at {base_url}", ""]
    demo = folder / "demo.json"
    facts = json.loads(demo.read_text()) if demo.is_file() else {}
    for name, path, whose, who in DEMO:
        login = facts.get(whose, {}).get(who)  # a demo that was made earlier has none of the other workspace
        if login:
            lines.append(f"  {name:<10} {base_url}{path:<11}  as {login['email']:<20}  {login['password']}")
        elif not facts and whose == "users":  # restored, or begun without a demo: people sign in as they do
            lines.append(f"  {name:<10} {base_url}{path}")
    lines.append(f"  API docs   {base_url}/api/docs/")
    if facts:
        lines.append(f"  Logins     {shlex.quote(str(demo))}")
    lines += [f"  Logs       {shlex.quote(str(folder / 'logs'))}", ""]
    if facts:
        body = '{"message":"Explain my server architecture","companion":"smart-home","stream":true}'
        key = facts["keys"]["secret"]
        lines += [
            "  A browser is signed in as one of them: open the next in a private window.",
            "  Elsewhere is another workspace, whose people see nothing of the first. The superuser admin@demo.example",
            "  sees both in the admin.",
            "",
            f"  curl -N -X POST {base_url}/v1/ai/chat -H 'Authorization: Bearer {key}' "
            f"-H 'Content-Type: application/json' -d '{body}'",
            "",
        ]
    return "\n".join([*lines, "Ctrl-C stops everything."])


def _bring_up(supervisor: Supervisor, servers: list[embedded.Server], host: str, port: int) -> str:
    for server in servers:
        say(f"Starting {server.name} …")
        supervisor.start(_server_part(server))
    for server in servers:
        supervisor.until(server.ready, server.name)
    reach = ANY_HOST.get(host, host)
    base_url = f"http://[{reach}]:{port}" if ":" in reach else f"http://{reach}:{port}"
    os.environ.setdefault("PUBLIC_URL", base_url)
    if not prepared.is_done(supervisor.folder, base_url):
        _prepare(supervisor, base_url)
    say("Starting web, worker, scheduler …")
    supervisor.start(web("web", host, port, os.environ))
    supervisor.start(worker("worker", os.environ))
    supervisor.until(lambda: _healthy(host, port), "the web process")
    supervisor.start(scheduler("scheduler", os.environ))
    return base_url


def _prepare(supervisor: Supervisor, base_url: str) -> None:
    log = supervisor.folder / "logs" / "migrate.log"
    command = [sys.executable, "manage.py", "prepare", "--base-url", base_url, "--log", str(log)]
    child = embedded_child.start(command, cwd=bootstrap.BASE_DIR, last_signal=signal.SIGTERM)
    try:
        supervisor.until(lambda: child.poll() is not None, "the database")
    finally:
        embedded_child.stop(child)
    if child.returncode:
        raise StartError("the database could not be prepared; the reason stands above")


def serve() -> None:
    """Run the stack until somebody ends it; raises StartError or EmbeddedError where it cannot come up."""
    host, port = env.text("HOST", "127.0.0.1"), env.integer("PORT", 8000, low=1, high=65535)
    if "MAKELEVEL" in os.environ:  # started by make, whose death by kill -9 tells nobody
        embedded_child.die_with_parent(signal.SIGTERM, os.getppid())
    folder = bootstrap.data_dir()
    with ExitStack() as stack:
        stack.enter_context(embedded_home.exclusive(folder / "up.lock", "make up"))
        _check_port(host, port)
        bootstrap.secret_key(folder)
        lock, servers = bootstrap.embedded_servers(folder)
        stack.enter_context(embedded_home.exclusive(lock, "make up"))
        if host not in ANY_HOST:
            os.environ.setdefault("ALLOWED_HOSTS", f"localhost,127.0.0.1,[::1],{host}")
        supervisor = Supervisor(folder)
        stack.callback(supervisor.stop)
        supervisor.set_logs_aside()
        try:
            base_url = _bring_up(supervisor, servers, host, port)
            supervisor.serving = True
            say(_summary(base_url, folder))
            while True:
                supervisor.watch(60.0 if all(part.child for part in supervisor.parts) else 0.05)
                supervisor.set_logs_aside()
        except StoppedError:
            say("Stopping …")


def main() -> int:
    """Run the stack; the exit code is 1 where it did not come up."""
    try:
        serve()
    except (StartError, embedded_home.EmbeddedError, ImproperlyConfigured, OSError) as error:
        say(f"Countersign: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
