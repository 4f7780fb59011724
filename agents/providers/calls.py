"""Tool calls as OpenAI's API streams them: fragments by index, put together to whole calls. Pure."""

from collections.abc import Collection, Iterator
from typing import Any

import msgspec

from agents.providers.base import ToolCall
from core import ids

MOST_CALLS = 128
MOST_CHARACTERS = 256_000  # of all arguments of an answer
LONGEST_ID = 64
LONGEST_NAME = 200
LONGEST_RAW = 10_000  # of what is no JSON object, which is kept to be looked at
DEEPEST = 32
LARGEST = 2**63


class Function(msgspec.Struct):
    """What is called; the arguments are a JSON text in pieces, of some servers an object."""

    name: str | None = None
    arguments: Any = None


class Fragment(msgspec.Struct):
    """A piece of a call."""

    index: int | None = None
    id: str | None = None
    function: Function | None = None


class TooMuch(Exception):
    """More calls, or longer ones, than an answer may have."""


class _Call:
    __slots__ = ("call_id", "name", "pieces")

    def __init__(self) -> None:
        self.call_id = self.name = ""
        self.pieces: list[str] = []


class Calls:
    """The calls of an answer, fed with the fragments as they come."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._at: dict[int, _Call] = {}  # by the index of their stream
        self._room = MOST_CHARACTERS

    def __bool__(self) -> bool:
        return bool(self._calls)

    def feed(self, fragments: list[Fragment]) -> None:
        """Add fragments; raises TooMuch."""
        for fragment in fragments:
            function = fragment.function or Function()
            call = self._call_of(fragment.index, fragment.id or "", function.name or "")
            call.call_id = call.call_id or fragment.id or ""
            call.name = call.name or function.name or ""
            self._add(call, function.arguments)

    def _call_of(self, index: int | None, call_id: str, name: str) -> _Call:
        """The call that a fragment belongs to.

        Some servers send no index, and some the same one with every call: a name with another id begins a new call.
        """
        last = self._calls[-1] if self._calls else None
        held = last if index is None else self._at.get(index)
        if held is not None and name and held.name:
            begins = call_id != held.call_id if call_id else index is None
            held = None if begins else held
        if held is None:
            if len(self._calls) >= MOST_CALLS:
                raise TooMuch(f"called more than {MOST_CALLS} tools at once")
            held = _Call()
            self._calls.append(held)
        if index is not None:
            self._at[index] = held
        return held

    def _add(self, call: _Call, arguments: Any) -> None:
        if arguments is None:
            return
        piece = arguments if isinstance(arguments, str) else msgspec.json.encode(arguments).decode()
        self._room -= len(piece)
        if self._room < 0:
            raise TooMuch(f"sent more than {MOST_CHARACTERS:,} characters of arguments")
        call.pieces.append(piece)

    def whole(self, taken: Collection[str]) -> Iterator[ToolCall]:
        """The calls in order, with ids that are neither taken nor doubled, made up where the server sent none."""
        used = set(taken)
        for call in self._calls:
            call_id = call.call_id
            if not (call_id.isascii() and call_id.isprintable() and 0 < len(call_id) <= LONGEST_ID) or call_id in used:
                call_id = f"call_{ids.new().hex}"
            used.add(call_id)
            raw = "".join(call.pieces)
            arguments = parse(raw)
            kept = "" if arguments is not None else _storable(raw[:LONGEST_RAW])
            yield ToolCall(call_id, _storable(call.name[:LONGEST_NAME]), arguments, kept)


def parse(raw: str) -> dict[str, Any] | None:
    """The arguments in a JSON text, none in an empty one; None where it is no object that can be stored."""
    if not raw.strip():
        return {}
    try:
        found = _cleaned(msgspec.json.decode(raw), DEEPEST)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _cleaned(value: Any, depth: int) -> Any:
    """The value without NUL, which the database does not keep; raises ValueError for what is too deep or too large."""
    if isinstance(value, str):
        return _storable(value)
    if isinstance(value, int) and abs(value) >= LARGEST:
        raise ValueError("a number is too large")
    if isinstance(value, dict | list) and not depth:
        raise ValueError("it is nested too deeply")
    if isinstance(value, dict):
        return {_storable(key): _cleaned(inner, depth - 1) for key, inner in value.items()}
    return [_cleaned(inner, depth - 1) for inner in value] if isinstance(value, list) else value


def _storable(text: str) -> str:
    return text.replace("\x00", "\ufffd")
