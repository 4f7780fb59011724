"""Requests of tools to what a workspace is connected to, with errors that say whether anything can have happened.

A connection is set by an admin of the workspace and may lead to a private address: that is where a home and an
inventory are. Redirects are not followed, answers are bounded, and no secret comes back in a message.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit
from uuid import UUID

import aiohttp
import httpx
import msgspec
from aiohttp.http_exceptions import HttpProcessingError
from django.db.models import TextField
from django.db.models.functions import Cast

from agents.models import Connection, ConnectionKind
from agents.providers import upstream
from agents.tools import outside
from agents.tools.registry import MaybeSent, NotSent, ToolError, ToolFailed
from core import outbound, sealed

CONNECT_SECONDS = 5.0
LOOK_SECONDS = 3.0  # for a look at the world while somebody waits for a verdict
KEPT_SECONDS = 10.0  # how long names are known, and how long one that does not answer is left alone
MOST_KEPT = 1_000
BODY_LIMIT = 2_000_000
WORDS_LIMIT = 64_000
SANDBOX = "sandbox"
MAYBE_DONE = {302, 303, 408, 409, 425}  # a server may say so of a request that it took, or is still at work on

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Remote:
    """Where a workspace's tools work; `title` says so to people."""

    title: str
    base_url: str
    token: str = field(default="", repr=False)

    @property
    def place(self) -> str:
        """The title and the host, for people."""
        return f"{self.title} at {urlsplit(self.base_url).netloc.rpartition('@')[2]}"


def connected(workspace_id: UUID, kind: ConnectionKind, place: str = "") -> Remote | None:
    """What the workspace is connected to, None for the sandbox; raises ToolFailed where it is switched off.

    For a call that was judged for a `place`, also where it is another one by now.
    """
    title = str(kind.label).partition(" (")[0]
    row = Connection.objects.filter(workspace_id=workspace_id, kind=kind).first()
    if place and place != (SANDBOX if row is None else _place(row.pk, row.base_url, row.token)):
        raise ToolFailed(f"The connection to {title} was changed since the call was judged. Propose it again.")
    if row is None:
        return None
    if not row.enabled:
        raise ToolFailed(f"The connection to {title} is switched off.")
    return Remote(title, row.base_url, row.token)


def place(kind: ConnectionKind) -> Callable[[UUID], str]:
    """What approvals of tools are bound to that work by such a connection: its address and token, as a hash."""

    def where(workspace_id: UUID) -> str:
        rows = Connection.objects.filter(workspace_id=workspace_id, kind=kind).annotate(raw=Cast("token", TextField()))
        row = rows.values_list("pk", "base_url", "raw").first()
        return _place(row[0], row[1], sealed.opened(row[2])) if row else SANDBOX

    return where


def _place(pk: UUID, base_url: str, token: str) -> str:
    return sealed.fingerprint(str(pk), base_url, token)


def look(remote: Remote, asking: Callable[[Remote], Coroutine[Any, Any, T]]) -> T:
    """What a question to a remote gives, asked from synchronous code and soon given up; raises ToolError.

    One that has just not answered is not asked: somebody waits, and would wait for every call of a step.
    """

    async def soon() -> T:
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                return await asking(remote)
        except TimeoutError:
            raise MaybeSent(f"{remote.title} has not answered within {LOOK_SECONDS:g} seconds.") from None

    if _silent.get(remote, 0.0) > time.monotonic():
        raise NotSent(f"{remote.title} did not answer a moment ago.")
    try:
        return asyncio.run(soon())
    except (NotSent, MaybeSent):
        _keep(_silent, remote, time.monotonic() + KEPT_SECONDS)
        raise


async def request(remote: Remote, method: str, path: str, *, key: str = "", body: Any = None) -> bytes:
    """The body of the answer; raises ToolFailed, NotSent or MaybeSent.

    A key is sent as `Idempotency-Key`: a server that honours it does nothing twice.
    """
    headers = {"Accept": "application/json", "Content-Type": "application/json"}
    if remote.token:
        headers["Authorization"] = f"Bearer {remote.token}"
    if key:
        headers["Idempotency-Key"] = key
    content = None if body is None else msgspec.json.encode(body)
    response = await _send(remote, method, path, headers, content)
    try:
        raw = await _read(remote, response)
        await outbound.release(response)
    finally:
        outbound.abort(response)
    raw = outside.redacted(raw, [remote.token])
    if 200 <= response.status_code < 300:
        return raw
    raise refusal(remote, method, response.status_code, raw)


async def _send(
    remote: Remote, method: str, path: str, headers: dict[str, str], content: bytes | None
) -> httpx.Response:
    client = outbound.client()
    timeout = httpx.Timeout(None, connect=CONNECT_SECONDS)
    try:
        url = remote.base_url.rstrip("/") + path
        outgoing = client.build_request(method, url, headers=headers, content=content, timeout=timeout)
        return await client.send(outgoing, stream=True)
    except (ValueError, httpx.InvalidURL, httpx.UnsupportedProtocol):
        # Not chained: the text of such an error can hold the token that does not fit into a header.
        raise ToolFailed(f"{remote.title} cannot be asked: its address or token is not well formed.") from None
    except (httpx.HTTPError, aiohttp.ClientError, OSError) as error:
        kind = NotSent if _before_the_request(error) else MaybeSent
        raise kind(f"{remote.title} does not answer: {upstream.reason(error)}.") from error


def _before_the_request(error: BaseException) -> bool:
    """Whether no connection came about, so that nothing of the request left this machine."""
    # The cause alone tells: the transport calls a connection that was lost later a ConnectTimeout as well.
    return isinstance(error.__cause__, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)


async def _read(remote: Remote, response: httpx.Response) -> bytes:
    """The whole body, of a refusal no more than its words; raises MaybeSent where it breaks off or has no end."""
    reader = outbound.body(response)
    succeeded = response.status_code < 300
    limit = BODY_LIMIT if succeeded else WORDS_LIMIT
    parts, size = [], 0
    try:
        while size <= limit and (part := await reader.readany()):
            parts.append(part)
            size += len(part)
    except (aiohttp.ClientError, HttpProcessingError, OSError) as error:
        if succeeded:
            raise MaybeSent(f"{remote.title} broke off in the middle of its answer.") from error
    if succeeded and size > limit:
        raise MaybeSent(f"{remote.title} answered with more than {limit:,} bytes.")
    return b"".join(parts)


def refusal(remote: Remote, method: str, status: int, raw: bytes) -> ToolError:
    """The error that an answer with another status than 2xx stands for."""
    detail = f"{remote.title} answered {status}"
    try:
        words = upstream.read_error(msgspec.json.decode(raw))[1]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        words = ""  # a page of HTML says nothing to the reader
    detail += f": {upstream.without(remote.token, words)}" if words else "."
    if status == 429:
        return NotSent(detail)
    if status in (401, 403):
        return ToolFailed(f"{remote.title} refused the token of the connection.")
    changing = method != "GET"
    if status >= 500 or (changing and status in MAYBE_DONE):
        return MaybeSent(detail)
    if 300 <= status < 400:
        detail += " Redirects are not followed."
    return ToolFailed(detail)


def decode(remote: Remote, raw: bytes, kind: type[T]) -> T:
    """The answer of a question as this type; raises ToolFailed where it is something else."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ToolFailed(f"{remote.title} answered with something that is not what its API says.") from None


_names: dict[Remote, tuple[float, list[str]]] = {}
_silent: dict[Remote, float] = {}


def names(remote: Remote, asking: Callable[[Remote], Coroutine[Any, Any, list[str]]]) -> list[str] | None:
    """What a remote calls what it has, asked every few seconds at most; None while it does not tell."""
    known = _names.get(remote)
    if known is None or known[0] < time.monotonic():
        try:
            known = time.monotonic() + KEPT_SECONDS, look(remote, asking)
        except ToolError:
            return None
        _keep(_names, remote, known)
    return known[1]


def forget(remote: Remote | None = None) -> None:
    """Ask anew the next time, one remote or all."""
    for kept in (_names, _silent):
        if remote is None:
            kept.clear()
        else:
            kept.pop(remote, None)


def _keep(kept: dict[Remote, T], remote: Remote, what: T) -> None:
    if len(kept) >= MOST_KEPT:
        kept.clear()
    kept[remote] = what
