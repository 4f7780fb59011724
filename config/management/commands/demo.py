"""`manage.py demo`: demo data for an empty installation."""

import json
from argparse import ArgumentParser

from django.conf import settings
from django.core.management.base import BaseCommand

from config import demo


class Command(BaseCommand):
    """Makes the demo once; afterwards only the address in its file is kept up to date."""

    help = "Make two demo workspaces where there is none yet; logins and keys go to DATA_DIR/demo.json."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Where the stack will be reached."""
        parser.add_argument("--base-url", default="http://127.0.0.1:8000")

    def handle(self, *args: object, base_url: str, **options: object) -> None:
        """Make the demo, or say that it is there."""
        file = settings.DATA_DIR / "demo.json"
        if not demo.exists():
            self.stdout.write("Making demo data …")
            demo.make(base_url=base_url, file=file)
        elif file.is_file():
            facts = json.loads(file.read_text())
            if facts.get("base_url") != base_url:
                demo.write(file, {**facts, "base_url": base_url})
