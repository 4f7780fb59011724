"""Vectors from any server that speaks OpenAI's `/v1/embeddings`: OpenAI, Ollama, vLLM, LM Studio and their like."""

import math
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import numpy as np
from django.conf import settings

from core import bridge, outbound
from memory.embedders import DIMENSIONS, READY, EmbedderUnavailable

if TYPE_CHECKING:
    from memory.embedders import Vector

QUERY_THREADS, BATCH_THREADS = 16, 4  # apart, so that no query waits behind batches
BATCH = 32  # texts in one request, as many as every server takes
CHARACTERS = (
    2_000,
    400,
)  # of a text that are sent, and of one that is refused: some models take no more than 512 tokens
QUERY_SECONDS, BATCH_SECONDS = 2.0, 30.0
ANSWER_LIMIT = 8_000_000
NAME_LIMIT = 60  # of the column that keeps it
REFUSALS = (400, 413, 422)
ADVICE = {
    401: "Check EMBEDDER_API_KEY.",
    403: "Check EMBEDDER_API_KEY.",
    404: "Check EMBEDDER_URL, up to and with /v1, and EMBEDDER_MODEL.",
}


class _Item(msgspec.Struct):
    index: int
    embedding: list[float]


class _Answer(msgspec.Struct):
    data: list[_Item]


_answers = msgspec.json.Decoder(_Answer)


class _Refused(EmbedderUnavailable):
    """What was sent is not taken, of which the next texts may know nothing."""


class OpenAIEmbedder:
    """Asks EMBEDDER_URL for the vectors of EMBEDDER_MODEL; after a failure it asks nobody for a while."""

    dimensions = DIMENSIONS

    def __init__(self) -> None:
        self.name = settings.EMBEDDER_MODEL[:NAME_LIMIT]
        self._url = settings.EMBEDDER_URL.rstrip("/").removesuffix("/embeddings") + "/embeddings"
        self._reducible = True  # until the server says that it does not know `dimensions`
        self._failure, self._rests_until = "", 0.0
        self._headers = {b"Content-Type": b"application/json"}
        if settings.EMBEDDER_API_KEY:
            self._headers[b"Authorization"] = b"Bearer " + settings.EMBEDDER_API_KEY.encode()
        self._client = httpx.Client(
            trust_env=False,
            verify=outbound.tls(),
            follow_redirects=False,
            headers={"User-Agent": "countersign", "Accept-Encoding": "identity"},
        )

    def embed_query(self, text: str) -> "Vector | None":
        """The text's vector within 2 seconds, none for a blank one; raises EmbedderUnavailable."""
        pool = bridge.pool("embedding-query", QUERY_THREADS)
        return self._ask([text], pool, QUERY_SECONDS)[0] if text.strip() else None

    def embed(self, texts: Sequence[str]) -> "list[Vector]":
        """A vector for each text, 32 of them in a request; raises EmbedderUnavailable."""
        pool = bridge.pool("embedding-batch", BATCH_THREADS)
        return [vector for batch in _batches(texts) for vector in self._ask(batch, pool, BATCH_SECONDS)]

    def state(self) -> str:
        """`ready`, or what went wrong when it was last asked."""
        return self._failure or READY

    def close(self) -> None:
        """Close the connections that are kept open."""
        self._client.close()

    def _ask(self, texts: Sequence[str], pool: ThreadPoolExecutor, seconds: float) -> "list[Vector]":
        """The vectors of a batch; raises EmbedderUnavailable, at once where it failed a moment ago."""
        if time.monotonic() < self._rests_until:
            raise EmbedderUnavailable(self._failure)
        # In another thread, as no limit of httpx holds for the whole of a request, from its name to its last byte.
        asked = pool.submit(self._vectors, texts, seconds)
        try:
            vectors = asked.result(seconds)
        except _Refused as error:
            self._failure = error.detail
            raise
        except EmbedderUnavailable as error:
            self._rest(error.detail)
            raise
        except TimeoutError:
            asked.cancel()
            self._rest(f"The embedding server did not answer within {seconds:g} seconds.")
            raise EmbedderUnavailable(self._failure) from None
        self._failure = ""
        return vectors

    def _rest(self, failure: str) -> None:
        self._rests_until = time.monotonic() + settings.PROVIDER_BREAKER_SECONDS
        self._failure = failure

    def _vectors(self, texts: Sequence[str], seconds: float) -> "list[Vector]":
        body = self._post(texts, seconds)
        try:
            found = _answers.decode(body).data
        except (msgspec.MsgspecError, RecursionError):
            raise EmbedderUnavailable("The embedding server sent something that is not a list of vectors.") from None
        if sorted(item.index for item in found) != list(range(len(texts))):
            raise EmbedderUnavailable(f"The embedding server did not send one vector for each of {len(texts)} texts.")
        return [_vector(item.embedding) for item in sorted(found, key=lambda item: item.index)]

    def _post(self, texts: Sequence[str], seconds: float) -> bytes:
        """The body of the answer; what is refused is asked again without `dimensions`, and then with shorter texts."""
        refused = _Refused()
        for characters, reduced in product(CHARACTERS, (True, False) if self._reducible else (False,)):
            said = {"model": settings.EMBEDDER_MODEL, "input": [_sent(text, characters) for text in texts]}
            try:
                body = self._request({**said, "dimensions": DIMENSIONS} if reduced else said, seconds)
            except _Refused as error:
                refused = error
                continue
            self._reducible = reduced
            return body
        raise refused

    def _request(self, said: dict[str, Any], seconds: float) -> bytes:
        content = msgspec.json.encode(said)
        try:
            try:
                return self._send(content, seconds)
            except (httpx.RemoteProtocolError, httpx.ReadError):  # as of a kept connection that was just being closed
                return self._send(content, seconds)
        except httpx.LocalProtocolError:  # its words would repeat the key
            raise EmbedderUnavailable("EMBEDDER_API_KEY has characters that cannot be sent.") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            why = str(error) or type(error).__name__
            raise EmbedderUnavailable(f"The embedding server cannot be reached: {why}") from None

    def _send(self, content: bytes, seconds: float) -> bytes:
        asked = self._client.stream("POST", self._url, content=content, headers=self._headers, timeout=seconds)
        with asked as response:
            status = response.status_code
            if status in REFUSALS:
                raise _Refused(f"The embedding server refused the texts with status {status}.")
            if status != 200:
                advice = ADVICE.get(status, "")
                raise EmbedderUnavailable(f"The embedding server answered with status {status}. {advice}".rstrip())
            return _bounded(response.iter_raw())


def _batches(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    return (texts[start : start + BATCH] for start in range(0, len(texts), BATCH))


def _sent(text: str, characters: int) -> str:
    """What a server is sent: never empty, which OpenAI refuses, and without halves of characters."""
    return text[:characters].encode(errors="replace").decode() or " "


def _bounded(pieces: Iterator[bytes]) -> bytes:
    body = bytearray()
    for piece in pieces:
        body += piece
        if len(body) > ANSWER_LIMIT:
            raise EmbedderUnavailable(f"The embedding server sent more than {ANSWER_LIMIT:,} bytes.")
    return bytes(body)


def _vector(numbers: list[float]) -> "Vector":
    """The numbers as a vector of length one; raises EmbedderUnavailable where they are none."""
    if len(numbers) != DIMENSIONS:
        raise EmbedderUnavailable(
            f"The embedding model gives {len(numbers)} numbers, and memory keeps {DIMENSIONS}. "
            f"Name one in EMBEDDER_MODEL that gives {DIMENSIONS}, or that can be reduced to them."
        )
    length = math.hypot(*numbers)
    if not 0 < length < math.inf:
        raise EmbedderUnavailable("The embedding server sent a vector without a direction.")
    return (np.array(numbers) / length).astype(np.float32)
