"""`manage.py prepare`: what a start needs: the schema, the static files, and demo data on the first start."""

from argparse import ArgumentParser
from io import StringIO
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, connection
from django.db.migrations.executor import MigrationExecutor

from config import prepared


class Command(BaseCommand):
    """Does only what is not done yet."""

    help = "Migrate, collect the static files, and make the demo data of an empty installation."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Where the stack will be reached, and how much of it is wanted."""
        parser.add_argument("--base-url", default="http://127.0.0.1:8000")
        parser.add_argument("--schema-only", action="store_true", help="the schema and the role's grants, no more")
        parser.add_argument("--log", type=Path, help="where each migration is named, instead of here")

    def handle(
        self, *args: object, base_url: str, schema_only: bool, log: Path | None = None, **options: object
    ) -> None:
        """Run each step that has something to do."""
        try:
            connection.ensure_connection()
        except OperationalError as error:
            raise CommandError(f"the database does not answer: {error}") from None
        executor = MigrationExecutor(connection)
        if plan := executor.migration_plan(executor.loader.graph.leaf_nodes()):
            self._migrate(len(plan), log)
        if settings.DATABASE_ROLE:
            call_command("audit", "role", settings.DATABASE_ROLE, stdout=StringIO())
        if schema_only:
            return
        self._collect_static()
        call_command("demo", base_url=base_url)
        prepared.mark(settings.DATA_DIR, base_url)

    def _migrate(self, steps: int, log: Path | None) -> None:
        if log is None:
            call_command("migrate", interactive=False)
            return
        self.stdout.write(f"Bringing the database up to date by {steps} migration{'s' if steps > 1 else ''} …")
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w") as out:
            try:
                call_command("migrate", interactive=False, stdout=out, no_color=True)
            except Exception:
                self.stderr.write(f"A migration failed. How far it came is in {log}")
                raise

    def _collect_static(self) -> None:
        stamp, state = Path(settings.STATIC_ROOT) / ".collected", prepared.static_state()
        if stamp.is_file() and stamp.read_text() == state:
            return
        self.stdout.write("Collecting static files …")
        call_command("collectstatic", interactive=False, clear=True, verbosity=0)
        stamp.write_text(state)
