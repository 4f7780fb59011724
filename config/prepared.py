"""Whether a start has anything to prepare: known without loading Django, which would cost a second each time."""

import hashlib
from pathlib import Path

import psycopg

from config import env
from config.bootstrap import BASE_DIR


def static_state() -> str:
    """A digest that changes with the locked packages and with our own static files."""
    digest = hashlib.sha256((BASE_DIR / "requirements.txt").read_bytes())
    for path in sorted(path for package in _packages() for path in package.glob("static/**/*")):
        facts = path.stat()
        digest.update(f"{path}:{facts.st_size}:{facts.st_mtime_ns}".encode())
    return digest.hexdigest()


def mark(folder: Path, base_url: str) -> None:
    """Note in a data directory that all is prepared for the code as it stands, and where that is to be reached."""
    (folder / "prepared").write_text(f"{_state(base_url)}\n{base_url}\n")


def address(folder: Path) -> str:
    """Where `make up` served last with a data directory, as the note has it; empty where that is not known."""
    note = folder / "prepared"
    return note.read_text().partition("\n")[2].strip() if note.is_file() else ""


def is_done(folder: Path, base_url: str) -> bool:
    """Whether the note still holds, and the database has every migration that the code has."""
    note = folder / "prepared"
    collected = Path(env.text("STATIC_ROOT", str(folder / "static")), ".collected").is_file()
    if not collected or not note.is_file() or note.read_text().split("\n")[0] != _state(base_url):
        return False
    try:
        with psycopg.connect(env.text("DATABASE_URL"), connect_timeout=5) as connection:
            applied = set(connection.execute("SELECT app, name FROM django_migrations"))
    except psycopg.Error:
        return False
    return applied.issuperset(_migrations())


def _state(base_url: str) -> str:
    parts = (
        static_state(),
        base_url,
        env.text("DATABASE_URL"),
        env.text("DATABASE_ROLE"),
        *map(str, _migrations()),
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _migrations() -> list[tuple[str, str]]:
    files = (path for package in _packages() for path in package.glob("migrations/[0-9]*.py"))
    return sorted((path.parent.parent.name, path.stem) for path in files)


def _packages() -> list[Path]:
    return sorted(path.parent for path in BASE_DIR.glob("*/__init__.py"))
