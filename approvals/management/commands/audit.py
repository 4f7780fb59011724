"""`manage.py audit`: check the audit log, take it away, prove an event, forget a person, make the database role."""

import json
import sys
import time
from argparse import ArgumentParser
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from accounts.models import User, Workspace
from approvals.services import erasing, heads, proving, roles, sealing, verifying
from core.errors import DomainError
from core.ledger import SYSTEM

VERBS = {
    "verify": "check every place, hash, commitment and head; fails where something is not what was written",
    "export": "print a workspace's whole chain with its heads, one JSON object a line",
    "proof": "print an event with all that a stranger needs to check it",
    "erase": "delete what the log tells of a person; the chain holds without it",
    "role": "make or update the database role that may only add to the log",
    "key": "print the public key that heads are signed with",
}


class Command(BaseCommand):
    """The audit log, from a shell."""

    help = "Verify, export or prove the audit log; erase a person from it; make its database role."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The verbs, and what each takes."""
        verbs = parser.add_subparsers(dest="verb", required=True)
        one = {verb: verbs.add_parser(verb, help=text) for verb, text in VERBS.items()}
        one["verify"].add_argument("--workspace", help="its short name or id; all without it")
        one["verify"].add_argument(
            "--heads", type=Path, action="append", default=[], help="a file of heads kept outside"
        )
        one["verify"].add_argument("--public-key", action="append", default=[], help="a key besides the present one")
        one["export"].add_argument("workspace", help="its short name or id")
        one["export"].add_argument("--output", type=Path, help="a file that is not there yet; else standard output")
        one["proof"].add_argument("event", type=UUID, help="the event's id")
        one["erase"].add_argument("person", help="their id or e-mail address")
        one["role"].add_argument("name", help="such as countersign_app")

    def handle(self, *args: Any, verb: str, **options: Any) -> None:
        """Do what the verb says."""
        try:
            getattr(self, f"_{verb}")(**options)
        except DomainError as error:
            raise CommandError(f"{error.code}: {error.detail}") from None
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror}." if error.filename else str(error)) from None

    def _verify(self, workspace: str | None, **options: Any) -> None:
        told = [head for path in options["heads"] for head in heads.read(path.read_text().splitlines())]
        began = time.monotonic()
        found = verifying.verify(
            _workspace(workspace) if workspace else None,
            told=told,
            keys=options["public_key"],
            progress=self._progress,
        )
        seconds = time.monotonic() - began
        self.stderr.write("")
        for fault in found.faults:
            place = f"seq {fault.seq}" if fault.seq is not None else "no place"
            self.stdout.write(f"BAD  {fault.workspace_id}  {place}: {fault.text}")
        rate = found.rows / seconds if seconds else 0
        self.stdout.write(
            f"{found.rows} events in {found.chains} chains, {found.erased} of them erased, {found.heads} signed heads;"
            f" {seconds:.1f} s, {rate:.0f} events a second."
        )
        if not found.ok:
            raise CommandError("the audit log is not what was written")
        self.stdout.write("The log is what was written.")

    def _export(self, workspace: str, output: Path | None, **_: Any) -> None:
        workspace_id = _workspace(workspace)
        _seal_all()
        done = 0
        with ExitStack() as stack:
            file: Any = stack.enter_context(output.open("x")) if output else self.stdout
            for line in proving.export(workspace_id, by=SYSTEM):
                file.write(f"{line.text}\n" if output else line.text)
                done += line.events
                if done % 10_000 == 0 and line.events:
                    self._progress(done)
        self.stderr.write(f"{done} events exported.")

    def _proof(self, event: UUID, **_: Any) -> None:
        _seal_all()
        self.stdout.write(json.dumps(proving.proof(event), indent=2))

    def _erase(self, person: str, **_: Any) -> None:
        done = erasing.erase(_person(person))
        for erased in done:
            self.stdout.write(f"{erased.workspace_id}: {len(erased.events)} events, {erased.notices} notices")
            for event_id in erased.events:
                self.stdout.write(f"  {event_id}")
        if not done:
            self.stdout.write("The log tells nothing of this person.")

    def _role(self, name: str, **_: Any) -> None:
        roles.grant(name)
        self.stdout.write(f"{name} may add to the audit log and read it; set DATABASE_ROLE={name} to serve as it.")

    def _key(self, **_: Any) -> None:
        if not heads.has_key():  # one made by this question signed nothing
            raise CommandError(
                "No key is here, neither AUDIT_SIGNING_KEY nor the file audit_key: the first signed head makes it. "
                "Look where the workers run, with their DATA_DIR."
            )
        self.stdout.write(heads.public_key())

    def _progress(self, rows: int) -> None:
        if sys.stderr.isatty():
            self.stderr.write(f"\r{rows} events …", ending="")


def _seal_all() -> None:
    """Chain and sign what was committed, so that what was just done can be taken along."""
    while sealing.seal():
        pass
    heads.sign_heads()


def _workspace(text: str) -> UUID:
    """The id of a workspace, which may be gone: its log is not."""
    try:
        return UUID(text)
    except ValueError:
        found = Workspace.objects.filter(slug=text).values_list("pk", flat=True).first()
        if found is None:
            raise CommandError(f"There is no workspace {text!r}.") from None
        return found


def _person(text: str) -> UUID:
    """The id of a person, who may be gone: what the log tells of them is not."""
    try:
        return UUID(text)
    except ValueError:
        found = User.objects.filter(email=text.strip().lower()).values_list("pk", flat=True).first()
        if found is None:
            raise CommandError(f"Nobody has the address {text!r}.") from None
        return found
