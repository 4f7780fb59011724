"""The providers that the environment names: they have no rows and stand in every workspace."""

from functools import lru_cache
from urllib.parse import urlsplit

from django.conf import settings

from agents.providers import profiles, rehearsal
from agents.providers.base import ProviderSpec

Waits = tuple[float, float, float]


def providers() -> tuple[ProviderSpec, ...]:
    """The providers that the settings name."""
    keys = settings.OPENAI_API_KEY, settings.OPENAI_BASE_URL, settings.GROQ_API_KEY, settings.OPENROUTER_API_KEY
    return _from_settings(*keys, settings.OLLAMA_HOST, settings.REHEARSAL, waits())


def waits() -> Waits:
    """Seconds to wait for a connection, for the first token and between tokens."""
    return (
        settings.PROVIDER_CONNECT_SECONDS,
        settings.PROVIDER_FIRST_TOKEN_SECONDS,
        settings.PROVIDER_BETWEEN_TOKENS_SECONDS,
    )


@lru_cache(maxsize=8)
def _from_settings(
    openai_key: str,
    openai_url: str,
    groq: str,
    openrouter: str,
    ollama: str,
    offline: bool,
    waits: Waits,
) -> tuple[ProviderSpec, ...]:
    def provider(name: str, url: str, key: str, default: str, priority: int, *, any_model: bool) -> ProviderSpec:
        return ProviderSpec(name, "openai", url, key, (), default, any_model, priority, *waits)

    found = []
    if openai_key or openai_url:
        url = openai_url or f"https://{profiles.OPENAI}/v1"
        own = profiles.host(url) != profiles.OPENAI
        # Proxies and self-hosted servers route names that they do not list: their own 404 is the answer then.
        default = "" if own else "gpt-4o-mini"
        found.append(provider("openai", url, openai_key, default, 10, any_model=own))
    if groq:
        url = f"https://{profiles.GROQ}/openai/v1"
        found.append(provider("groq", url, groq, "llama-3.3-70b-versatile", 20, any_model=False))
    if openrouter:  # lists models, but not their variants such as `:online`
        url = "https://openrouter.ai/api/v1"
        found.append(provider("openrouter", url, openrouter, "openrouter/auto", 30, any_model=True))
    if ollama:
        found.append(provider("ollama", ollama_url(ollama), "", "", 40, any_model=False))
    if offline:
        found.append(rehearsed("rehearsal", waits))
    return tuple(found)


def rehearsed(name: str, waits: Waits) -> ProviderSpec:
    """The offline provider under this name."""
    models, default = rehearsal.MODELS, rehearsal.MODELS[0]
    return ProviderSpec(name, "rehearsal", "", "", models, default, False, 1000, *waits, offline=True)


def ollama_url(host: str) -> str:
    """The OpenAI-compatible address of an OLLAMA_HOST, which may lack its scheme and port as Ollama allows."""
    url = host if "://" in host else f"http://{host}"
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 11434)
    except ValueError:
        return url  # whoever asks it says that it is not well formed
    name = "127.0.0.1" if parts.hostname in (None, "", "0.0.0.0") else parts.hostname
    name = f"[{name}]" if ":" in name else name
    return f"{parts.scheme}://{name}:{port}{parts.path.rstrip('/')}/v1"
