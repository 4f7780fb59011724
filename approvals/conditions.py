"""The conditions of rules: expressions of CEL over a call, which hold of it, do not, or say neither.

They are evaluated by a compiled library that nothing interrupts, on arguments that a model chose. So what an expression
can cost is estimated beforehand, and where that is too much it says neither; whoever judges then asks a person.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any

import cel

from approvals.calls import Call
from approvals.expressions import Text
from core import digest
from core.errors import Invalid

LONGEST = 2_000  # characters of an expression
DEEPEST = 40  # brackets within brackets: the library reads them by recursion
LARGEST = 65_536  # bytes of the arguments as JSON
MOST_STEPS = 400_000_000  # of the estimate, for all conditions of a call: half a second at worst
MODEST = (1_000, 20)  # bytes of arguments, and items of a list within them, that each condition must be able to take
NAMES = ("args", "person", "tool", "risk", "agent", "companion")
TYPES = {"int", "uint", "double", "bool", "string", "bytes", "list", "map", "null_type"}  # as type() names them
FUNCTIONS = {
    "size", "contains", "startsWith", "endsWith", "matches", "int", "uint", "double", "string", "bytes", "type", "dyn",
    "timestamp", "duration", "getFullYear", "getMonth", "getDayOfYear", "getDayOfMonth", "getDate", "getDayOfWeek",
    "getHours", "getMinutes", "getSeconds", "getMilliseconds",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Condition:
    """A compiled expression, and what its evaluation costs."""

    program: Any
    length: int
    growth: int  # by how much more than its operands a value can become: lists and texts are added up
    written: int  # items of lists that stand in the expression
    loops: int  # to which power the length of a list counts
    inward: bool  # whether loops look at their items alone
    repeats: int  # of the counted repetitions in patterns, all multiplied
    compiling: int  # steps to compile the patterns, which is done each time they are met

    def steps(self, size: int, longest: int) -> int:
        """The cost on arguments of so many bytes with lists of so many items, estimated rather too high."""
        items = (longest + self.written) * self.growth
        reading = self.length * (size + self.length) * self.growth * self.repeats
        # A loop that looks at nothing but its items reads the arguments once, however many they are.
        return int(reading * items ** (self.loops - self.inward) + self.compiling * items**self.loops)


def check(expression: str) -> None:
    """Raises Invalid, with the parser's words, for what is no condition or would always cost too much."""
    if len(expression) > LONGEST:
        raise Invalid.field("condition", f"at most {LONGEST:,} characters", "max_length")
    condition, text = _compiled(expression), Text(expression)
    if text.deepest > DEEPEST:
        raise Invalid.field("condition", f"brackets may stand {DEEPEST} deep in each other")
    used = condition.program.references()
    _known(set(used["variables"]) - text.bound, {*NAMES, *TYPES}, NAMES)
    _known({name for name in used["functions"] if name.isidentifier() and name[0] != "_"}, FUNCTIONS, FUNCTIONS)
    if text.patterns_unread or ("matches" in used["functions"]) != bool(text.repeats):
        raise Invalid.field("condition", 'matches() takes a pattern that is written out, such as matches(r"^a\\d+$")')
    if condition.steps(*MODEST) > MOST_STEPS:
        raise Invalid.field("condition", "costs too much: fewer loops in each other, or smaller repetitions", "costly")


def hold(expressions: Collection[str], call: Call) -> dict[str, bool | None]:
    """Of each expression whether it holds of the call; None where it says neither yes nor no.

    Each may cost an equal share, so that it does not matter in which order they come.
    """
    neither: dict[str, bool | None] = dict.fromkeys(expressions)
    if not neither:
        return neither
    try:
        size, longest = len(digest.canonical(call.arguments)), _most_items(call.arguments)
    except Invalid:
        return neither
    if size > LARGEST:
        return neither
    given, share = variables(call), MOST_STEPS // len(neither)
    return {expression: _evaluated(expression, given, size, longest, share) for expression in neither}


def variables(call: Call) -> dict[str, Any]:
    """What a condition sees of a call."""
    person = call.person
    return {
        "args": call.arguments,
        "person": {
            "id": str(person.id) if person else "",
            "email": person.email if person else "",
            "role": str(person.role) if person else "",
        },
        "tool": call.tool,
        "risk": str(call.risk),
        "agent": call.agent,
        "companion": call.companion,
    }


def _evaluated(expression: str, given: dict[str, Any], size: int, longest: int, share: int) -> bool | None:
    try:
        condition = _compiled(expression)
        value = condition.program.execute(given) if condition.steps(size, longest) <= share else None
    except BaseException as error:
        if not _of_the_library(error):
            raise
        return None
    return value if isinstance(value, bool) else None


@lru_cache(maxsize=2_000)
def _compiled(expression: str) -> Condition:
    try:
        program = cel.compile(expression)
    except BaseException as error:
        if not _of_the_library(error):
            raise
        raise Invalid.field("condition", str(error)[:500], "no_condition") from error
    text = Text(expression)
    return Condition(
        program=program,
        length=len(expression),
        growth=1 + text.tokens.count("+"),
        written=len(NAMES) + text.tokens.count(","),
        loops=text.loops,
        inward=text.loops > 0 and not text.outward,
        repeats=prod(text.repeats),
        compiling=text.compiling,
    )


def _of_the_library(error: BaseException) -> bool:
    """Whether it says something of the expression: a panic of the library is none of the errors that end a process."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def _known(names: Iterable[str], known: Collection[str], told: Iterable[str]) -> None:
    for name in sorted(set(names) - set(known)):
        raise Invalid.field("condition", f"{name!r} is not known; there is {', '.join(sorted(told))}", "unknown_name")


def _most_items(value: Any) -> int:
    """The most items that any list or object within holds."""
    most, left = 0, [value]
    while left:
        one = left.pop()
        if isinstance(one, dict | list):
            most = max(most, len(one))
            left.extend(one.values() if isinstance(one, dict) else one)
    return most
