"""A described tool's request, made from arguments: none of them leaves its place, and secrets are filled in last."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from yarl import URL

from agents.models import Tool
from core import guarded
from core.errors import Invalid

PLACES = ("path", "query", "header", "body", "whole")
BODILESS = ("GET", "HEAD", "DELETE")
LONGEST_VALUE = 2_000  # characters of an argument in an address or a header
HIDDEN = "[hidden]"

SECRET = re.compile(r"\{secret:([A-Z][A-Z0-9_]{0,63})\}")
_HOLE = re.compile(r"\{([A-Za-z0-9_.-]{1,64})\}")
_WIRE = re.compile(r"[!-~]{1,200}")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_PRINTABLE = re.compile(r"[\t -~]*")
# What says where a request goes, how it is framed and which it is: that is ours to say.
_OURS = {
    "host", "content-length", "content-type", "transfer-encoding", "connection", "upgrade", "te", "trailer", "expect",
    "accept-encoding", "idempotency-key", "cookie", "keep-alive", "forwarded", "x-http-method",
    "x-http-method-override", "x-method-override", "x-original-url", "x-rewrite-url",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Request:
    """What would be sent, with secrets as names."""

    method: str
    url: str
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    form: bool = False

    @property
    def content(self) -> bytes | None:
        """The body's bytes."""
        if self.body is None:
            return None
        return urlencode(self.body).encode() if self.form else msgspec.json.encode(self.body)


def names(tool: Tool) -> list[str]:
    """The names of the secrets that a tool refers to."""
    texts = [tool.url, *map(str, tool.headers.values())]
    return list(dict.fromkeys(name for text in texts for name in SECRET.findall(text)))


def host(tool: Tool) -> str:
    """The host of a tool's address, with its port unless it is the usual one of https: in the clear it is another."""
    parts = URL(tool.url.partition("{")[0])
    named = (parts.host_subcomponent or "").lower()
    return named if (parts.scheme, parts.port) == ("https", 443) else f"{named}:{parts.port}"


def check(tool: Tool) -> None:
    """Raises Invalid where no request could be made of the description, or one that leaves its place."""
    _check_address(tool.url)
    known = set(tool.parameters["properties"])
    places = places_of(tool)
    if unknown := sorted(set(tool.places) - known):
        raise Invalid.field("places", f"{unknown[0][:64]} is not one of the parameters")
    holes = set(_HOLE.findall(SECRET.sub("", tool.url)))
    filled = {wire for place, wire in places.values() if place == "path"}
    if holes != filled:
        raise Invalid.field("url", f"names {sorted(holes)}, and of the parameters {sorted(filled)} go into the path")
    if missing := sorted({name for name, (place, _) in places.items() if place == "path"} - _required(tool)):
        raise Invalid.field("parameters", f"{missing[0]} goes into the path, so that it must be required")
    taken = {place for place, _ in places.values()}
    if taken & {"body", "whole"} and (tool.method in ("GET", "HEAD") or {"body", "whole"} <= taken):
        raise Invalid.field("places", "a GET or HEAD has no body; a whole body is one parameter")
    if len([1 for place, _ in places.values() if place == "whole"]) > 1:
        raise Invalid.field("places", "a whole body is one parameter")
    if "whole" in taken and tool.body == "form":
        raise Invalid.field("body", "a whole body is JSON")
    _check_headers(tool, [wire for place, wire in places.values() if place == "header"])


def _required(tool: Tool) -> set[str]:
    return set(tool.parameters.get("required", ()))


def _check_address(url: str) -> None:
    before, _, query = url.partition("?")
    if "{secret:" in before or "#" in url:
        raise Invalid.field("url", "has no fragment, and secrets in its query alone")
    if any(SECRET.sub("", text).count("{") != len(_HOLE.findall(SECRET.sub("", text))) for text in (before, query)):
        raise Invalid.field("url", "has braces that name no parameter and no secret")
    if _HOLE.search(SECRET.sub("", query)):
        raise Invalid.field("url", 'parameters of the query are not in the address: give them the place "query"')
    try:
        guarded.parse(_HOLE.sub("x", before), longest=guarded.LONGEST_LINK)
        guarded.parse(SECRET.sub("x", _HOLE.sub("x", url)), longest=guarded.LONGEST_LINK)
    except guarded.UrlRefused as error:
        raise Invalid.field("url", error.detail) from None
    if "{" in before.split("/", 3)[2]:
        raise Invalid.field("url", "has a fixed host: parameters begin after it")


def _check_headers(tool: Tool, wires: list[str]) -> None:
    if not isinstance(tool.headers, dict) or len(tool.headers) > 20:
        raise Invalid.field("headers", "are an object of at most 20 texts")
    for name, value in tool.headers.items():
        if not isinstance(value, str) or len(value) > LONGEST_VALUE or not _PRINTABLE.fullmatch(value):
            raise Invalid.field("headers", f"{name[:60]} is no text of printable ASCII")
        if "{secret:" in SECRET.sub("", value):
            raise Invalid.field("headers", f"{name[:60]} names no secret: write {{secret:NAME}}, of A-Z, 0-9 and _")
    seen = [name.lower() for name in (*tool.headers, *wires)]
    for name in seen:
        if not _HEADER.fullmatch(name) or name in _OURS or name.startswith(("proxy-", "sec-", "x-forwarded-")):
            raise Invalid.field("headers", f"{name[:60]!r} cannot be set")
    if len(set(seen)) < len(seen):
        raise Invalid.field("headers", "one stands twice")


def places_of(tool: Tool) -> dict[str, tuple[str, str]]:
    """Where each parameter goes, and its name there; raises Invalid for a place that is none."""
    if not isinstance(tool.places, dict):
        raise Invalid.field("places", "are an object of parameters and places")
    holes = set(_HOLE.findall(SECRET.sub("", tool.url.partition("?")[0])))
    found = {}
    for name in tool.parameters["properties"]:
        usual = "path" if name in holes else "query" if tool.method in BODILESS else "body"
        said = tool.places.get(name, usual)
        place, _, wire = said.partition(":") if isinstance(said, str) else ("", "", "")
        if place not in PLACES or not _WIRE.fullmatch(wire or name):
            raise Invalid.field("places", f"of {name} is none of {', '.join(PLACES)}")
        found[name] = place, wire or name
    return found


def made(tool: Tool, arguments: Mapping[str, Any], *, hide: frozenset[str] = frozenset()) -> Request:
    """The request that checked arguments make; raises Invalid for a value that cannot stand where it goes."""
    path, pairs, headers, fields = dict[str, str](), list[tuple[str, str]](), dict[str, str](), dict[str, Any]()
    body: Any = None
    places = places_of(tool)
    for name, value in arguments.items():
        place, wire = places.get(name, ("", ""))
        if not place:
            raise Invalid.field(name, "is not a parameter of this tool")
        value = HIDDEN if name in hide else value
        match place:
            case "path":
                path[wire] = _segment(name, value)
            case "query":
                pairs += [(wire, _text(name, one)) for one in _several(value)]
            case "header":
                headers[wire] = _line(name, ",".join(_text(name, one) for one in _several(value)))
            case "body":
                fields[wire] = value
            case "whole":
                body = value
    before, _, query = tool.url.partition("?")
    before = _HOLE.sub(lambda found: path[found[1]], before)
    query = "&".join(filter(None, [query, urlencode(pairs, quote_via=quote, safe="")]))
    url = f"{before}?{query}" if query else before
    if len(url) > guarded.LONGEST_LINK:
        raise Invalid(f"The address would have over {guarded.LONGEST_LINK:,} characters.")
    form = tool.body == "form"
    if fields:
        body = [(key, _text(key, one)) for key, value in fields.items() for one in _several(value)] if form else fields
    return Request(tool.method, url, {**tool.headers, **headers}, body, form)


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _text(name: str, value: Any) -> str:
    """A value as text: of JSON, what is none yet."""
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    if len(text) > LONGEST_VALUE * 50:
        raise Invalid.field(name, "is too long")
    return text


def _segment(name: str, value: Any) -> str:
    """A value as one segment of a path, which it cannot leave."""
    text = _text(name, value)
    # Some servers take what follows a semicolon for parameters, and `..;` for `..`; clients send it unescaped.
    if text in ("", ".", "..") or ";" in text or len(text) > LONGEST_VALUE or isinstance(value, list | dict | None):
        raise Invalid.field(name, "is one part of a path: not empty, `.` or `..`, without `;`, no list and no object")
    return quote(text, safe="")


def _line(name: str, text: str) -> str:
    if not _PRINTABLE.fullmatch(text) or len(text) > LONGEST_VALUE or SECRET.search(text):
        raise Invalid.field(name, f"goes into a header: up to {LONGEST_VALUE:,} printable ASCII characters in one line")
    return text
