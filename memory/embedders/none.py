"""No embedder: recall goes by words alone."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from memory.embedders import EmbedderUnavailable

if TYPE_CHECKING:
    from memory.embedders import Vector

WHY = "off: EMBEDDER is none, recall goes by words alone"


class NoEmbedder:
    """Makes no vectors."""

    name = "none"
    dimensions = 0

    def embed_query(self, text: str) -> None:
        """Nothing to search by."""

    def embed(self, texts: Sequence[str]) -> "list[Vector]":
        """Raises EmbedderUnavailable, unless there are no texts."""
        if texts:
            raise EmbedderUnavailable("EMBEDDER is none: there are no vectors.")
        return []

    def state(self) -> str:
        """That it is off."""
        return WHY
