"""What tests of dialects share: one stack of real processes, and the released clients of Node."""

import fcntl
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.servers.stack import Stack, running

CLIENTS = Path(__file__).parents[1] / "clients"


@pytest.fixture(scope="session")
def live() -> Iterator[Stack]:
    """The whole of it as real processes, shared by all of the dialects' tests."""
    with running(env={"RUN_SWEEP_SECONDS": "0.5", "EXTRACTION": "0", "KEEP_ALIVE_SECONDS": "0.5"}) as stack:
        yield stack


@pytest.fixture(scope="session")
def node() -> Callable[[str], Path]:
    """Gives a folder of tests/clients with what its lock file names; skips where Node or npm cannot."""
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("Node and npm are not here")
    return _installed


def _installed(name: str) -> Path:
    source, folder = CLIENTS / name, Path.home() / ".cache" / "countersign-tests" / name
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:  # tests of several processes install it once
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted, done = source / "package-lock.json", folder / ".installed"
        current = done.exists() and done.read_bytes() == wanted.read_bytes()
        for file in source.iterdir():
            shutil.copy(file, folder)
        if not current:
            command = ["npm", "ci", "--no-audit", "--no-fund", "--silent"]
            try:
                subprocess.run(command, cwd=folder, check=True, timeout=300, capture_output=True)
            except (subprocess.SubprocessError, OSError) as error:
                pytest.skip(f"npm cannot install {name}: {getattr(error, 'stderr', None) or error}"[:300])
            shutil.copy(wanted, done)
    return folder
