"""What a server answered as readable text; bounded in what reading it may take."""

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from agents.tools.outside import line, plain
from agents.tools.registry import ToolFailed
from core.guarded import Answer

CHILD = Path(__file__).with_name("reader_child.py")
SECONDS = 10.0
LONGEST_TITLE = 300
HTML = frozenset({"text/html", "application/xhtml+xml"})
TEXT = frozenset(
    {
        "text/plain", "text/markdown", "text/csv", "text/xml", "application/xml", "application/json",
        "application/ld+json", "application/rss+xml", "application/atom+xml",
    }
)  # fmt: skip
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([A-Za-z0-9_.:-]{1,40})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Page:
    """A title, which may be empty, and the text."""

    title: str
    text: str


def read(answer: Answer) -> Page:
    """The readable text of an answer; raises ToolFailed where reading it takes too much. It takes its time."""
    charset = match[1] if (match := _CHARSET.search(answer.headers.get("content-type", ""))) else ""
    if answer.media_type in HTML:
        return _read_apart(answer, charset)
    try:
        text = answer.body.decode(charset or "utf-8-sig", "replace")
    except (LookupError, ValueError):  # a charset that nobody knows
        text = answer.body.decode("utf-8-sig", "replace")
    return Page("", plain(text))


def _read_apart(answer: Answer, charset: str) -> Page:
    """Read HTML in a process of its own, which gets nothing of our environment; a few hundred tags can take minutes."""
    command = [sys.executable, "-I", "-W", "ignore", str(CHILD), charset, answer.url]
    try:
        done = subprocess.run(command, input=answer.body, capture_output=True, timeout=SECONDS, env={}, check=True)
        found = json.loads(done.stdout)
    except (subprocess.SubprocessError, OSError, ValueError):
        raise ToolFailed("The page takes more to be read than a page may take.") from None
    return Page(line(found["title"], LONGEST_TITLE), plain(found["text"]))
