"""`manage.py restore`: a backup back into an empty installation, or in place of one."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError

from config.backups import restoring
from core.errors import DomainError


class Command(BaseCommand):
    """Checks the file to its end, then restores it."""

    help = "Restore a file of `manage.py backup`; web processes, workers and scheduler must be stopped."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Where from, and whether what is there may be lost."""
        parser.add_argument("source", type=Path)
        parser.add_argument("--replace", action="store_true", help="lose all that this installation has now")

    def handle(self, *args: Any, source: Path, replace: bool, **options: Any) -> None:
        """Restore it; fails with what to do."""
        if not source.is_file():
            raise CommandError(f"There is no file {source.absolute()}. Nothing was begun.")
        try:
            done = restoring.restore(source, replace=replace, tell=self._say)
        except DomainError as error:
            raise CommandError(error.detail) from None
        except (OSError, OperationalError) as error:
            raise CommandError(f"The restore of {source} broke off: {error}") from None
        self._say(f"Restored. {done.events} events of the audit log were checked; everybody signs in anew.")
        for text in done.todo:
            self._say(f"TO DO  {text}")
        for text in done.faults:
            self._say(f"BAD  {text}")
        if done.faults:
            raise CommandError("It is restored, but the audit log is not what was written.")

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()
