"""`manage.py agent`: an agent of a workspace as one JSON file, out and in."""

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.models import Actor, Membership, Role, Workspace
from agents.models import Agent
from agents.services import bundles
from core.errors import DomainError


class Command(BaseCommand):
    """Agents as files, from a shell."""

    help = "Export an agent of a workspace as JSON, or make one of such a file."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The verbs, and what each takes."""
        verbs = parser.add_subparsers(dest="verb", required=True)
        out = verbs.add_parser("export", help="print the agent as JSON, with neither keys nor trust")
        out.add_argument("slug", help="the agent's short name")
        into = verbs.add_parser("import", help="make the agent of a file; it advises until it is trusted more")
        into.add_argument("file", help="what an export printed; - for standard input")
        into.add_argument("--as", dest="by", required=True, help="the e-mail address of an admin, who is its author")
        into.add_argument("--rename", default="", help="a short name in place of the file's")
        for one in (out, into):
            one.add_argument("--workspace", required=True, help="its short name")

    def handle(self, *args: Any, verb: str, workspace: str, **options: Any) -> None:
        """Do what the verb says; fails with the field of the file that does not fit."""
        found = Workspace.objects.filter(slug=workspace).first()
        if found is None:
            raise CommandError(f"There is no workspace {workspace!r}.")
        getattr(self, f"_{verb}")(found, **options)

    def _export(self, workspace: Workspace, slug: str, **_: Any) -> None:
        agent = Agent.objects.filter(workspace=workspace, slug=slug).first()
        if agent is None:
            raise CommandError(f"There is no agent {slug!r} in the workspace.")
        self.stdout.write(bundles.written(agent), ending="")

    def _import(self, workspace: Workspace, file: str, by: str, rename: str, **_: Any) -> None:
        admins = Membership.objects.filter(workspace=workspace, role=Role.ADMIN).select_related("user")
        member = admins.filter(user__email=by.lower(), user__is_active=True).first()
        if member is None:
            raise CommandError(f"{by} is no admin of the workspace.")
        try:
            made = bundles.read(_text(file), by=Actor(member.user, workspace, member), rename=rename)
        except DomainError as error:
            raise CommandError(f"{error.code}: {error.detail}") from None
        self.stdout.write(f"{made.slug} is made: version {made.version}, {made.autonomy}")


def _text(file: str) -> bytes:
    """What the file says, or as much of it as shows that it is too large; fails where it cannot be read."""
    if file == "-":
        return sys.stdin.buffer.read(bundles.LARGEST + 1)
    try:
        with Path(file).open("rb") as opened:
            return opened.read(bundles.LARGEST + 1)
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}.") from None
