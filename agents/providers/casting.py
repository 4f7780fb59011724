"""Which tools the rehearsal calls: what a directive says, what the words of a message name, what a result calls for."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, product
from typing import Any

from agents.providers.base import ChatMessage, ChatRequest, ToolCall, ToolDefinition
from agents.providers.directions import Directions, Planned, When, whens

MOST = 50  # calls of a step
MOST_QUOTED = 1_500  # characters of one result
DEEPEST = 3  # levels of a result that are told as lists
_WORD = re.compile(r"[^\W_]+")
_NUMBER = re.compile(r"(?<![\w.])-?\d{1,9}(?:\.\d{1,6})?(?![\w.]*\w)")


@dataclass(frozen=True, slots=True)
class Turn:
    """What happened since the person's last message: the calls, and the results by their ids."""

    number: int
    calls: tuple[ToolCall, ...]
    results: tuple[ChatMessage, ...]
    latest: frozenset[str]  # the ids of the calls of the last step
    said: str

    @classmethod
    def of(cls, request: ChatRequest) -> "Turn":
        """The turn that a request goes on with."""
        number, since = 0, list[ChatMessage]()
        for message in request.messages:
            if message.role == "user":
                number, since = number + 1, []
            else:
                since.append(message)
        spoken = [message for message in since if message.role == "assistant"]
        called = [message.calls for message in spoken if message.calls]
        return cls(
            number=number,
            calls=tuple(call for calls in called for call in calls),
            results=tuple(message for message in since if message.role == "tool"),
            latest=frozenset(call.call_id for call in called[-1]) if called else frozenset(),
            said="".join(message.content for message in spoken),
        )


def calls(request: ChatRequest, turn: Turn, directions: Directions) -> list[ToolCall]:
    """What to call now: nothing where no tool is offered, and no tool again whose result is there."""
    if not request.tools:
        return []
    planned = [one for one in directions.calls if one.forever]
    if turn.results:
        had = {call.name for call in turn.calls}
        follow = _following(turn, [*directions.whens, *whens(request.system)])
        planned += [one for one in follow if one.tool not in had]
    else:
        planned += [one for one in directions.calls if not one.forever]
        planned = planned or list(_named(request.tools, directions.text))
    first = len(turn.calls) + 1
    return [
        ToolCall(f"call_{turn.number}_{place}", one.tool, one.arguments, one.raw)
        for place, one in enumerate(planned[:MOST], first)
    ]


def told(turn: Turn) -> Iterator[str]:
    """What each tool said, in the order of the calls; of a call that did not run, why."""
    names = {call.call_id: call.name for call in turn.calls}
    for result in turn.results:
        name = names.get(result.call_id) or result.name or "a tool"
        found = _json(result.content)
        if isinstance(found, dict) and "refused" in found:
            yield f"{name} did not run ({found['refused']}): “{str(found.get('reason', ''))[:MOST_QUOTED]}”"
        else:
            yield f"{name} said:{_readable(result.content)[:MOST_QUOTED]}"


def _readable(content: str) -> str:
    """A result in words: JSON, which may stand below a line of words, as a list with an item for each value."""
    found = _json(content)
    if not isinstance(found, dict | list) or not found:
        return f" {content}"
    above = content.partition("\n")[0].strip()
    words = "" if above.startswith(("{", "[")) else f" {above}"
    return "\n".join([words, "", *_items(found)])


def _items(found: Any, depth: int = 0) -> Iterator[str]:
    """The items of an object or a list, one a line; what lies deeper than a few levels stays JSON."""
    mark = "  " * depth + "- "
    named = found.items() if isinstance(found, dict) else (("", one) for one in found)
    for name, value in named:
        label = f"{name}: " if name else ""
        if isinstance(value, dict) and not any(isinstance(one, dict | list) for one in value.values()):
            yield mark + label + ", ".join(f"{key}: {_word(one)}" for key, one in value.items())
        elif isinstance(value, dict | list) and value and depth < DEEPEST:
            yield mark + (f"{name}:" if name else "one of them:")
            yield from _items(value, depth + 1)
        else:
            yield mark + label + _word(value)


def _word(value: Any) -> str:
    return " ".join(value.split()) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _following(turn: Turn, rules: Sequence[When]) -> Iterator[Planned]:
    """The calls that the latest results ask for by the rules."""
    latest = [result for result in turn.results if result.call_id in turn.latest]
    for rule, result in product(rules, latest):
        for one in _objects(_json(result.content)):
            if _as_text(one.get(rule.name)) == rule.value.casefold():
                yield Planned(rule.tool, {name: one.get(source) for name, source in rule.arguments.items()})


def _json(content: str) -> Any:
    """The JSON of a result, which may stand below a line of words."""
    for text in (content, content.partition("\n")[2]):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            continue
    return None


def _objects(found: Any) -> list[dict[str, Any]]:
    """The objects of a list, or of the first list within an object."""
    if isinstance(found, dict):
        found = next((value for value in found.values() if isinstance(value, list)), None)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _as_text(value: Any) -> str:
    return (value if isinstance(value, str) else json.dumps(value)).casefold()


def _named(tools: Iterable[ToolDefinition], text: str) -> Iterator[Planned]:
    """The calls of the one tool that the words name best: by its name and by what its parameters can be."""
    words = frozenset(_stem(word) for word in _WORD.findall(text.casefold()))
    numbers = [float(number) for number in _NUMBER.findall(text)]
    best, most = list[Planned](), 0
    for tool in tools:
        found, score = _fitting(tool, words, numbers)
        if score > most:
            best, most = found, score
    yield from best


def _fitting(tool: ToolDefinition, words: frozenset[str], numbers: list[float]) -> tuple[list[Planned], int]:
    """The calls of a tool that the words name, with how many words say so; none where they do not."""
    properties: dict[str, Any] = tool.parameters.get("properties", {})
    required = set(tool.parameters.get("required", ()))
    given: dict[str, list[Any]] = {}
    heard = set[str]()
    for name, one in properties.items():
        values, by = _values(one, words)
        if values:
            given[name] = values
            heard |= by
        elif len(numbers) == 1 and _is_number(one):
            given[name] = [_as_number(numbers[0])]
    name_words = {_stem(word) for word in tool.name.casefold().split("_")}
    stood_for = {_stem(name) for name in given}
    by_name = name_words <= words | stood_for or bool(ENOUGH & name_words & words)
    by_values = sum(name in given for name in required) >= 2
    if not required <= set(given) or not (by_name or by_values):
        return [], 0
    made = [dict(zip(given, values, strict=True)) for values in islice(product(*given.values()), MOST)]
    return [Planned(tool.name, arguments) for arguments in made], len(heard | (name_words & words))


def _values(one: dict[str, Any], words: frozenset[str]) -> tuple[list[Any], set[str]]:
    """Those of a parameter's values that the words name best, with these words."""
    best, most, heard = list[Any](), 0, set[str]()
    for value in _enum(one):
        whole = {_stem(word) for word in _WORD.findall(str(value).casefold())}
        part = {_stem(word) for word in _WORD.findall(str(value).casefold().partition(".")[2])}
        named = whole if whole <= words else part if part <= words else set()
        if len(named) > most:
            best, most, heard = [value], len(named), set(named)
        elif named and len(named) == most:
            best.append(value)
            heard |= named
    return best, heard


def _enum(one: dict[str, Any]) -> list[Any]:
    for option in (one, *one.get("anyOf", ())):
        if "enum" in option:
            return [value for value in option["enum"] if isinstance(value, str)]
    return []


def _is_number(one: dict[str, Any]) -> bool:
    return any(option.get("type") in ("number", "integer") for option in (one, *one.get("anyOf", ())))


def _as_number(number: float) -> float | int:
    return int(number) if number.is_integer() else number


def _stem(word: str) -> str:
    """A word without its plural."""
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


ENOUGH = frozenset(map(_stem, ("status", "list", "logs")))  # each names a tool by itself
