"""Model providers: one file a wire format, and the closed set of them."""

from collections.abc import Callable

from agents.providers.anthropic import AnthropicProvider
from agents.providers.base import Provider, ProviderSpec
from agents.providers.google import GoogleProvider
from agents.providers.ollama import OllamaProvider
from agents.providers.openai import OpenAIProvider
from agents.providers.rehearsal import RehearsalProvider

KINDS: dict[str, Callable[[ProviderSpec], Provider]] = {
    "openai": OpenAIProvider,
    "anthropic": AnthropicProvider,
    "google": GoogleProvider,
    "ollama": OllamaProvider,
    "rehearsal": RehearsalProvider,
}


def provider_for(spec: ProviderSpec) -> Provider:
    """The provider that speaks the spec's wire format."""
    return KINDS[spec.kind](spec)
