"""`manage.py chat`: talk to a companion from a terminal."""

import json
import os
import sys
from argparse import ArgumentParser
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from rich.console import Console

from config.doctor import surroundings
from config.terminal import harmless
from config.terminal.client import Client, Trouble
from config.terminal.screen import Screen
from config.terminal.talk import Leave, Talk

LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


class Command(BaseCommand):
    """A client of the public API; it starts no server and reads no database."""

    help = "Talk to a companion. A message on standard input is answered on standard output."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Where, as whom, with whom."""
        parser.add_argument("--url", default="", help="of the installation; COUNTERSIGN_URL, else this machine's own")
        parser.add_argument("--key", default="", help="a key or token; better in COUNTERSIGN_KEY, which no list shows")
        parser.add_argument("--companion", default="", help="its type, such as smart-home; the first one without it")
        parser.add_argument("--session", default="", help="go on with the session of this id")
        parser.add_argument("--last", action="store_true", help="go on with the newest session")

    def handle(self, *args: Any, **options: Any) -> None:
        """Talk until the person leaves; fails with what to do."""
        url, key = _where(options["url"], options["key"])
        piped = not sys.stdin.isatty()
        told = Console(stderr=True, highlight=False, markup=False, emoji=False)
        out = Console(highlight=False, markup=False, emoji=False, no_color=piped or None)
        screen = Screen(out, told if piped else out, plain=piped)
        client = Client(url, key)
        try:
            talk = _talk(client, screen, options)
            if piped:
                self._answer(talk)
                return
            if not talk.session:
                screen.line(f"You talk with {harmless.line(talk.companion, 60)} at {client.url}. /help lists commands.")
            talk.loop()
        except Trouble as trouble:
            raise CommandError(str(trouble)) from None
        except (Leave, KeyboardInterrupt):
            sys.exit(130)
        finally:
            client.close()

    def _answer(self, talk: Talk) -> None:
        """One message from a pipe; the exit code tells how the answer ended."""
        said = sys.stdin.read(settings.MESSAGE_LIMIT + 1)
        if not said.strip():
            raise CommandError("There is nothing on standard input to say.")
        if len(said) > settings.MESSAGE_LIMIT:
            raise CommandError(f"The message is longer than {settings.MESSAGE_LIMIT:,} characters.")
        status = talk.say(said)
        if status != "completed":
            sys.exit(2 if status.startswith("awaiting") else 1)


def _talk(client: Client, screen: Screen, options: dict[str, Any]) -> Talk:
    """The conversation that the options ask for; raises Trouble or CommandError."""
    known = [str(one["type"]) for one in client.get("/v1/ai/companions")["companions"]]
    wanted = options["companion"]
    if wanted and wanted not in known:
        raise CommandError(f"There is no companion {wanted!r}. There are: {', '.join(known) or 'none'}.")
    if not wanted and not known:
        raise CommandError("There is no companion yet: make one at /admin/.")
    talk = Talk(client, screen, companion=wanted or ("" if options["last"] else known[0]))
    session = options["session"] or (talk.newest() if options["last"] else "")
    talk.companion = talk.companion or known[0]
    if session:
        try:
            talk.resume(str(UUID(session)))
        except ValueError:
            raise CommandError(f"{session!r} is no id of a session.") from None
    return talk


def _where(url: str, key: str) -> tuple[str, str]:
    """The installation and the key: as they are named, else the demo's of this machine."""
    file = settings.DATA_DIR / "demo.json"
    demo = json.loads(file.read_text()) if file.is_file() else {}
    own = str(demo.get("base_url") or surroundings.address() or settings.PUBLIC_URL)
    url = url or os.environ.get("COUNTERSIGN_URL", "") or own
    key = key or os.environ.get("COUNTERSIGN_KEY", "") or (demo["keys"]["secret"] if demo and url == own else "")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise CommandError(f"{url!r} is no address: it begins with http:// or https://.")
    if not key:
        other = "" if demo else f" Or set DATA_DIR to where the demo is, whose member you are then: not {file.parent}."
        raise CommandError(f"Set COUNTERSIGN_KEY to a key of yours: /console/ or /admin/ makes one.{other}")
    if not key.isascii() or not key.isprintable():
        raise CommandError("That is no key: copy it again.")
    if parts.scheme == "http" and parts.hostname not in LOCAL:
        sys.stderr.write("The key travels unencrypted to this address: use https.\n")
    return url, key
