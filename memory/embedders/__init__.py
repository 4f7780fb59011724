"""What turns texts into vectors: one of three kinds, which the setting EMBEDDER chooses.

Nothing here loads NumPy or a model before the first text is embedded, so a process that embeds none pays for none.
"""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Protocol

from django.conf import settings
from django.utils.module_loading import import_string

from core.errors import Unavailable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vector = NDArray[np.float32]

DIMENSIONS = 384  # of the column that keeps vectors
READY = "ready"

KINDS = {
    "local": "memory.embedders.local.LocalEmbedder",
    "openai": "memory.embedders.openai.OpenAIEmbedder",
    "none": "memory.embedders.none.NoEmbedder",
}


class EmbedderUnavailable(Unavailable):
    """No vectors can be made now; its text says why, and recall goes on by words alone."""

    code = "embedder_unavailable"
    title = "Texts cannot be embedded now"


class Embedder(Protocol):
    """Makes vectors of length one, as float32; safe to use from several threads.

    `name` is kept with each vector: vectors of different names are not comparable. `dimensions`: how many numbers a
    vector has, 0 where there are none.
    """

    name: str
    dimensions: int

    def embed_query(self, text: str) -> "Vector | None":
        """The vector to search by, none for a blank text or where there are no vectors; raises EmbedderUnavailable."""

    def embed(self, texts: Sequence[str]) -> "list[Vector]":
        """A vector for each text; raises EmbedderUnavailable."""

    def state(self) -> str:
        """`ready`, or why no vectors are made and what to do about it; loads no model and asks nobody."""


def current() -> Embedder:
    """The embedder that the settings name, the same one for as long as they name it."""
    return _make(settings.EMBEDDER, settings.EMBEDDER_URL, settings.EMBEDDER_MODEL, settings.EMBEDDER_API_KEY)


@cache
def _make(kind: str, *_: str) -> Embedder:
    embedder: Embedder = import_string(KINDS[kind])()
    return embedder
