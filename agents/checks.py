"""System checks of the providers that the environment names, and of the tools that apps bring."""

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from agents import environment
from agents.providers import presets
from agents.tools import registry


@register()
def addresses_are_well_formed(**_: Any) -> list[CheckMessage]:
    """Finds an address of a provider, such as OPENAI_BASE_URL or OLLAMA_HOST, that no request could be sent to."""
    variables = [preset.url_variable for preset in presets.PRESETS.values() if preset.url_variable]
    found = {name: getattr(settings, name) for name in (*variables, "ANTHROPIC_BASE_URL", "GOOGLE_BASE_URL")}
    if settings.OLLAMA_HOST:
        found["OLLAMA_HOST"] = environment.ollama_url(settings.OLLAMA_HOST)
    return [
        Error(f"{name} is not an http or https address.", hint="For example http://127.0.0.1:8080/v1", id="agents.E001")
        for name, url in found.items()
        if url and not _well_formed(url)
    ]


@register()
def tool_names_are_unique(**_: Any) -> list[CheckMessage]:
    """Finds a name that two functions register as a tool: only one of them could be called."""
    return [Error(f"More than one tool is called {name}.", id="agents.E002") for name in registry.doubled()]


def _well_formed(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
