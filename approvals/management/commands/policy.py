"""`manage.py policy`: list, export, import and simulate the rules of a workspace."""

import json
import sys
from argparse import ArgumentParser
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from accounts.models import Actor, Membership, Role, Workspace
from approvals.models import Policy
from approvals.services import policies, rulefile, simulation
from approvals.services.policies import Draft
from core import jsonbody
from core.errors import DomainError

LARGEST = 4_000_000  # bytes of a file
MOST_DAYS = 3_650
VERBS = {
    "list": "show the rules",
    "export": "print the rules as JSON",
    "import": "store the rules of a file, by name, all or none",
    "simulate": "judge past calls by the rules of a file too, and list what would change; nothing is stored",
}


class Command(BaseCommand):
    """The rules of a workspace, from a shell."""

    help = "List, export, import or simulate the policies of a workspace."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The verbs, and what each takes."""
        verbs = parser.add_subparsers(dest="verb", required=True)
        for verb, text in VERBS.items():
            one = verbs.add_parser(verb, help=text)
            one.add_argument("--workspace", required=True, help="its short name")
            if verb in ("import", "simulate"):
                one.add_argument("file", help="a JSON file with a rule or a list of them; - for standard input")
                one.add_argument("--replace", action="store_true", help="rules that the file does not have go")
            if verb == "import":
                one.add_argument("--by", required=True, help="the e-mail address of an admin, for the audit log")
            if verb == "simulate":
                one.add_argument("--days", type=int, default=30, help="how far to look back")

    def handle(self, *args: Any, verb: str, workspace: str, **options: Any) -> None:
        """Do what the verb says; fails with the field that does not fit."""
        found = Workspace.objects.filter(slug=workspace).first()
        if found is None:
            raise CommandError(f"There is no workspace {workspace!r}.")
        try:
            getattr(self, f"_{verb}")(found, **options)
        except DomainError as error:
            raise CommandError(f"{error.code}: {error.detail}") from None

    def _list(self, workspace: Workspace, **_: Any) -> None:
        rows = Policy.objects.filter(workspace=workspace).order_by("priority", "name")
        for row in rows:
            off = "" if row.enabled else " (off)"
            self.stdout.write(f"{row.priority:5} {row.effect:5} {row.tool:30} {row.name}{off}")
        many = "1 rule" if len(rows) == 1 else f"{len(rows)} rules"
        self.stdout.write(f"{many}, version {policies.current(workspace.pk).version}")

    def _export(self, workspace: Workspace, **_: Any) -> None:
        self.stdout.write(json.dumps(rulefile.write(workspace), indent=2, ensure_ascii=False))

    def _import(self, workspace: Workspace, file: str, by: str, replace: bool, **_: Any) -> None:
        member = Membership.objects.filter(workspace=workspace, user__email=by.lower(), role=Role.ADMIN).first()
        if member is None:
            raise CommandError(f"{by} is no admin of the workspace.")
        drafts = _drafts(workspace, file, replace)
        version = policies.apply(drafts, by=Actor(member.user, workspace, member))
        gone = sum(draft.remove for draft in drafts)
        self.stdout.write(f"version {version.version}: {len(drafts) - gone} rules stored, {gone} removed")

    def _simulate(self, workspace: Workspace, file: str, replace: bool, days: int, **_: Any) -> None:
        if not 1 <= days <= MOST_DAYS:
            raise CommandError(f"--days is from 1 to {MOST_DAYS}.")
        first, *beside = _drafts(workspace, file, replace)
        since = timezone.now() - timedelta(days=days)
        report = simulation.simulate(first, since, beside=beside, most=None, progress=self._progress)
        self.stdout.write(f"{report.changed:,} of {report.judged:,} calls would be judged otherwise.")
        for (now, then), count in report.counts.most_common():
            self.stdout.write(f"{count:9,}  {now} -> {then}")
        for one in report.examples:
            arguments = json.dumps(one.arguments)[:200]  # in ASCII: nothing of it can steer the terminal
            self.stdout.write(f"  {one.at:%Y-%m-%d %H:%M} {one.agent} {one.tool} {arguments}: {one.now} -> {one.then}")

    def _progress(self, judged: int) -> None:
        self.stderr.write(f"\r{judged:,} calls", ending="" if self.stderr.isatty() else "\n")


def _drafts(workspace: Workspace, file: str, replace: bool) -> list[Draft]:
    """What the file says, and with `replace` the removal of all else; fails where that is nothing."""
    try:
        body = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}.") from None
    drafts = rulefile.read(workspace, jsonbody.loads(body, limit=LARGEST))
    drafts += rulefile.others(workspace, drafts) if replace else []
    if not drafts:
        raise CommandError("There is no rule in it.")
    return drafts
