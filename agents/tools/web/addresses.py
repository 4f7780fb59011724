"""Addresses as people and search engines write them, and whether one that a model names is among them.

An address can carry data out: whoever is behind it reads all of it. One that was written before the model saw anything
carries nothing.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import islice

from yarl import URL

from core.guarded import LONGEST_LINK

MOST = 2_000  # spellings that one text may have of all its addresses
MOST_BRACKETS = 3  # that may stand behind an address without being part of it
_WORDS = re.compile(r"[^\s<>\"`|\\]+")
_PARTS = re.compile(r"[^\[\](){},;'’]+")
_SCHEME = re.compile(r"https?://", re.IGNORECASE)
_BEFORE, _BEHIND, _BRACKETS = "*_'‘’“”„‚«»([{", ".,;:!?…*_'‘’“”„‚«»", ")]}"


def named(url: str, texts: Iterable[str]) -> bool:
    """Whether one of the texts has this very address; scheme, fragment and the path's last slash apart."""
    wanted = _key(url)
    if not wanted:
        return False
    parts = URL(url)
    hosts = {str(parts.raw_host), str(parts.host)}
    # Most texts name no such host, which is soon seen.
    worth = (text for text in texts if any(host in text.lower() for host in hosts))
    return any(wanted == _key(one) for text in worth for one in _found(text))


def _found(text: str) -> Iterator[str]:
    """What may be an address in a text."""
    return islice((one for word in _WORDS.findall(text) if "." in word for one in _spelled(word)), MOST)


def _spelled(word: str) -> Iterator[str]:
    """What of a word may be an address: marks and brackets stand around addresses, and within some."""
    begun = word[match.start() :] if (match := _SCHEME.search(word)) else word.lstrip(_BEFORE)
    for _ in range(MOST_BRACKETS + 1):
        begun = begun.rstrip(_BEHIND)
        if 3 < len(begun) <= LONGEST_LINK:
            yield begun
        if not begun.endswith(tuple(_BRACKETS)):
            break
        begun = begun[:-1]
    for part in _PARTS.findall(word):
        if "." in part and len(part) <= LONGEST_LINK and part != word:
            yield part.strip(_BEFORE + _BEHIND)


def _key(text: str) -> str:
    """What two spellings of one address have in common; empty where it is none."""
    bare = text.partition("://")[2] or text
    try:
        url = URL(f"https://{bare}").with_fragment(None)
        if url.user is not None or url.password is not None or not url.raw_host:
            return ""
        port = "" if url.explicit_port in (None, 80, 443) else f":{url.explicit_port}"
        asked = f"?{url.raw_query_string}" if url.raw_query_string else ""
        return f"{url.raw_host}{port}{url.raw_path.removesuffix('/')}{asked}"
    except ValueError:
        return ""
