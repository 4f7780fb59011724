"""The providers that the environment names: they have no rows and stand in every workspace."""

import re
from functools import lru_cache
from urllib.parse import urlsplit

from django.conf import settings

from agents.providers import presets, profiles, rehearsal
from agents.providers.base import ProviderSpec
from agents.providers.presets import Preset

OLLAMA_CLOUD = "https://ollama.com"
_VERSION = re.compile(r"/v\d+\w*$")
_UNNAMED = ("", "", "")
Waits = tuple[float, float, float]
Named = tuple[Preset, str, str]


def providers() -> tuple[ProviderSpec, ...]:
    """The providers that the settings name."""
    named = tuple(_named(preset) for preset in presets.PRESETS.values())
    anthropic = settings.ANTHROPIC_API_KEY, settings.ANTHROPIC_BASE_URL, settings.ANTHROPIC_MODEL
    google = settings.GOOGLE_API_KEY, settings.GOOGLE_BASE_URL, settings.GOOGLE_MODEL
    ollama = settings.OLLAMA_HOST, settings.OLLAMA_API_KEY
    return _from_settings(named, anthropic, google, ollama, settings.REHEARSAL, waits())


def waits() -> Waits:
    """Seconds to wait for a connection, for the first token and between tokens."""
    return (
        settings.PROVIDER_CONNECT_SECONDS,
        settings.PROVIDER_FIRST_TOKEN_SECONDS,
        settings.PROVIDER_BETWEEN_TOKENS_SECONDS,
    )


def _named(preset: Preset) -> Named:
    """The preset with the key and the address that the settings have for it."""
    url = getattr(settings, preset.url_variable) if preset.url_variable else ""
    return preset, getattr(settings, preset.key_variable), url


@lru_cache(maxsize=8)
def _from_settings(
    named: tuple[Named, ...],
    anthropic: tuple[str, str, str],
    google: tuple[str, str, str],
    ollama: tuple[str, str],
    offline: bool,
    waits: Waits,
) -> tuple[ProviderSpec, ...]:
    found = [
        _preset(preset, key, url, waits) for preset, key, url in named if url or (key and not presets.is_local(preset))
    ]
    key, url, default = anthropic
    if key or url:
        url = anthropic_url(url)
        own = profiles.host(url) != profiles.ANTHROPIC
        default = default or ("" if own else "claude-sonnet-4-5")
        found.append(ProviderSpec("anthropic", "anthropic", url, key, (), default, own, 15, *waits))
    key, url, default = google
    if key or url:
        url = google_url(url)
        own = profiles.host(url) != profiles.GOOGLE
        default = default or ("" if own else "gemini-2.5-flash")
        found.append(ProviderSpec("google", "google", url, key, (), default, own, 17, *waits))
    host, key = ollama
    if host or key:
        url = ollama_url(host) if host else OLLAMA_CLOUD
        found.append(ProviderSpec("ollama", "ollama", url, key, (), "", False, 40, *waits))
    if offline:
        found.append(rehearsed("rehearsal", waits))
    return tuple(found)


def _preset(preset: Preset, key: str, url: str, waits: Waits) -> ProviderSpec:
    """The preset's provider; at an address that is not its own others may answer, with models of their own."""
    own = bool(url) and profiles.host(url) != profiles.host(preset.base_url)
    default, any_model = ("", preset.routes) if own else (preset.default_model, preset.any_model)
    return ProviderSpec(
        preset.name,
        "openai",
        url or preset.base_url,
        key,
        (),
        default,
        any_model,
        preset.priority,
        *waits,
        preset=preset.name,
    )


def known() -> tuple[str, ...]:
    """The names of the providers on the Internet that a person may bring a key of their own for."""
    return (*(name for name, preset in presets.PRESETS.items() if not presets.is_local(preset)), "anthropic", "google")


def with_key(name: str, key: str) -> ProviderSpec | None:
    """The provider of this name with another key, where the settings say that it is; None for one that is not known."""
    if name not in known():
        return None
    named = tuple((preset, key, _named(preset)[2]) for preset in presets.PRESETS.values() if preset.name == name)
    anthropic = (key, settings.ANTHROPIC_BASE_URL, settings.ANTHROPIC_MODEL) if name == "anthropic" else _UNNAMED
    google = (key, settings.GOOGLE_BASE_URL, settings.GOOGLE_MODEL) if name == "google" else _UNNAMED
    return next(iter(_from_settings(named, anthropic, google, ("", ""), False, waits())), None)


def rehearsed(name: str, waits: Waits) -> ProviderSpec:
    """The offline provider under this name."""
    models, default = rehearsal.MODELS, rehearsal.MODELS[0]
    return ProviderSpec(name, "rehearsal", "", "", models, default, False, 1000, *waits, offline=True)


def anthropic_url(url: str) -> str:
    """The address of Anthropic's API or of an ANTHROPIC_BASE_URL, which its own clients take without its /v1."""
    url = (url or f"https://{profiles.ANTHROPIC}").rstrip("/")
    return url if url.endswith("/v1") else f"{url}/v1"


def google_url(url: str) -> str:
    """The address of Google's Gemini API or of a GOOGLE_BASE_URL, which its own clients take without its version."""
    url = (url or f"https://{profiles.GOOGLE}").rstrip("/")
    return url if _VERSION.search(url) else f"{url}/v1beta"


def ollama_url(host: str) -> str:
    """The address of an OLLAMA_HOST, which may lack its scheme and port as Ollama allows."""
    url = host if "://" in host else f"http://{host}"
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 11434)
    except ValueError:
        return url  # whoever asks it says that it is not well formed
    name = "127.0.0.1" if parts.hostname in (None, "", "0.0.0.0") else parts.hostname
    name = f"[{name}]" if ":" in name else name
    return f"{parts.scheme}://{name}:{port}{parts.path.rstrip('/').removesuffix('/v1')}"
