"""A server of `/v1/embeddings` over real HTTP, which may take some requests and not others."""

import base64
import contextlib
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

from tests.servers.receiver import Received, Receiver, Reply

Refuses = Callable[[dict[str, Any]], int]  # the status for what was asked, 0 where it is answered


class EmbeddingsServer(Receiver):
    """Gives every text numbers of its own, as many as are asked for or else `width`, in reverse order."""

    def __init__(self, *, width: int = 1536, refuses: Refuses = lambda _: 0) -> None:
        super().__init__()
        self.width, self.refuses = width, refuses
        self.script: list[Reply] = []  # what is answered first

    @property
    def asked(self) -> list[dict[str, Any]]:
        """The bodies of the requests."""
        return [json.loads(request.body) for request in self.received]

    def answer(self, request: Received) -> Reply:
        """Vectors for the texts of the request."""
        super().answer(request)
        if self.script:
            return self.script.pop(0)
        asked = json.loads(request.body)
        if status := self.refuses(asked):
            return Reply(status, body=json.dumps({"error": {"message": "no"}}).encode())
        return vectors(asked["input"], asked.get("dimensions", self.width))


def vectors(texts: list[str], width: int) -> Reply:
    """The answer with a vector for each text; the same text has the same one."""
    data = [
        {"object": "embedding", "index": index, "embedding": numbers(text, width)} for index, text in enumerate(texts)
    ]
    return Reply(200, {"Connection": "close"}, json.dumps({"object": "list", "data": data[::-1]}).encode())


def numbers(text: str, width: int) -> list[float]:
    """Numbers that belong to the text; they are not of length one."""
    seed = base64.b64encode(text.encode()).decode()
    return [random.Random(f"{seed}{place}").uniform(-1, 1) for place in range(width)]


@contextlib.contextmanager
def embedding(**options: Any) -> Iterator[EmbeddingsServer]:
    """A server for as long as the block lasts."""
    with EmbeddingsServer(**options) as server:
        yield server
