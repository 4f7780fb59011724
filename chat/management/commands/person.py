"""`manage.py person`: all that is kept of a person, out to a file or gone for good."""

import os
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.models import Membership, User
from chat.services import exporting, leaving
from core.errors import DomainError
from core.ledger import SYSTEM


class Command(BaseCommand):
    """A person, from a shell."""

    help = "Export all that is kept of a person, or erase them."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The verbs, and what each takes."""
        verbs = parser.add_subparsers(dest="verb", required=True)
        export = verbs.add_parser("export", help="write a zip of all that is kept of a person")
        erase = verbs.add_parser("erase", help="delete what a person said, their memories, their account; for good")
        for verb in (export, erase):
            verb.add_argument("email", help="their e-mail address")
        export.add_argument("file", type=Path, help="a file that is not there yet")
        erase.add_argument("--yes", action="store_true", help="do not ask")

    def handle(self, *args: Any, verb: str, email: str, **options: Any) -> None:
        """Do what the verb says; fails with what to do."""
        user = User.objects.filter(email=email.strip().lower()).first()
        if user is None:
            raise CommandError(f"Nobody has the address {email!r}. Who was erased has none any more.")
        try:
            getattr(self, f"_{verb}")(user, **options)
        except DomainError as error:
            raise CommandError(f"{error.code}: {error.detail}") from None
        except OSError as error:
            raise CommandError(str(error)) from None

    def _export(self, user: User, file: Path, **_: Any) -> None:
        if file.exists():
            raise CommandError(f"{file} is there already: choose another name.")
        scratch = file.with_name(f".{file.name}.partial")
        of = Membership.objects.filter(user=user).select_related("workspace").order_by("created_at")
        try:
            with open(scratch, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as out:
                for chunk in exporting.export(user, of, who=SYSTEM):
                    out.write(chunk)
            scratch.replace(file)
        finally:
            scratch.unlink(missing_ok=True)
        self.stdout.write(f"{file}: {file.stat().st_size:,} bytes. It has all that {user.email} said: keep it safe.")

    def _erase(self, user: User, yes: bool, **_: Any) -> None:
        leaving.check(user)
        if not yes:
            self._ask(user)
        left = leaving.erase(user, by=SYSTEM)
        self.stdout.write(
            f"Erased: {left.conversations} conversations, {left.memories} memories, what {left.actions} actions said, "
            f"{left.events} events of the audit log. Backups still have them: see docs/operations.md."
        )

    def _ask(self, user: User) -> None:
        if not sys.stdin.isatty():
            raise CommandError("This cannot be undone. Say --yes where nobody can be asked.")
        self.stdout.write(
            f"All that {user.email} said, all that is remembered of them, and their account will be gone."
        )
        if input("This cannot be undone. Type their address to go on: ").strip().lower() != user.email:
            raise CommandError("That is not their address: nothing was erased.")
