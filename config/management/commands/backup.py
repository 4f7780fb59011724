"""`manage.py backup`: all that this installation keeps, in one file."""

from argparse import ArgumentParser
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError

from config.backups import taking
from core.errors import DomainError


class Command(BaseCommand):
    """Writes a backup while everything runs."""

    help = "Write database, images and audit key to one file, as they are at one moment, while everything runs."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Where to, and whether with keys."""
        parser.add_argument("destination", help="a new file that ends with .tar, or a folder that is there")
        parser.add_argument(
            "--with-keys", action="store_true", help="SECRET_KEY and SEALING_KEYS too: who has the file has it all"
        )

    def handle(self, *args: Any, destination: str, with_keys: bool, **options: Any) -> None:
        """Write it; fails with what to do."""
        target = Path(destination).absolute()
        if target.is_dir():
            target /= f"countersign-{datetime.now(UTC):%Y%m%d-%H%M%S}.tar"
        elif destination.endswith("/") or target.suffix != ".tar":  # a disk that is not mounted is not written beside
            raise CommandError(
                f"There is no folder {target}: mount it or make it first, or name a new file that ends with .tar."
            )
        try:
            manifest = taking.take(target, with_keys=with_keys, tell=self._say)
        except DomainError as error:
            raise CommandError(error.detail) from None
        except (OSError, OperationalError) as error:
            raise CommandError(f"{target} was not written: {error}") from None
        self._say(f"{target}: {taking.size(target.stat().st_size)}, {len(manifest['parts'])} parts.")
        if with_keys:
            self._say("The keys are in it: keep it as safe as they are.")
        else:
            self._say(
                "SECRET_KEY and SEALING_KEYS are not in it. Keep them elsewhere: what is sealed in the database "
                "(keys of providers, secrets of tools) opens with them alone."
            )

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()
