"""The command line of each process, the same under `make up` and in a container.

`python -m config.processes web`, `worker` or `scheduler` becomes that process; HOST, PORT and WORKER_QUEUES say what
of it, a word more names a worker. It replaces itself, so that signals reach the server and nothing stands between.
"""

import os
import sys

from django.core.exceptions import ImproperlyConfigured

from config import env

# Many threads that each keep an arena of their own are the larger part of a process's memory.
SURROUNDINGS = {"MALLOC_ARENA_MAX": "2", "PYTHONUNBUFFERED": "1"}


def web(host: str, port: int) -> list[str]:
    """A web process."""
    argv = ["uvicorn", "config.asgi:application", "--host", host, "--port", str(port), "--lifespan", "off"]
    argv += ["--loop", "uvloop", "--http", "config.http:Protocol", "--ws", "websockets-sansio"]
    # No --limit-concurrency: it refuses probes too, and a busy process would be killed. config/probes.py has a limit.
    argv += ["--ws-max-size", "12000000", "--no-access-log", "--no-server-header", "--timeout-graceful-shutdown", "5"]
    # uvicorn would believe what anybody on this machine says of where a request came from.
    proxies = env.text("FORWARDED_ALLOW_IPS")
    return argv + (["--proxy-headers", "--forwarded-allow-ips", proxies] if proxies else ["--no-proxy-headers"])


def worker(name: str) -> list[str]:
    """A worker process, for the queues of WORKER_QUEUES or for all."""
    argv = ["celery", "-A", "config", "worker", f"--hostname={name}@%h", "--loglevel=INFO"]
    argv += ["--pool=threads", "--concurrency=4", "--without-gossip", "--without-mingle", "--without-heartbeat"]
    queues = env.listing("WORKER_QUEUES", [])
    return argv + ([f"--queues={','.join(queues)}"] if queues else [])


def scheduler() -> list[str]:
    """The one process that rings the doorbells whose time has come."""
    return ["celery", "-A", "config", "beat", "--pidfile="]


def command(argv: list[str]) -> list[str]:
    """What runs one of the above with the Python at hand."""
    return [sys.executable, "-m", *argv]


def asked_for(arguments: list[str]) -> list[str]:
    """The process that is named on the command line; raises ImproperlyConfigured."""
    match arguments:
        case ["web"]:
            return web(env.text("HOST", "127.0.0.1"), env.integer("PORT", 8000, low=1, high=65535))
        case ["worker", *names] if len(names) < 2:
            return worker(*names or ["worker"])
        case ["scheduler"]:
            return scheduler()
    raise ImproperlyConfigured("say which process: python -m config.processes web, worker or scheduler")


def main() -> None:
    """Become the process that is asked for; exits with a message where that cannot be."""
    try:
        argv = command(asked_for(sys.argv[1:]))
    except ImproperlyConfigured as error:
        sys.exit(f"Countersign: {error}")
    os.execve(argv[0], argv, {**SURROUNDINGS, **os.environ})


if __name__ == "__main__":
    main()
