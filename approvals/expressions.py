"""What can be seen of an expression of CEL without understanding it: brackets, loops, names that they bind, patterns.

The library tells what an expression refers to and no more; what an evaluation costs hangs on this.
"""

import re
from math import prod

LOOPS = {"all", "exists", "exists_one", "existsOne", "map", "filter"}
_COMPILED = 100_000, 400_000, 150_000_000  # steps for a pattern, for each of its classes, and at most
_TOKEN = re.compile(
    r"""//[^\n]*
    | (?P<string>
        (?:r|R|br|bR|BR|Br)(?:\"{3}(?:.|\n)*?\"{3}|'{3}(?:.|\n)*?'{3}|\"[^\"\n]*\"|'[^'\n]*')
        | [bB]?(?:\"{3}(?:\\.|[^\\])*?\"{3}|'{3}(?:\\.|[^\\])*?'{3}|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*') )
    | (?P<other>[A-Za-z_]\w*|[^\s\w])""",
    re.VERBOSE,
)
_COUNT = re.compile(r"[{,]\s*(\d+)")
_CLASS = re.compile(r"\\[wWdDsSpPbB]")
_HIDDEN = re.compile(r"\\[xXuU0-7]")  # an escape of CEL's own, behind which anything could stand


class Text:
    """An expression, read from left to right.

    `patterns_unread` says that a pattern is not written out plainly; `outward`, that loops see more than their items.
    """

    def __init__(self, expression: str) -> None:
        found = [match for match in _TOKEN.finditer(expression) if match.lastgroup]
        self._texts = [match[0] for match in found]
        self.tokens = ["" if match["string"] else match[0] for match in found]
        self.bound: set[str] = set()
        self.deepest = self.compiling = 0
        self.repeats: list[int] = []
        self.patterns_unread = self.outward = False
        self._loops: list[str] = []
        self._nested = 0
        self._read()

    @property
    def loops(self) -> int:
        """The power by which cost grows with a list's length: what `map` makes can be gone through by all others."""
        making = "map" in self._loops or "filter" in self._loops
        return (len(self._loops) if "map" in self._loops else self._nested) + making

    def _read(self) -> None:
        opened: list[bool] = []  # of each bracket whether a loop goes on within it
        around = ["", "", *self.tokens, ""]
        for place, token in enumerate(self.tokens):
            before, name, after = around[place], around[place + 1], around[place + 3]
            if token in ("(", "[", "{"):
                loop = token == "(" and before == "." and name in LOOPS
                opened.append(loop)
                if loop:
                    self._loops.append(name)
                    self.bound.add(after)
                if token == "(" and name == "matches":
                    self._pattern(self._texts[place + 1 : place + 3])
            elif token in (")", "]", "}") and opened:
                opened.pop()
            self.outward |= token == "args" and any(opened)
            self.deepest, self._nested = max(self.deepest, len(opened)), max(self._nested, sum(opened))

    def _pattern(self, following: list[str]) -> None:
        literal = following[0] if following else ""
        raw = literal[:1] in ("r", "R")
        if following[1:] != [")"] or literal[:1] not in ("r", "R", '"', "'") or (not raw and _HIDDEN.search(literal)):
            self.patterns_unread = True
        counts = [int(count) or 1 for count in _COUNT.findall(literal)]
        times = prod(counts) if ")" in literal else max(1, sum(counts))
        each, by_class, most = _COMPILED
        self.repeats.append(times)
        self.compiling += min(most, each + by_class * len(_CLASS.findall(literal)) * times)
