"""`manage.py doctor`: what this deployment is like, and what to mend."""

import json
import sys
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand

from config.doctor import Check, Finding, Level, Wanted, examine, identities, servers, surroundings, work

CHECKS: list[tuple[str, Check]] = [
    ("settings", surroundings.check_settings),
    ("address", surroundings.check_address),
    ("files", surroundings.check_files),
    ("database", servers.check_postgres),
    ("role", servers.check_role),
    ("valkey", servers.check_valkey),
    ("web", work.check_web),
    ("workers", work.check_workers),
    ("scheduler", work.check_scheduler),
    ("to decide", work.check_waiting),
    ("audit log", work.check_audit),
    ("memory", work.check_memory),
    ("providers", work.check_providers),
    ("sign-in", identities.check_provider),
    ("e-mail", surroundings.check_mail),
]


class Command(BaseCommand):
    """Asks each part how it is; changes nothing."""

    help = "Check this deployment and say what to mend; exits with 1 where something is BAD."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """What is looked at more closely, and how it is told."""
        parser.add_argument("--audit", action="store_true", help="check every event of the audit log")
        parser.add_argument("--providers", action="store_true", help="ask every provider for its models")
        parser.add_argument("--webs", type=int, default=1, help="web processes, of which each takes connections")
        parser.add_argument("--workers", type=int, default=1, help="worker processes, likewise")
        parser.add_argument("--json", action="store_true", help="one JSON object, for programs")

    def handle(self, *args: Any, **options: Any) -> None:
        """Tell each finding as it comes; fails with code 1 where something is to be mended."""
        wanted = Wanted(**{name: options[name] for name in ("audit", "providers", "webs", "workers")})
        found = []
        for finding in examine(CHECKS, wanted):
            found.append(finding)
            if not options["json"]:
                self._tell(finding)
        counts = {level: sum(one.level == level for one in found) for level in Level}
        if options["json"]:
            told = {"ok": not counts[Level.BAD], "counts": counts, "findings": [asdict(one) for one in found]}
            self.stdout.write(json.dumps(told, indent=1))
        else:
            self.stdout.write(f"\n{counts[Level.BAD]} to mend, {counts[Level.WARN]} to look at.")
        if counts[Level.BAD]:
            sys.exit(1)

    def _tell(self, finding: Finding) -> None:
        paint = {Level.OK: self.style.SUCCESS, Level.WARN: self.style.WARNING, Level.BAD: self.style.ERROR}
        level = paint[finding.level](f"{finding.level:<4}")
        self.stdout.write(f"{level}  {_plain(finding.part):<10} {_plain(finding.text)}")
        if finding.todo:
            self.stdout.write(f"      {'':<10} → {_plain(finding.todo)}")
        self.stdout.flush()


def _plain(text: str) -> str:
    """The text without what could steer a terminal: servers' errors are among it."""
    return "".join(char if char.isprintable() else " " for char in text)
