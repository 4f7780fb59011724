"""What must stand before Django loads: the data directory, the secret key, and servers to talk to.

`python -m config.bootstrap PROGRAM …` runs any program with them.
"""

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from config import env
from core import embedded, embedded_home, kept
from core.embedded_home import EmbeddedError

BASE_DIR = Path(__file__).resolve().parent.parent
# Commands that ask no server anything; `up` starts its own.
SERVERLESS = {"check", "collectstatic", "diffsettings", "findstatic", "help", "spectacular", "up", "version"}
CLIENTS = {"chat"}  # speak with an installation that may be anywhere: they need none here, and make none
LOOKING = {"doctor"}  # makes nothing and starts nothing: what is not there is told
HELP = {"-h", "--help"}
MAKERS = {"makemigrations", "migrate", "prepare", "restore"}  # begin an installation where there is none

# Commands that need more than the role which serves, or come before it is made.
OWNERS = {
    "audit", "backup", "dbshell", "flush", "inspectdb", "makemigrations", "migrate", "optimizemigration", "person",
    "prepare", "restore", "showmigrations", "sqlflush", "sqlmigrate", "sqlsequencereset", "squashmigrations",
}  # fmt: skip
EMBEDDED_ROLE = "countersign_app"


def data_dir() -> Path:
    """DATA_DIR, made if it is not there and named in the environment by its full path; raises OSError."""
    folder = _folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _folder() -> Path:
    folder = Path(os.environ.get("DATA_DIR", "").strip() or BASE_DIR / ".data").resolve()
    os.environ["DATA_DIR"] = str(folder)
    return folder


def secret_key(folder: Path) -> None:
    """Set SECRET_KEY, where it is unset, to the one kept in a data directory; it is made once."""
    if not unset("SECRET_KEY"):
        return
    os.environ["SECRET_KEY"] = kept.secret(folder / "secret_key", lambda: secrets.token_urlsafe(48))


def unset(name: str) -> bool:
    """Whether an environment variable is missing or blank, and no file holds its text; raises ImproperlyConfigured."""
    return not env.text(name)


def embedded_servers(folder: Path) -> tuple[Path, list[embedded.Server]]:
    """The servers that stand in for an unset DATABASE_URL or REDIS_URL, and the lock to hold while they run.

    Both variables are set afterwards. The servers are not started.
    """
    servers: list[embedded.Server] = []
    if not (unset("DATABASE_URL") or unset("REDIS_URL")):
        return folder / "servers.lock", servers
    place = embedded_home.find(folder)
    if unset("DATABASE_URL"):
        servers.append(embedded.postgres(place))
    if unset("REDIS_URL"):
        servers.append(embedded.valkey(place))
    _lead_to(place)
    return place.path / "servers.lock", servers


def _lead_to(place: embedded_home.Home) -> None:
    """Let what is unset of DATABASE_URL and REDIS_URL name the embedded servers."""
    if unset("DATABASE_URL"):
        os.environ["DATABASE_URL"] = place.database_url
        if unset("DATABASE_ROLE"):
            os.environ["DATABASE_ROLE"] = EMBEDDED_ROLE
    if unset("REDIS_URL"):
        os.environ["REDIS_URL"] = place.redis_url


def _look() -> None:
    """Name what is there, as `environment` does, and make nothing; raises EmbeddedError where there is nothing."""
    folder = _folder()
    if (folder / "secret_key").is_file():
        secret_key(folder)
    if not (unset("DATABASE_URL") or unset("REDIS_URL")):
        return
    _check_there(folder)
    _lead_to(embedded_home.find(folder))


def _pass_by() -> None:
    """Name the data directory and its key, where they are there, else a key for this process alone: nothing is made."""
    folder = _folder()
    if (folder / "secret_key").is_file():
        secret_key(folder)
    elif unset("SECRET_KEY"):
        os.environ["SECRET_KEY"] = secrets.token_urlsafe(48)


def _check_there(folder: Path) -> None:
    """Raises EmbeddedError where a data directory has no servers, for whoever must not make any."""
    if not embedded_home.is_there(folder):
        raise EmbeddedError(
            f"there is no installation in {folder}, and nothing was made. Set DATA_DIR, or DATABASE_URL and REDIS_URL, "
            "as its processes have them"
        )


def log_file(folder: Path, name: str) -> Path:
    """Where a process of this data directory writes what it prints."""
    logs = folder / "logs"
    logs.mkdir(mode=0o700, exist_ok=True)
    return logs / f"{name}.log"


@contextlib.contextmanager
def environment(program: str) -> Iterator[None]:
    """Servers for a program: those of a running `make up`, else its own; raises EmbeddedError."""
    if unset("DATABASE_URL") or (data_dir() / "secret_key").exists():
        secret_key(data_dir())
    lock, servers = embedded_servers(data_dir())
    with contextlib.ExitStack() as stack:
        try:
            if servers:
                stack.enter_context(embedded_home.exclusive(lock, program))
        except embedded_home.InUseError:
            _wait_for(servers)
        else:
            output = stack.enter_context(log_file(data_dir(), "servers").open("ab"))
            stack.enter_context(embedded.running(servers, output))
        yield


def _wait_for(servers: list[embedded.Server]) -> None:
    deadline = time.monotonic() + 60
    while not all(server.ready() for server in servers):
        if time.monotonic() > deadline:
            raise EmbeddedError("the servers that another process started do not answer")
        time.sleep(0.1)


@contextlib.contextmanager
def django_command(argv: list[str]) -> Iterator[None]:
    """What a `manage.py` command needs; exits with a message where it cannot be had."""
    command = argv[1] if len(argv) > 1 else "help"
    if command in OWNERS:
        os.environ["DATABASE_AS_OWNER"] = "1"
    try:
        if command in CLIENTS or not HELP.isdisjoint(argv):
            _pass_by()
            yield
        elif command in SERVERLESS or command.startswith("-"):
            secret_key(data_dir())
            yield
        elif command in LOOKING:
            _look()
            yield
        else:
            if command not in MAKERS and unset("DATABASE_URL"):
                _check_there(_folder())
            if command == "dbshell" and unset("DATABASE_URL"):
                os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", os.defpath), *embedded_home.clients()])
            with environment(f"manage.py {command}"):
                yield
    except (EmbeddedError, ImproperlyConfigured) as error:
        sys.exit(f"Countersign: {error}")


def main() -> int:
    """Run a program with servers to talk to, and end as it ends."""
    with environment(" ".join(sys.argv[1:4])):
        child = subprocess.Popen(sys.argv[1:])
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C reaches the program itself
        signal.signal(signal.SIGTERM, lambda *_: child.terminate())
        return child.wait()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (EmbeddedError, ImproperlyConfigured) as error:
        sys.exit(f"Countersign: {error}")
