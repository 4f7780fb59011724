"""Texts as they are kept and compared."""

import hashlib
import unicodedata

from core.errors import Invalid

MOST_TEXT = 4_000  # characters


def content_hash(text: str) -> str:
    """SHA-256 of the normalised text: equal for texts that differ in case, width and blanks alone."""
    return hashlib.sha256(normalised(text).encode("utf-8", "replace")).hexdigest()


def normalised(text: str) -> str:
    """The text as it is compared."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).rstrip(".!")


def checked(text: str) -> str:
    """The text as it is kept, without control characters; raises Invalid for one that is empty or too long."""
    kept = "".join(one for one in text if one in "\n\t" or unicodedata.category(one) not in ("Cc", "Cs")).strip()
    if not kept:
        raise Invalid.field("content", "may not be empty", "blank")
    if len(kept) > MOST_TEXT:
        raise Invalid.field("content", f"{MOST_TEXT:,} characters at most", "max_length")
    return kept
