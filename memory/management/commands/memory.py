"""`manage.py memory`: a person's memories out and in, and vectors for those that have none yet."""

from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from django.core.management.base import BaseCommand, CommandError

from accounts.models import Actor, Membership
from companions import services as companions
from companions.models import Companion
from core import jsonbody
from core.errors import DomainError
from core.ledger import SYSTEM
from memory import embedders
from memory.services import embedding, portability, standing

MOST_LINES = 100_000
LONGEST_LINE = 500_000  # bytes
MOST_TOLD = 20  # refusals that are shown
VERBS = {
    "export": "print a person's memories",
    "import": "store memories of an export, or messages of old conversations, for a person; what is there is kept once",
    "embed": "make the vectors that are missing",
}
Line = tuple[int, Any, str]  # its number, what it says, why it cannot be read


class Command(BaseCommand):
    """Memories, from a shell."""

    help = "Export or import a person's memories, or make missing vectors."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The verbs, and what each takes."""
        verbs = parser.add_subparsers(dest="verb", required=True)
        for verb, text in VERBS.items():
            one = verbs.add_parser(verb, help=text)
            if verb == "embed":
                continue
            one.add_argument("--workspace", required=True, help="its short name")
            one.add_argument("--person", required=True, help="the e-mail address of a member")
            one.add_argument("--companion", default="", help="its type; without it each memory's own, or all")
            if verb == "import":
                one.add_argument("file", help=f"JSON Lines, {MOST_LINES:,} at most")
            else:
                one.add_argument("--to", choices=["jsonl", "markdown"], default="jsonl")

    def handle(self, *args: Any, verb: str, **options: Any) -> None:
        """Do what the verb says; fails where it cannot."""
        try:
            if verb == "embed":
                self._embed()
            else:
                whose = _whose(options["workspace"], options["person"], options.pop("companion"))
                getattr(self, f"_{verb}")(*whose, **options)
        except DomainError as error:
            raise CommandError(f"{error.code}: {error.detail}") from None

    def _export(self, actor: Actor, companion: Companion | None, to: str, **_: Any) -> None:
        told = portability.export(actor, companion=companion, who=SYSTEM)
        for text in portability.as_markdown(told) if to == "markdown" else portability.as_lines(told):
            self.stdout.write(text, ending="")

    def _import(self, actor: Actor, companion: Companion | None, file: str, **_: Any) -> None:
        try:
            with Path(file).open("rb") as lines:
                total = sum(1 for _ in _lines(lines))
                if total > MOST_LINES:
                    raise CommandError(f"{file} has more than {MOST_LINES:,} lines. Split it, and import each part.")
                lines.seek(0)
                self._store(actor, companion, _lines(lines), total)
        except OSError as error:
            raise CommandError(f"{file} cannot be read: {error.strerror}.") from None

    def _store(self, actor: Actor, companion: Companion | None, lines: Iterator[Line], total: int) -> None:
        done = added = same = refused = 0
        for part in _parts(lines):
            read = [(number, value) for number, value, problem in part if not problem]
            faults = [(number, "bad_json", problem) for number, _, problem in part if problem]
            if read:
                came = portability.load(actor, [value for _, value in read], companion=companion, who=SYSTEM)
                added, same = added + came.added, same + came.same
                faults += [(read[one["index"]][0], one["code"], one["detail"]) for one in came.refused]
            for number, code, detail in sorted(faults)[: max(0, MOST_TOLD - refused)]:
                self.stderr.write(f"line {number}: {code}: {ascii(detail)[1:-1][:300]}")  # nothing steers the terminal
            done, refused = done + len(part), refused + len(faults)
            self._say(f"{done:,}/{total:,}: {added:,} added, {same:,} there already, {refused:,} refused")
        if not total:
            self.stdout.write("There is nothing in it.")
        if refused:
            raise CommandError(f"{refused:,} of {total:,} lines refused, as told above; the others are stored.")

    def _embed(self) -> None:
        embedder = embedders.current()
        if not embedder.dimensions:
            self.stdout.write(f"No vectors are made: {embedder.state()}.")
            return
        total, done, made = standing.waiting(most=None), 0, embedding.AT_ONCE
        while made >= embedding.AT_ONCE:
            made = embedding.embed_missing()
            done += made
            self._say(f"{done:,}/{max(total, done):,}")

    def _say(self, progress: str) -> None:
        """How far it is, told at once: also to a file or another program, for which output is gathered."""
        self.stdout.write(progress)
        self.stdout.flush()


def _whose(workspace: str, person: str, companion: str) -> tuple[Actor, Companion | None]:
    """The member, and the companion that is named; raises CommandError, UnknownCompanion."""
    rows = Membership.objects.filter(workspace__slug=workspace, user__email=person.lower())
    member = rows.select_related("workspace", "user").first()
    if member is None:
        raise CommandError(f"There is no member {person} of a workspace {workspace!r}.")
    actor = Actor(member.user, member.workspace, member)
    return actor, companions.find(actor, companion) if companion else None


def _lines(file: IO[bytes]) -> Iterator[Line]:
    """The lines that are not blank, each with its number; at most one more than may be."""
    number = count = 0
    while count <= MOST_LINES and (line := file.readline(LONGEST_LINE + 1)):
        number += 1
        long = len(line) > LONGEST_LINE
        while long and line and not line.endswith(b"\n"):
            line = file.readline(LONGEST_LINE)
        if not long and not line.strip():
            continue
        count += 1
        yield (number, None, f"The line is longer than {LONGEST_LINE:,} bytes.") if long else _read(number, line)


def _read(number: int, line: bytes) -> Line:
    try:
        return number, jsonbody.loads(line, limit=LONGEST_LINE), ""
    except DomainError as error:
        return number, None, error.detail


def _parts(lines: Iterator[Line]) -> Iterator[list[Line]]:
    part: list[Line] = []
    for line in lines:
        part.append(line)
        if len(part) == portability.MOST_AT_ONCE:
            yield part
            part = []
    if part:
        yield part
