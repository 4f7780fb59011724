"""Texts as they are kept and compared."""

import hashlib
import unicodedata

from core.errors import Invalid

MOST_TEXT = 4_000  # characters
JOINERS = "\u200c\u200d"
"""Characters of format that spell words and join emoji; all others are seen by nobody but a model."""


def content_hash(text: str) -> str:
    """SHA-256 of the normalised text: equal for texts that differ in case, width and blanks alone."""
    return hashlib.sha256(normalised(text).encode("utf-8", "replace")).hexdigest()


def normalised(text: str) -> str:
    """The text as it is compared."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).rstrip(".!")


def checked(text: str) -> str:
    """The text as it is kept, without characters that nobody sees; raises Invalid for one that is empty or too long."""
    kept = "".join(filter(_is_seen, text)).strip()
    if not kept.strip(JOINERS):
        raise Invalid.field("content", "may not be empty", "blank")
    if len(kept) > MOST_TEXT:
        raise Invalid.field("content", f"{MOST_TEXT:,} characters at most", "max_length")
    return kept


def _is_seen(one: str) -> bool:
    return one in "\n\t" or one in JOINERS or unicodedata.category(one) not in ("Cc", "Cf", "Cs")
