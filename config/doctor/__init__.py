"""The doctor: what a deployment is like, part by part, and what to mend.

A check is a function that yields findings; it asks, and changes nothing. What cannot be asked because something else is
down is that something's finding, and none of its own.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

log = logging.getLogger(__name__)


class Level(StrEnum):
    """How bad it is: nothing to do, to look at, to mend."""

    OK = "OK"
    WARN = "WARN"
    BAD = "BAD"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: of which part, how it is, and what to do next where that is anything."""

    level: Level
    part: str
    text: str
    todo: str = ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the operator asks for beyond the cheap checks, and how large the deployment is."""

    audit: bool = False
    providers: bool = False
    webs: int = 1
    workers: int = 1


Check = Callable[[Wanted], Iterator[Finding]]


def ok(part: str, text: str) -> Finding:
    """Nothing to do."""
    return Finding(Level.OK, part, text)


def warn(part: str, text: str, todo: str) -> Finding:
    """To be looked at."""
    return Finding(Level.WARN, part, text, todo)


def bad(part: str, text: str, todo: str) -> Finding:
    """To be mended."""
    return Finding(Level.BAD, part, text, todo)


def examine(checks: list[tuple[str, Check]], wanted: Wanted) -> Iterator[Finding]:
    """The findings of each check, one after the other; one that breaks down is a finding itself."""
    for part, check in checks:
        try:
            yield from check(wanted)
        except Exception as error:  # a doctor that dies of the disease tells nothing of the rest
            log.debug("a check broke down", exc_info=True)
            said = f"{type(error).__name__}: {error}".strip().splitlines()[0][:300]
            yield bad(part, f"could not be checked: {said}", "Mend what stands above first, then look again.")
