"""Tool calls as servers that speak OpenAI's API stream them, each in its own way.

The name of the model says how: `calls:<way>`. The call is always `service_restart` of the service Grüße 🙂.
"""

import json
from collections.abc import Awaitable, Callable

from tests.servers.openai_wire import Wire, data, event

ARGUMENTS = '{"service": "Grüße 🙂", "lines": [1, 2.5, null]}'
Piece = dict


def piece(
    index: int | None = 0, call_id: str | None = None, name: str | None = None, arguments: object = None
) -> Piece:
    """A fragment of a call; what is None is not there."""
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    found: Piece = {"index": index, "id": call_id, "type": "function" if call_id else None, "function": function}
    return {key: value for key, value in found.items() if value is not None}


async def speak(wire: Wire, *pieces: Piece, text: str = "", finish: str = "tool_calls") -> None:
    """A stream with these fragments, each in an event of its own."""
    await wire.head()
    await wire.say({"role": "assistant", "content": text or None})
    for one in pieces:
        await wire.say({"tool_calls": [one]})
    await wire.say({}, finish)
    if (wire.request.body.get("stream_options") or {}).get("include_usage"):
        await wire.write(data({"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 7}}))
    await wire.write(b"data: [DONE]\n\n")
    await wire.end()


async def plain(wire: Wire) -> None:
    """As OpenAI itself: id and name first, then the arguments a few characters at a time."""
    parts = [ARGUMENTS[at : at + 3] for at in range(0, len(ARGUMENTS), 3)]
    await speak(wire, piece(0, "call_abc", "service_restart", ""), *(piece(0, arguments=part) for part in parts))


async def with_text(wire: Wire) -> None:
    """Some words first."""
    await speak(wire, piece(0, "call_abc", "service_restart", ARGUMENTS), text="I shall restart it.")


async def split_bytes(wire: Wire) -> None:
    """The event with the arguments cut into packets of a byte, in the middle of characters too."""
    await wire.head()
    for byte in event({"tool_calls": [piece(0, "call_abc", "service_restart", ARGUMENTS)]}):
        await wire.write(bytes([byte]), 0.0005)
    await wire.say({}, "tool_calls")
    await wire.write(b"data: [DONE]\n\n")
    await wire.end()


async def several(wire: Wire) -> None:
    """Three calls at once, their fragments mixed."""
    await speak(
        wire,
        piece(0, "call_a", "service_restart", '{"service"'),
        piece(1, "call_b", "service_status", ""),
        piece(2, "call_c", "service_logs"),
        piece(0, arguments=': "web"}'),
        piece(2, arguments='{"lines": 5}'),
    )


async def no_index(wire: Wire) -> None:
    """Whole calls without an index, as Gemini's compatible API has sent them."""
    await speak(
        wire,
        piece(None, "call_a", "service_restart", '{"service": "web"}'),
        piece(None, "call_b", "service_restart", '{"service": "api"}'),
    )


async def same_index(wire: Wire) -> None:
    """Every call at index 0, told apart by their ids."""
    await speak(
        wire,
        piece(0, "call_a", "service_restart", '{"service": "web"}'),
        piece(0, "call_b", "service_restart", '{"service": '),
        piece(0, arguments='"api"}'),
    )


async def no_ids(wire: Wire) -> None:
    """No ids at all, with and without an index."""
    await speak(
        wire,
        piece(0, None, "service_restart", '{"service": "web"}'),
        piece(1, None, "service_restart", '{"service": "api"}'),
    )


async def no_ids_no_index(wire: Wire) -> None:
    """Neither ids nor an index."""
    await speak(
        wire,
        piece(None, None, "service_restart", '{"service": "web"}'),
        piece(None, None, "service_restart", '{"service": "api"}'),
    )


async def same_ids(wire: Wire) -> None:
    """The same id for every call."""
    await speak(
        wire,
        piece(0, "call_0", "service_restart", '{"service": "web"}'),
        piece(1, "call_0", "service_restart", '{"service": "api"}'),
    )


async def repeating(wire: Wire) -> None:
    """Id and name with each fragment."""
    await speak(
        wire,
        piece(0, "call_a", "service_restart", '{"service": '),
        piece(0, "call_a", "service_restart", '"web"}'),
    )


async def stops(wire: Wire) -> None:
    """A call, and `stop` as the reason."""
    await speak(wire, piece(0, "call_a", "service_restart", '{"service": "web"}'), finish="stop")


async def empty(wire: Wire) -> None:
    """A call without arguments."""
    await speak(wire, piece(0, "call_a", "service_status", ""), piece(1, "call_b", "service_status"))


async def as_object(wire: Wire) -> None:
    """Arguments as an object in place of a text."""
    await speak(wire, piece(0, "call_a", "service_restart", {"service": "web"}))


async def broken(wire: Wire, arguments: str) -> None:
    """Arguments that are no JSON object."""
    await speak(wire, piece(0, "call_a", "service_restart", arguments.replace("~", ":")))


async def nul(wire: Wire) -> None:
    """NUL in the name, the id and the arguments."""
    await speak(wire, piece(0, "call\x00", "service\x00", '{"ser\\u0000vice": ["w\\u0000b"]}'))


async def deep(wire: Wire) -> None:
    """Arguments that are nested deeper than anything of use."""
    await speak(wire, piece(0, "call_a", "service_restart", '{"a":' * 100 + "1" + "}" * 100))


async def many(wire: Wire) -> None:
    """More calls than anybody needs."""
    await speak(wire, *(piece(n, f"call_{n}", "service_status", "{}") for n in range(200)))


async def long(wire: Wire) -> None:
    """Arguments without an end."""
    await wire.head()
    await wire.say({"tool_calls": [piece(0, "call_a", "service_restart", '{"service": "')]})
    while True:
        await wire.say({"tool_calls": [piece(0, arguments="x" * 1000)]})


async def slow(wire: Wire, count: str, interval: str) -> None:
    """Fragments that take their time, and longer together than a silence may."""
    await wire.head()
    await wire.say({"tool_calls": [piece(0, "call_a", "service_restart", '{"service": "')]})
    for _ in range(int(count)):
        await wire.say({"tool_calls": [piece(0, arguments="x")]}, pause=float(interval))
    await wire.say({"tool_calls": [piece(0, arguments='"}')]})
    await wire.say({}, "tool_calls")
    await wire.write(b"data: [DONE]\n\n")
    await wire.end()


async def stall(wire: Wire) -> None:
    """A call that stops in its middle, with comments that keep the connection alive."""
    await wire.head()
    await wire.say({"tool_calls": [piece(0, "call_a", "service_restart", '{"service": "')]})
    while True:
        await wire.write(b": PROCESSING\n\n", 0.02)


async def cut(wire: Wire) -> None:
    """A call that the end of the connection cuts."""
    await wire.head()
    await wire.say({"tool_calls": [piece(0, "call_a", "service_restart", '{"service": "web"}')]}, pause=0.02)
    wire.drop()


async def whole(wire: Wire) -> None:
    """An answer that is not streamed."""
    called = [piece(None, name, "service_restart", '{"service": "web"}') for name in ("call_a", "call_b")]
    message = {"role": "assistant", "content": "Now.", "tool_calls": called}
    answer = {"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}
    await wire.whole(200, json.dumps(answer).encode())


WAYS: dict[str, Callable[..., Awaitable[None]]] = {
    way.__name__.replace("_", "-"): way
    for way in (
        plain, with_text, split_bytes, several, no_index, same_index, no_ids, no_ids_no_index, same_ids, repeating,
        stops, empty, as_object, broken, nul, deep, many, long, slow, stall, cut, whole,
    )
}  # fmt: skip


async def calls(wire: Wire, way: str, *arguments: str) -> None:
    """One of the ways."""
    await WAYS[way](wire, *arguments)
