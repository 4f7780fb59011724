"""System checks of the embedder that the environment names."""

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, register


@register()
def embedder_has_an_address(**_: Any) -> list[CheckMessage]:
    """Finds an EMBEDDER_URL that no request could be sent to, where vectors are asked for there."""
    if settings.EMBEDDER != "openai" or _well_formed(settings.EMBEDDER_URL):
        return []
    hint = "For example http://127.0.0.1:11434/v1"
    return [Error("EMBEDDER_URL is not an http or https address.", hint=hint, id="memory.E001")]


def _well_formed(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
