"""`manage.py up`: the whole stack on this machine."""

import os
import sys

from django.core.management.base import BaseCommand


class Command(BaseCommand):
    """Becomes the supervisor, which does without Django."""

    help = "Start PostgreSQL, Valkey, web, worker and scheduler; Ctrl-C stops them. HOST and PORT say where."
    requires_system_checks = ()

    def handle(self, *args: object, **options: object) -> None:
        """Replace this process."""
        os.execv(sys.executable, [sys.executable, "-m", "config.stack"])
