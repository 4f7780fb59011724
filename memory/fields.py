"""Columns that Django has no field for: vectors of pgvector, and lexemes.

The `pgvector` package would do for the first, and loads NumPy in every process, web processes among them, which never
touch a vector.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.db import models

if TYPE_CHECKING:
    TextValued = models.Field[str | None, str | None]
else:
    TextValued = models.Field


class HalfVectorField(TextValued):
    """`halfvec(dimensions)`: read and written as pgvector's text, `[0.1,0.2]`; what computes with it speaks SQL."""

    def __init__(self, *, dimensions: int, **options: Any) -> None:
        self.dimensions = dimensions
        super().__init__(**options)

    def deconstruct(self) -> Any:
        """As migrations write it."""
        name, path, args, options = super().deconstruct()
        return name, path, args, {**options, "dimensions": self.dimensions}

    def db_type(self, connection: Any) -> str:
        """The column's type."""
        return f"halfvec({self.dimensions})"


class LexemesField(TextValued):
    """`tsvector` of lexemes without places; what writes and searches it speaks SQL."""

    def db_type(self, connection: Any) -> str:
        """The column's type."""
        return "tsvector"


def halfvec(numbers: Sequence[float]) -> str:
    """A vector as pgvector reads it."""
    return "[" + ("%.6g," * len(numbers) % tuple(numbers))[:-1] + "]"  # four times as fast as a format() each
