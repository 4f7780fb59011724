"""A picture from outside becomes a clean copy of its pixels, or is refused with a reason, in bounded memory."""

import random
import struct
import zlib

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from core import images
from core.images import BadImage
from tests.pictures import encoded, opened, picture, saved

PNG = saved(picture())
GIF = saved(picture(mode="P", color=1), "GIF")
HTML = b"<script>alert(document.domain)</script>"


def read(data: bytes, media_type: str = "image/png") -> images.Picture:
    with images.place() as until:
        return images.read(media_type, encoded(data), until=until)


def refused(data: bytes, media_type: str = "image/png") -> str:
    with pytest.raises(BadImage) as caught:
        read(data, media_type)
    return caught.value.reason


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


@pytest.mark.parametrize(
    ("kind", "mode", "becomes"),
    [
        ("PNG", "RGB", "image/png"),
        ("PNG", "RGBA", "image/png"),
        ("PNG", "L", "image/png"),
        ("PNG", "1", "image/png"),
        ("JPEG", "RGB", "image/jpeg"),
        ("JPEG", "L", "image/jpeg"),
        ("JPEG", "CMYK", "image/jpeg"),
        ("GIF", "P", "image/png"),
        ("WEBP", "RGB", "image/jpeg"),
        ("WEBP", "RGBA", "image/png"),
    ],
)
def test_a_picture_becomes_a_copy_that_every_provider_takes(kind, mode, becomes):
    found = read(saved(picture(mode=mode, color=None), kind), f"image/{kind.lower()}")
    copy = opened(found.data)
    assert (found.media_type, found.width, found.height) == (becomes, 64, 48)
    assert (Image.MIME[copy.format], copy.size) == (becomes, (64, 48))


def test_colours_and_transparency_stay():
    shown = picture(2, 1, "RGBA", (10, 200, 30, 255))
    shown.putpixel((1, 0), (0, 0, 0, 0))
    copy = opened(read(saved(shown)).data)
    assert [copy.getpixel((place, 0)) for place in (0, 1)] == [(10, 200, 30, 255), (0, 0, 0, 0)]
    copy = opened(read(saved(picture(4, 4, "I;16", 0x8000))).data)
    assert copy.convert("L").getpixel((0, 0)) == 0x80


def test_an_animation_gives_its_first_picture():
    frames = [picture(mode="RGB", color=color) for color in ("blue", "lime")]
    found = read(saved(frames[0], "GIF", save_all=True, append_images=frames[1:]), "image/gif")
    copy = opened(found.data)
    assert copy.convert("RGB").getpixel((0, 0)) == (0, 0, 255)
    assert not getattr(copy, "is_animated", False)


def test_a_large_picture_is_made_smaller_and_keeps_its_shape():
    found = read(saved(picture(4_000, 1_000), "JPEG"), "image/jpeg")
    assert (found.width, found.height) == (2_000, 500)


def test_a_copy_that_would_be_too_large_as_png_becomes_a_jpeg():
    noise = Image.frombytes("RGB", (1_500, 1_500), random.Random(1).randbytes(1_500 * 1_500 * 3))
    found = read(saved(noise))
    assert found.media_type == "image/jpeg"
    assert len(found.data) <= images.COPY_LIMIT


def test_nothing_but_pixels_is_kept_and_the_picture_stands_upright():
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a secret camera"
    exif.get_ifd(0x8825)[2] = (52.0, 31.0, 0.0)
    turned = saved(picture(), "JPEG", exif=exif, comment=b"a secret note", icc_profile=b"a secret profile")
    found = read(turned, "image/jpeg")
    assert (found.width, found.height) == (48, 64)
    assert b"secret" not in found.data
    assert not opened(found.data).getexif()
    text = PngInfo()
    text.add_text("Comment", "a secret note")
    assert b"secret" not in read(saved(picture(), pnginfo=text)).data


def test_a_picture_with_damaged_metadata_is_still_a_picture():
    damaged = saved(picture(), "JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\x00garbage")
    assert (read(damaged, "image/jpeg").width, read(damaged, "image/jpeg").height) == (64, 48)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        HTML,
        b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>',
        b"%PDF-1.7\n",
        b"MZ" + bytes(100),
        HTML + PNG,
        saved(picture(), "BMP"),
        saved(picture(), "TIFF"),
    ],
    ids=["nothing", "text", "html", "svg", "pdf", "exe", "html-before-png", "bmp", "tiff"],
)
def test_what_is_no_picture_of_the_four_kinds_is_refused_by_its_bytes(data):
    assert refused(data) == "not_an_image"


@pytest.mark.parametrize(
    ("data", "media_type"),
    [(PNG + HTML, "image/png"), (GIF + HTML, "image/gif"), (saved(picture(), "WEBP") + HTML, "image/webp")],
    ids=["png", "gif", "webp"],
)
def test_a_picture_with_something_behind_it_is_refused(data, media_type):
    assert refused(data, media_type) == "not_an_image"


def test_a_script_that_is_a_picture_too_comes_out_as_a_picture_alone():
    hidden = PNG[:33] + chunk(b"tEXt", b"Comment\x00" + HTML) + PNG[33:]  # behind the head
    assert HTML not in read(hidden).data
    script = b"GIF89a/*" + GIF[8:] + b"*/=1;alert(1);\x3b"  # which browsers run as JavaScript
    found = read(script, "image/gif")
    assert b"alert" not in found.data
    assert opened(found.data).format == "PNG"


@pytest.mark.parametrize("kind", ["jpeg", "webp", "gif"])
def test_a_media_type_that_the_bytes_are_not_is_refused(kind):
    assert refused(PNG, f"image/{kind}") == "mismatch"


@pytest.mark.parametrize("text", ["", "%%%", "aGVsbG8", "aGVs bG8=", "aGVsbG8\n=", "aGVsbG8_", "ä"])
def test_what_is_no_base64_is_refused(text):
    with pytest.raises(BadImage) as caught, images.place() as until:
        images.read("image/png", text, until=until)
    assert caught.value.reason in ("bad_base64", "not_an_image")


def test_more_bytes_than_an_image_may_have_are_refused_before_they_are_read():
    assert refused(bytes(images.BYTES_LIMIT + 100)) == "too_large"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
@pytest.mark.parametrize("how", ["cut", "scrambled"])
def test_a_damaged_picture_is_refused(kind, how):
    noise = Image.frombytes("RGB", (200, 200), random.Random(1).randbytes(120_000))
    data = saved(noise, kind)
    half = data[: len(data) // 2]
    if how == "scrambled":
        half = data[:12] + bytes(255 - one for one in data[12:-12]) + data[-12:]
    assert refused(half, f"image/{kind.lower()}") in ("undecodable", "not_an_image", "too_many_pixels")


HUGE = chunk(b"IHDR", struct.pack(">IIBBBBB", 2**31 - 1, 1, 8, 2, 0, 0, 0))
BOMBS = {
    "a 13,000² PNG": (saved(picture(13_000, 13_000, "1", 0)), "image/png"),
    "a GIF that says that it is large": (GIF[:6] + b"\xff\xff\xff\xff" + GIF[10:], "image/gif"),
    "a PNG of 6 GB": (PNG[:8] + HUGE + PNG[33:], "image/png"),
    "a PNG one row too high": (saved(picture(5_000, 5_001, "1", 0)), "image/png"),
}  # fmt: skip


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_is_refused_by_its_head(bomb):
    data, media_type = BOMBS[bomb]
    assert len(data) < 30_000
    assert refused(data, media_type) == "too_many_pixels"


LARGEST = {
    "palette": (saved(picture(5_000, 5_000, "P", 1)), "image/png"),
    "clear": (saved(picture(5_000, 5_000, "RGBA", None)), "image/png"),
    "sixteen bits": (saved(picture(5_000, 5_000, "I;16", 1)), "image/png"),
    "webp": (saved(picture(5_000, 5_000, "RGBA", None), "WEBP"), "image/webp"),
    "progressive": (saved(picture(5_000, 5_000), "JPEG", progressive=True), "image/jpeg"),
    "gif": (saved(picture(5_000, 5_000, "P", 1), "GIF"), "image/gif"),
}


@pytest.mark.parametrize("kind", LARGEST)
def test_the_largest_pictures_are_read_within_the_memory_that_the_process_may_have(kind):
    assert read(*LARGEST[kind]).width == 2_000


def test_a_bomb_is_refused_within_a_tenth_of_the_memory_that_it_would_take(monkeypatch):
    monkeypatch.setattr(images, "_LIMITS", (120_000_000, *images._LIMITS[1:]))  # libraries and all
    assert refused(*BOMBS["a 13,000² PNG"]) == "too_many_pixels"


def test_a_picture_that_takes_more_memory_than_the_process_may_have_is_refused(monkeypatch):
    tight = (120_000_000, *images._LIMITS[1:])
    monkeypatch.setattr(images, "_LIMITS", tight)
    assert read(PNG).width == 64
    assert refused(saved(picture(5_000, 5_000, "RGBA", None))) == "undecodable"


def test_who_finds_all_places_taken_is_asked_to_come_again():
    for _ in range(images.AT_ONCE):
        images._places.acquire()
    try:
        with pytest.raises(images.ImagesBusy) as caught:
            read(PNG)
    finally:
        images._places.release(images.AT_ONCE)
    assert (caught.value.status, caught.value.headers) == (503, {"Retry-After": "5"})
    assert read(PNG).width == 64


def test_pictures_that_take_longer_than_their_message_may_are_refused():
    with pytest.raises(BadImage) as caught:
        images.read("image/png", encoded(PNG), until=0.0)
    assert caught.value.reason == "too_slow"
