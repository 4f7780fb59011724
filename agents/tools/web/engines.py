"""Search engines behind one interface: which one a workspace has, and how each is asked. One file for each engine."""

import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit
from uuid import UUID

import msgspec
from django.conf import settings
from django.core.signals import setting_changed
from django.db.models.signals import post_delete, post_save

from agents.models import Connection, ConnectionKind
from agents.providers import upstream
from agents.tools import outside
from agents.tools.registry import NotSent, ToolError, ToolFailed
from core import guarded, sealed
from core.publicnet import Endpoint, Place

SECONDS = 15.0
MOST_BYTES = 1_000_000

KNOWN_SECONDS = 3.0  # how long a change made by another process may go unseen
MOST_KNOWN = 10_000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Hit:
    """One thing that was found."""

    title: str
    url: str
    text: str = ""
    date: str = ""


@dataclass(frozen=True, slots=True)
class Engine:
    """Where an engine is, and what is sent with each request; `places` may be reached although they are not public."""

    kind: ConnectionKind
    base_url: str
    key: str = field(default="", repr=False)
    places: tuple[Place, ...] = ()

    @property
    def title(self) -> str:
        """What people call it."""
        return str(self.kind.label)

    async def ask(self, method: str, path: str, kind: type[T], *, headers: Mapping[str, str], body: Any = None) -> T:
        """The engine's answer as this type; raises ToolError, with the engine's words where it refuses."""
        content = None if body is None else msgspec.json.encode(body)
        sent = {
            "Accept": "application/json",
            **({} if body is None else {"Content-Type": "application/json"}),
            **headers,
        }
        try:
            answer = await guarded.request(
                method,
                self.base_url.rstrip("/") + path,
                headers=sent,
                content=content,
                seconds=SECONDS,
                most_bytes=MOST_BYTES,
                private=self.places,
            )
        except (guarded.UrlRefused, guarded.Unreachable) as error:
            raise ToolFailed(f"{self.title} cannot be asked. {error.detail}") from None
        raw = outside.redacted(answer.body, [self.key])
        if answer.status != 200:
            raise self._refusal(answer.status, raw)
        try:
            return msgspec.json.decode(raw, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise ToolFailed(f"{self.title} answered with something that is not what its API says.") from None

    def _refusal(self, status: int, raw: bytes) -> ToolError:
        detail = f"{self.title} answered {status}"
        try:
            words = _words(msgspec.json.decode(raw))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            words = ""  # a page of HTML says nothing to the reader
        detail += f": {upstream.without(self.key, words)}" if words else "."
        if 300 <= status < 400:
            detail += " Redirects are not followed."
        return NotSent(detail) if status == 429 else ToolFailed(detail)


def _words(found: Any) -> str:
    """What a refusal says, as these engines write it."""
    inner = found.get("detail") if isinstance(found, dict) else None
    return upstream.read_error(inner if isinstance(inner, dict) else found)[1]


Ask = Callable[[Engine, str, int], Coroutine[Any, Any, list[Hit]]]
_known: dict[UUID, tuple[float, bool]] = {}
ADDRESSES: Mapping[str, str] = {  # of those engines that are at one place for everybody
    ConnectionKind.BRAVE: "https://api.search.brave.com/res/v1",
    ConnectionKind.TAVILY: "https://api.tavily.com",
}
KINDS = (ConnectionKind.SEARXNG, ConnectionKind.BRAVE, ConnectionKind.TAVILY)  # which is taken where there are several


def of(workspace_id: UUID) -> Engine | None:
    """The engine of the workspace: one of its own before one that the environment names; None where there is none.

    A connection that is switched off takes the one of its kind from the environment away.
    """
    rows = {row.kind: row for row in Connection.objects.filter(workspace_id=workspace_id, kind__in=KINDS)}
    own = (rows[kind] for kind in KINDS if kind in rows and rows[kind].enabled)
    if row := next(own, None):
        kind = ConnectionKind(row.kind)
        return Engine(kind, row.base_url or ADDRESSES.get(kind, ""), row.token, settings.TOOL_PRIVATE_ADDRESSES)
    return next((engine for engine in _from_settings() if engine.kind not in rows), None)


def place(workspace_id: UUID) -> str:
    """What an approval of a search is bound to: which engine, at what address, and by a keyed hash as whom."""
    try:
        engine = of(workspace_id)
    except sealed.SealBroken:
        return "unreadable"
    return sealed.fingerprint(str(workspace_id), engine.kind, engine.base_url, engine.key) if engine else "none"


def exists(workspace_id: UUID) -> bool:
    """Whether the workspace has an engine; asked before every answer, so it is remembered for a moment."""
    known = _known.get(workspace_id)
    if known is None or known[0] < time.monotonic():
        known = time.monotonic() + KNOWN_SECONDS, of(workspace_id) is not None
        if len(_known) >= MOST_KNOWN:
            _known.clear()
        _known[workspace_id] = known
    return known[1]


def forget(**_: Any) -> None:
    """Look anew the next time."""
    _known.clear()


for _signal in (post_save, post_delete):
    _signal.connect(forget, sender=Connection, dispatch_uid="engines")
setting_changed.connect(forget, dispatch_uid="engines")


def _from_settings() -> list[Engine]:
    found = []
    if url := settings.SEARXNG_URL:
        found.append(Engine(ConnectionKind.SEARXNG, url, places=(_endpoint(url), *settings.TOOL_PRIVATE_ADDRESSES)))
    keys = {ConnectionKind.BRAVE: settings.BRAVE_API_KEY, ConnectionKind.TAVILY: settings.TAVILY_API_KEY}
    return found + [Engine(kind, ADDRESSES[kind], key) for kind, key in keys.items() if key]


def _endpoint(url: str) -> Endpoint:
    """The host and port of an address that the operator names, and so permits."""
    parts = urlsplit(url)
    return Endpoint(parts.hostname or "", parts.port or guarded.PORTS.get(parts.scheme, 0))
