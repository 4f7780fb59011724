"""The process that decodes one picture: bytes in, a clean copy out, under limits that it sets for itself first.

It is a program, `images_child.py FORMAT MEMORY CPU PIXELS EDGE BYTES`, and imports nothing of ours. It writes
`media-type width height`, a line's end and the copy; or, with exit code 1, the reason why there is none.
"""

import contextlib
import io
import resource
import sys
import warnings

from PIL import Image, ImageOps

REFUSED = 1
QUALITIES = (88, 75, 60, 40)


class Refused(Exception):
    """There is no copy; the text is the reason's code."""


def copy(data: bytes, format_: str, *, pixels: int, edge: int, most: int) -> bytes:
    """The head and the clean copy; raises Refused, or whatever a decoder raises."""
    Image.MAX_IMAGE_PIXELS = pixels
    try:
        picture: Image.Image = Image.open(io.BytesIO(data), formats=[format_])
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise Refused("too_many_pixels") from None
    if picture.width * picture.height > pixels:  # by its head: nothing is decoded yet
        raise Refused("too_many_pixels")
    picture.draft("RGB", (edge, edge))  # a JPEG is decoded at a fraction of its size
    picture.load()  # of an animation the first frame
    with contextlib.suppress(ValueError, SyntaxError, KeyError, TypeError, OSError):  # what damaged EXIF raises
        picture = ImageOps.exif_transpose(picture)
    clear = picture.has_transparency_data
    if picture.mode.startswith("I"):  # sixteen bits of grey
        picture = picture.point(lambda value: value / 256).convert("L")
    if picture.mode not in ("RGB", "RGBA", "L"):
        picture = picture.convert("RGBA" if clear else "RGB")
    picture.thumbnail((edge, edge))
    if clear:
        picture = picture.convert("RGBA")
    return _packed(picture, lossless=format_ != "JPEG" and (clear or format_ != "WEBP"), most=most)


def _packed(picture: Image.Image, *, lossless: bool, most: int) -> bytes:
    """The picture as PNG where that is wanted and small enough, else as JPEG on white."""
    plain = Image.new(picture.mode, picture.size)
    plain.paste(picture)  # nothing but pixels goes over: no EXIF, profile, text, comment
    if lossless:
        packed = _saved(plain, "PNG", optimize=False)
        if len(packed) <= most:
            return _headed(packed, "image/png", plain)
    if plain.mode == "RGBA":
        white = Image.new("RGB", plain.size, "white")
        white.paste(plain, mask=plain.getchannel("A"))
        plain = white
    for quality in QUALITIES:
        packed = _saved(plain, "JPEG", quality=quality)
        if len(packed) <= most:
            return _headed(packed, "image/jpeg", plain)
    raise Refused("too_large")


def _saved(picture: Image.Image, format_: str, **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, format_, **options)
    return out.getvalue()


def _headed(packed: bytes, media_type: str, picture: Image.Image) -> bytes:
    return f"{media_type} {picture.width} {picture.height}\n".encode() + packed


def main(format_: str, memory: int, cpu: int, pixels: int, edge: int, most: int) -> int:
    """Make the copy; gives the exit code."""
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", "Corrupt EXIF data", UserWarning)  # which many phones write
    try:
        said = copy(sys.stdin.buffer.read(), format_, pixels=pixels, edge=edge, most=most)
    except Refused as refused:
        said, code = str(refused).encode(), REFUSED
    except Exception:  # noqa: BLE001  decoders raise whatever they like, and each means the same
        said, code = b"undecodable", REFUSED
    else:
        code = 0
    sys.stdout.buffer.write(said)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], *map(int, sys.argv[2:])))
