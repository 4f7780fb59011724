"""`make bench-memory`: what recall finds, and what it costs as tables grow.

Starts PostgreSQL on a folder of its own. What is found is measured on a file of LoCoMo's shape (LOCOMO names it; the
project's own small set where it is not set), what it costs on made-up entries of a thousand owners.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import django
from django.conf import settings

from benchmarks import proc, report
from core import embedded, embedded_home

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "memory.md"
OWN = ROOT / "tests" / "memory" / "data" / "conversations.json"
START, END = "<!-- bench-memory:start -->", "<!-- bench-memory:end -->"
ROWS = (1_000, 10_000, 100_000, 1_000_000)


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """The command's options."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="no ablations, tables up to 10,000 rows")
    parser.add_argument("--rows", type=int, default=ROWS[2], help="of the largest table; 1000000 takes half an hour")
    parser.add_argument("--no-quality", action="store_true", help="costs alone")
    parser.add_argument("--no-costs", action="store_true", help="what is found alone")
    parser.add_argument("--write", action="store_true", help=f"put the tables into {PAGE.name}")
    options = parser.parse_args(given)
    if options.write and (options.quick or options.no_quality or options.no_costs):
        parser.error("the page has all tables: leave --quick, --no-quality and --no-costs out")
    options.rows = min(options.rows, ROWS[1]) if options.quick else options.rows
    return options


@contextmanager
def database() -> Iterator[str]:
    """A new PostgreSQL with our tables, with fsync on: its version. What needs models is imported within."""
    with ExitStack() as open_:
        data = Path(open_.enter_context(tempfile.TemporaryDirectory(prefix="countersign-bench-"))) / "data"
        data.mkdir()
        home = embedded_home.find(data)
        os.environ |= {
            "DATA_DIR": str(data),
            "DATABASE_URL": home.database_url,
            "REDIS_URL": home.redis_url,
            "SECRET_KEY": "of a benchmark, and long enough for the checks that look at its length",
            "DJANGO_SETTINGS_MODULE": "config.settings",
        }
        log = open_.enter_context((data / "servers.log").open("ab"))
        open_.enter_context(embedded.running([embedded.postgres(home)], log))
        django.setup()
        from django.core.management import call_command  # noqa: PLC0415  Django is there now
        from django.db import connection  # noqa: PLC0415

        call_command("migrate", verbosity=0)
        try:
            with connection.cursor() as cursor:
                cursor.execute("SHOW server_version")
                version: str = cursor.fetchone()[0]
            yield version
        finally:
            connection.close()
            embedded_home.discard(data)


def run(options: argparse.Namespace) -> str:
    """Measure, and give the tables."""
    with database() as server:
        from benchmarks import growing, locomo  # noqa: PLC0415  they need Django

        parts = [
            f"`python -m benchmarks.memory` on {datetime.now(UTC):%Y-%m-%d}: {proc.machine()}; PostgreSQL {server}, "
            f"embedder {settings.EMBEDDER}."
        ]
        if not options.no_quality:
            path = Path(os.environ.get("LOCOMO") or OWN)
            _tell(f"recall on {path.name}")
            parts += locomo.tables(path, ablations=not options.quick, tell=_tell)
        if not options.no_costs:
            sizes = [rows for rows in ROWS if rows <= options.rows]
            parts += growing.tables(sizes, tell=_tell)
    return "\n\n".join(parts) + "\n"


def main() -> int:
    """Run, print, and write where it is asked for."""
    options = arguments()
    text = run(options)
    print(text)
    if options.write:
        report.write(PAGE, text, START, END)
    return 0


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
