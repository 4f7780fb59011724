"""A program of its own that turns a page into readable text, in which a page that is built to be slow breaks alone.

It is run by its path, without the rest of the platform and without its environment. It takes the page on its standard
input, its charset and its address as arguments, and writes {"title", "text"} as JSON.
"""

import contextlib
import json
import resource
import sys

import trafilatura
from lxml import etree, html
from trafilatura.utils import decode_file, load_html

CPU_SECONDS = 5
MEMORY = 1_500_000_000  # bytes of address space
LONGEST_TITLE = 1_000
LONGEST_TEXT = 2_000_000  # characters; addresses of links are written out, so that a page can grow by being read


def limit() -> None:
    """Let the system end this process where it takes too much."""
    for what, most in ((resource.RLIMIT_CPU, CPU_SECONDS), (resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_FSIZE, 0)):
        with contextlib.suppress(ValueError, OSError):  # some systems do not know all of them
            resource.setrlimit(what, (most, most))


def decoded(page: bytes, charset: str) -> str:
    """The page as text: by the charset that was said, else by what it says itself or looks like."""
    with contextlib.suppress(LookupError, ValueError):
        if charset:
            return page.decode(charset, "replace")
    return str(decode_file(page))


def read(page: str, url: str) -> dict[str, str]:
    """The title and the readable text of a page, as Markdown; where nothing reads like an article, all of its text."""
    title = text = ""
    tree = load_html(page)
    if tree is None and page.strip():  # it does not look like a page
        text = html.document_fromstring(page.encode(), html.HTMLParser(encoding="utf-8")).text_content()
    if tree is not None:
        title = " ".join("".join(tree.xpath("//title[1]//text()")).split())[:LONGEST_TITLE]
        found = trafilatura.extract(
            tree,
            url=url or None,
            output_format="markdown",
            include_links=True,
            include_comments=False,
            favor_recall=True,
        )
        text = found or trafilatura.html2txt(page)
    return {"title": title, "text": text.strip()[:LONGEST_TEXT]}


def main() -> None:
    """Read, and tell; a page that cannot be parsed has no text."""
    limit()
    charset, url = sys.argv[1:]
    page = decoded(sys.stdin.buffer.read(), charset)
    try:
        found = read(page, url)
    except (etree.LxmlError, ValueError, RecursionError):
        found = {"title": "", "text": ""}
    sys.stdout.buffer.write(json.dumps(found).encode())


if __name__ == "__main__":
    main()
