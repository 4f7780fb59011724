"""`manage.py reseal`: after a new key was put first in SEALING_KEYS, and before the old one is taken away."""

from django.core.management.base import BaseCommand

from core import sealed


class Command(BaseCommand):
    """Seals every stored secret anew with the newest key."""

    help = "Seal every stored secret anew with the first of SEALING_KEYS; safe while the service runs."

    def handle(self, *args: object, **options: object) -> None:
        """Reseal and say how many; raises SealBroken, which names the row, where no key opens a secret."""
        self.stdout.write(f"{sealed.rotate()} secrets sealed anew.")
