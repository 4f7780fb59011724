"""Secrets that an installation makes for itself, once, and keeps in a file that nobody else can read."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path


def secret(path: Path, make: Callable[[], str]) -> str:
    """The text that is kept in the file; `make` gives it where there is no file yet. Raises OSError."""
    if not path.exists():
        scratch = path.with_name(f"{path.name}.{os.getpid()}")
        with open(scratch, "x", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(make())
        with contextlib.suppress(FileExistsError):  # another process was first; its text is the one
            os.link(scratch, path)
        scratch.unlink()
    return path.read_text().strip()
