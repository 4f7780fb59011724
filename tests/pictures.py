"""Pictures as people send them, made for each test."""

import base64
import io
from typing import Any

from PIL import Image


def picture(width: int = 64, height: int = 48, mode: str = "RGB", color: Any = "red") -> Image.Image:
    return Image.new(mode, (width, height), color)


def saved(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def sent(data: bytes | None = None, media_type: str = "image/png") -> dict[str, str]:
    """An entry of `attachments`."""
    return {"type": "image", "media_type": media_type, "data": encoded(data or saved(picture()))}


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image
