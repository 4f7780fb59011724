"""One request to a provider over HTTP: opened, bounded in time, read as bytes, closed at once; errors in our terms."""

import asyncio
import os
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any

import aiohttp
import httpx
import msgspec
from aiohttp.http_exceptions import HttpProcessingError
from django.conf import settings

from agents.providers.base import (
    ContextTooLong,
    FirstTokenTimeout,
    ProviderError,
    ProviderRateLimited,
    ProviderSpec,
    ProviderUnauthorized,
    ProviderUnavailable,
    QuotaExhausted,
    Stalled,
    StreamCut,
    UnknownModel,
)
from core import guarded, outbound, tracing

ERROR_BODY_LIMIT = 64_000
DETAIL_LIMIT = 500
LONGEST_WORDS = 10_000
DEEPEST_WORDS, MOST_FAULTS = 4, 5  # of an error whose words are in a list
_SECRETS = re.compile(r"\b(?:(?:sk|gsk|rk|pk|xai|key|Bearer)[-_ ][\w.*-]{6,}|AIza[\w-]{20,})")
_MODEL_CODES = {"model_not_found", "unknown_model", "invalid_model"}
Refuse = Callable[[ProviderSpec, int, Any, float | None], ProviderError]
"""The error for a provider, an HTTP status, what its body says in JSON (None where it is none), and seconds to wait."""
_CONTEXT_CODES = {"context_length_exceeded", "exceed_context_size_error", "model_context_window_exceeded"}
# OpenAI and its kin, vLLM and Mistral; Anthropic; Google; llama.cpp and LM Studio.
_CONTEXT = re.compile(
    r"maximum context length|context_length_exceeded|prompt is too long|input token count.{0,40}exceeds"
    r"|exceed(?:s|ed)? (?:the )?(?:available |model'?s? )?(?:maximum |max )?context"
    r"|greater than the context length|context window",
    re.IGNORECASE,
)


class Upstream:
    """An open streaming answer. A timer watches it: until `spoke()` for the first token, then for the gaps."""

    __slots__ = ("_body", "_deadline", "_loop", "_response", "_spec", "_timer", "_waiting", "spoken")

    def __init__(self, spec: ProviderSpec, response: httpx.Response, deadline: float) -> None:
        self._spec, self._response = spec, response
        self._body = outbound.body(response)
        self._loop = asyncio.get_running_loop()
        self._deadline = deadline
        self._waiting = self.spoken = False
        self._timer = self._loop.call_at(deadline, self._look)

    @property
    def media_type(self) -> str:
        """The answer's media type, without its parameters."""
        return str(self._response.headers.get("content-type", "")).partition(";")[0].strip().lower()

    def spoke(self) -> None:
        """Note that a token came: the next may take as long as the gap between tokens."""
        self._deadline = self._loop.time() + self._spec.between_tokens_seconds
        if not self.spoken:
            self.spoken = True
            self._arm()

    def hurry(self, seconds: float) -> None:
        """Note that what is left must come within so many seconds."""
        self._deadline = self._loop.time() + seconds
        self._arm()

    def _arm(self) -> None:
        self._timer.cancel()
        self._timer = self._loop.call_at(self._deadline, self._look)

    async def read(self) -> bytes:
        """What has come, as soon as something has; empty at the end; raises ProviderError."""
        self._waiting = True
        try:
            return await self._body.readany()
        except (aiohttp.ClientError, HttpProcessingError, OSError) as error:
            raise StreamCut(f"{self._spec.name} ended its stream before its answer was complete.") from error
        finally:
            self._waiting = False

    async def read_all(self, limit: int) -> bytes:
        """The whole rest, or its first `limit` bytes and something over; raises ProviderError."""
        parts, size = [], 0
        while size <= limit and (part := await self.read()):
            parts.append(part)
            size += len(part)
        return b"".join(parts)

    async def release(self) -> None:
        """Keep the connection for the next request, where the answer was read to its end."""
        self._timer.cancel()
        await outbound.release(self._response)

    def close(self) -> None:
        """Close the connection, unless it was released; nothing is awaited, so that a cancel acts at once."""
        self._timer.cancel()
        outbound.abort(self._response)

    def _look(self) -> None:
        """Break a read off that has waited too long; a reader who is busy elsewhere is not the provider's fault."""
        now = self._loop.time()
        if now < self._deadline or not self._waiting:
            self._timer = self._loop.call_at(max(self._deadline, now + 0.05), self._look)
            return
        self._body.set_exception(silence(self._spec, spoken=self.spoken))


def silence(spec: ProviderSpec, *, spoken: bool) -> ProviderError:
    """The error of a provider that is silent for too long."""
    if spoken:
        return Stalled(f"{spec.name} sent nothing for {spec.between_tokens_seconds:g} seconds.")
    return FirstTokenTimeout(f"{spec.name} sent nothing within {spec.first_token_seconds:g} seconds.")


def refusal(spec: ProviderSpec, status: int, found: Any, retry_after: float | None) -> ProviderError:
    """The error that an answer stands for, by the shapes in which most providers tell of one."""
    code, words = read_error(found)
    return error_for(spec, status, code, words, retry_after=retry_after)


async def request(
    spec: ProviderSpec,
    method: str,
    path: str,
    *,
    headers: Mapping[str, str],
    body: bytes | None = None,
    refuse: Refuse = refusal,
) -> Upstream:
    """Send a request and wait for its answer's head; raises ProviderError, with the answer's words where it refuses."""
    deadline = asyncio.get_running_loop().time() + spec.first_token_seconds
    try:
        async with asyncio.timeout_at(deadline):
            response = await _send(spec, method, path, headers, body)
            if response.status_code == 200:
                return Upstream(spec, response, deadline)
            raise await _refused(spec, response, refuse)
    except TimeoutError:
        raise silence(spec, spoken=False) from None


@lru_cache(maxsize=256)
def _url(base_url: str, path: str) -> httpx.URL:
    """The address, parsed once: that takes longer than the rest of building a request."""
    return httpx.URL(base_url.rstrip("/") + path)


async def _send(
    spec: ProviderSpec, method: str, path: str, headers: Mapping[str, str], body: bytes | None
) -> httpx.Response:
    client = guarded.client(settings.PROVIDER_PRIVATE_ADDRESSES) if spec.guarded else outbound.client()
    headers = {**headers, **tracing.headers_for(spec.base_url)}
    timeout = httpx.Timeout(None, connect=spec.connect_seconds)
    try:
        outgoing = client.build_request(
            method, _url(spec.base_url, path), headers=headers, content=body, timeout=timeout
        )
        return await client.send(outgoing, stream=True)
    except (httpx.HTTPError, aiohttp.ClientError, OSError) as error:
        raise ProviderUnavailable(f"{spec.name} does not answer: {reason(error)}.") from error
    except (ValueError, httpx.InvalidURL):
        # Not chained: the text of such an error can hold the key that does not fit into a header.
        raise ProviderError(f"{spec.name} cannot be asked: its address or key is not well formed.") from None


def reason(error: BaseException) -> str:
    """A few words on why no connection came about, without addresses of the network inside."""
    cause = error.__cause__ or error
    if refused := guarded.refusal(cause):
        return refused[0].lower() + refused.rstrip(".")[1:]
    if isinstance(cause, aiohttp.ConnectionTimeoutError | httpx.TimeoutException | TimeoutError):
        return "the connection timed out"
    if isinstance(cause, aiohttp.ClientConnectorDNSError):
        return "its name cannot be resolved"
    if isinstance(cause, aiohttp.ClientSSLError):
        return "its certificate is not trusted"
    if isinstance(cause, aiohttp.ClientConnectorError):
        number = cause.os_error.errno
        return os.strerror(number).lower() if number else "the connection failed"
    return "the connection was closed"


async def no_stream(spec: ProviderSpec, opened: Upstream, refuse: Refuse = refusal) -> ProviderError:
    """The error of an answer of 200 that is no event stream: the one that it tells of, or that it is none."""
    media = opened.media_type
    found = json_of(await opened.read_all(ERROR_BODY_LIMIT)) if media.endswith("json") else None
    first = found[0] if isinstance(found, list) and found else found
    if isinstance(first, dict) and first.get("error"):
        return refuse(spec, 200, found, None)
    return ProviderError(
        f"{spec.name} answered with {media[:60] or 'no media type'} in place of an event stream. Is its address right, "
        "up to and with its version, such as /v1?"
    )


async def _refused(spec: ProviderSpec, response: httpx.Response, refuse: Refuse) -> ProviderError:
    """The error that an answer with another status than 200 stands for."""
    upstream = Upstream(spec, response, asyncio.get_running_loop().time() + spec.first_token_seconds)
    try:
        raw = await upstream.read_all(ERROR_BODY_LIMIT)
        await upstream.release()
    except ProviderError:
        raw = b""
    finally:
        upstream.close()
    return refuse(spec, response.status_code, json_of(raw), _retry_after(response.headers.get("retry-after")))


def json_of(raw: bytes) -> Any:
    """What a body says in JSON; None where it is none: a proxy's page of HTML says nothing to the reader."""
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def read_error(found: Any) -> tuple[str, str]:
    """The code and the words of an error in any of the shapes that providers send, empty where it has none."""
    if isinstance(found, list) and found:  # Google sends its errors in a list
        found = found[0]
    if isinstance(found, dict) and isinstance(found.get("error"), dict | str):
        found = found["error"]
    if isinstance(found, str):
        return "", found
    if not isinstance(found, dict):
        return "", ""
    return _code(found), _words(found, DEEPEST_WORDS)


def _words(found: Any, depth: int) -> str:
    """The words in an error: a text, an object around one, or a list of what is wrong where."""
    if isinstance(found, str) or not depth:
        return found if isinstance(found, str) else ""
    if isinstance(found, list):
        return "; ".join(filter(None, (_words(one, depth - 1) for one in found[:MOST_FAULTS])))
    if not isinstance(found, dict):
        return ""
    words = next(filter(None, (_words(found.get(key), depth - 1) for key in ("message", "detail", "msg"))), "")
    place = found.get("loc")
    return f"{'.'.join(map(str, place[:MOST_FAULTS]))}: {words}" if words and isinstance(place, list) else words


def _code(found: dict[str, Any]) -> str:
    code = found.get("code") or found.get("type") or ""
    return str(code) if isinstance(code, str | int) else ""


def error_for(
    spec: ProviderSpec, status: int, code: str, words: str, *, retry_after: float | None = None
) -> ProviderError:
    """Our error for a provider's status, code and words."""
    detail = f"{spec.name} answered {status}" + (f": {clean(spec, words)}" if words else ".")
    if status in (400, 413, 422) and (code in _CONTEXT_CODES or _CONTEXT.search(words[:LONGEST_WORDS])):
        return ContextTooLong(detail)
    names_model = code in _MODEL_CODES or "valid model" in words.lower()
    if names_model or (status == 404 and "model" in words.lower()):
        return UnknownModel(detail)
    if status in (401, 403):
        return ProviderUnauthorized(detail)
    if status == 402 or (status == 429 and code == "insufficient_quota"):
        return QuotaExhausted(detail)
    if status == 429:
        return ProviderRateLimited(detail, retry_after=retry_after)
    if status == 408 or status >= 500:
        return ProviderUnavailable(detail, retry_after=retry_after)
    if status == 404 and not words:
        detail += " Is its address right? Most end with /v1; Ollama's does not."
    if 300 <= status < 400:
        detail += " Redirects are not followed."
    return ProviderError(detail)


def clean(spec: ProviderSpec, words: str) -> str:
    """A provider's words, short, in one line and with whatever looks like a key taken out."""
    return without(spec.api_key, words)


def without(secret: str, words: str) -> str:
    """Words from outside, short, in one line, without the secret and whatever looks like a key."""
    if secret:
        words = words[:LONGEST_WORDS].replace(secret, "[key]")
    words = _SECRETS.sub("[key]", words[:LONGEST_WORDS])
    words = "".join(c if c.isprintable() else " " for c in words[: 2 * DETAIL_LIMIT])
    words = " ".join(words.split())
    return words if len(words) <= DETAIL_LIMIT else words[: DETAIL_LIMIT - 1] + "…"


def _retry_after(value: str | None) -> float | None:
    """Seconds to wait by a Retry-After header, which says seconds or a date; None where it is neither."""
    if not value:
        return None
    try:
        return min(max(0.0, float(value)), 86_400.0)
    except ValueError:
        pass
    try:
        return min(max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()), 86_400.0)
    except (ValueError, TypeError):
        return None
