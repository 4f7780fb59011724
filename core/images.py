"""Pictures from outside: what they are by their own bytes, and a clean copy of them, made in a process of its own.

Nothing of what was sent is kept but the pixels: the copy is a PNG or a JPEG, which every provider takes, upright, its
longer edge at most LONGEST_EDGE, without metadata. Decoders are large and written in C; the process that runs them
has no secrets in its environment, and limits on its memory and time.
"""

import base64
import binascii
import hashlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from core.errors import Invalid, Unavailable

TYPES = ("image/png", "image/jpeg", "image/webp", "image/gif")
BYTES_LIMIT = 8_000_000
PIXELS_LIMIT = 25_000_000
LONGEST_EDGE = 2_000  # pixels; the providers make it smaller themselves
COPY_LIMIT = 3_500_000  # bytes, so that its base64 stays below the 5 MB that the strictest provider takes
MEMORY_LIMIT = 768 * 1024 * 1024  # of addresses, of which a third is the interpreter with its libraries
CPU_SECONDS = 10
WALL_SECONDS = 15.0  # for all that is read in one place: who waits keeps a web thread
AT_ONCE = 2

_CHILD = Path(__file__).with_name("images_child.py")
_LIMITS = (MEMORY_LIMIT, CPU_SECONDS, PIXELS_LIMIT, LONGEST_EDGE, COPY_LIMIT)
_places = threading.BoundedSemaphore(AT_ONCE)
_REFUSALS = {
    "too_many_pixels": f"The picture has more than {PIXELS_LIMIT // 1_000_000} megapixels; send a smaller one.",
    "too_large": "The picture stays too large however it is packed; send a smaller one.",
    "undecodable": "The picture is damaged or incomplete, or takes more memory or time to read than a picture may.",
    "too_slow": "Reading the pictures takes longer than all of one message may; send fewer or smaller ones.",
}


class BadImage(Invalid):
    """What was sent is no picture that is taken; `reason` is a code that says why."""

    code = "bad_image"
    title = "The image is not taken"

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class ImagesBusy(Unavailable):
    """As many pictures are read as may be at once."""

    code = "images_busy"
    title = "Too many images are being read"
    default_detail = "Too many images are being read now. Send the message again in a few seconds."
    default_headers = {"Retry-After": "5"}


@dataclass(frozen=True, slots=True)
class Picture:
    """A clean copy: its media type, its size in pixels, its bytes."""

    media_type: str
    width: int
    height: int
    data: bytes

    @property
    def sha256(self) -> str:
        """The digest of its bytes, in hexadecimal."""
        return hashlib.sha256(self.data).hexdigest()


@contextmanager
def place() -> Iterator[float]:
    """A place to read the pictures of one message in, and the moment until which; raises ImagesBusy at once."""
    if not _places.acquire(blocking=False):
        raise ImagesBusy
    try:
        yield time.monotonic() + WALL_SECONDS
    finally:
        _places.release()


def read(media_type: str, text: str, *, until: float) -> Picture:
    """The clean copy of a picture that came as base64, made in a `place`, which says until when; raises BadImage."""
    if len(text) > BYTES_LIMIT * 4 // 3 + 4:
        raise BadImage("too_large", f"An image may have {BYTES_LIMIT:,} bytes at most.")
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadImage("bad_base64", "This is not base64 of the standard alphabet, with its padding.") from None
    found = kind(data)
    if found is None:
        raise BadImage("not_an_image", f"These bytes are no image that is taken: {', '.join(TYPES)}.")
    if found != media_type:
        raise BadImage("mismatch", f"media_type says {media_type}, the bytes are {found}.")
    if not _ends(data, found):
        raise BadImage("not_an_image", "Something stands behind the image, or its end is missing.")
    return _copy(data, found, until)


def kind(data: bytes) -> str | None:
    """The media type that the bytes themselves say, None where that is none of TYPES."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    return "image/webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None


def _ends(data: bytes, found: str) -> bool:
    """Whether the file ends with the image. Phones put films behind a JPEG: of those the copy takes nothing over."""
    if found == "image/png":
        return data.endswith(b"\x00\x00\x00\x00IEND\xaeB`\x82")
    if found == "image/gif":
        return data.endswith(b"\x3b")
    return found != "image/webp" or len(data) - 8 == int.from_bytes(data[4:8], "little")


def _copy(data: bytes, found: str, until: float) -> Picture:
    """The copy that a child process makes."""
    command = [sys.executable, "-I", str(_CHILD), found.removeprefix("image/").upper(), *map(str, _LIMITS)]
    left = max(0.0, until - time.monotonic())
    try:
        ended = subprocess.run(command, input=data, capture_output=True, env={}, timeout=left, check=False)
    except subprocess.TimeoutExpired:
        raise BadImage("too_slow", _REFUSALS["too_slow"]) from None
    if ended.returncode:  # by a signal, where it took more time than it may
        reason = ended.stdout.decode("ascii", "replace")
        reason = reason if reason in _REFUSALS else "undecodable"
        raise BadImage(reason, _REFUSALS[reason])
    head, _, copy = ended.stdout.partition(b"\n")
    media_type, width, height = head.decode("ascii").split()
    return Picture(media_type, int(width), int(height), copy)
