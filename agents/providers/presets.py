"""Well-known services that speak OpenAI's API: where they are, what they need, and where they differ from it.

One row each. How it differs is a field with a meaning of its own, never a comparison of names.
"""

from dataclasses import dataclass

from agents.providers import profiles
from agents.providers.base import ProviderSpec


@dataclass(frozen=True, slots=True)
class Preset:
    """A service; the environment names it by its key, its address, or both.

    `priority`: who is asked first; `any_model`: it has more models than it lists.
    """

    name: str
    label: str
    base_url: str
    key_variable: str
    url_variable: str = ""
    default_model: str = ""  # empty: the first that it lists
    any_model: bool = False
    routes: bool = False  # at another address it may have models that it does not list, as proxies do
    priority: int = 100
    counts_unasked: bool = False  # sends usage in every stream, and may refuse to be asked for it
    call_id_length: int = 0  # ids of calls are so many letters and digits exactly; 0: as they come
    told_again: str = ""  # the field in which thoughts before a call must come back with it
    tells_cost: bool = False  # its usage has what the answer cost, in US dollars
    newer_limit: bool = False  # its models take `max_completion_tokens`, and some no `max_tokens`


_OPENAI = Preset(
    "openai", "OpenAI", f"https://{profiles.OPENAI}/v1", "OPENAI_API_KEY", "OPENAI_BASE_URL", "gpt-4o-mini",
    routes=True, priority=10, newer_limit=True,
)  # fmt: skip
_ALL = (
    _OPENAI,
    Preset(
        "groq", "Groq", f"https://{profiles.GROQ}/openai/v1", "GROQ_API_KEY",
        default_model="llama-3.3-70b-versatile", priority=20, newer_limit=True,
    ),
    Preset(
        "mistral", "Mistral", "https://api.mistral.ai/v1", "MISTRAL_API_KEY", default_model="mistral-small-latest",
        priority=24, counts_unasked=True, call_id_length=9,
    ),
    Preset(
        "deepseek", "DeepSeek", "https://api.deepseek.com/v1", "DEEPSEEK_API_KEY", priority=26,
        told_again="reasoning_content",
    ),
    Preset(  # lists models, but not their variants such as `:online`
        "openrouter", "OpenRouter", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY",
        default_model="openrouter/auto", any_model=True, priority=30, counts_unasked=True, told_again="reasoning",
        tells_cost=True,
    ),
    Preset("vllm", "vLLM", "http://127.0.0.1:8000/v1", "VLLM_API_KEY", "VLLM_BASE_URL", priority=42),
    Preset(
        "lm-studio", "LM Studio", "http://127.0.0.1:1234/v1", "LM_STUDIO_API_KEY", "LM_STUDIO_BASE_URL", priority=44
    ),
)  # fmt: skip
PRESETS = {preset.name: preset for preset in _ALL}
_OTHER = Preset("", "OpenAI-compatible", "", "")


def is_local(preset: Preset) -> bool:
    """Whether it is a server of one's own, whose address is only its usual one."""
    return preset.base_url.startswith("http:")


_BY_HOST = {profiles.host(preset.base_url): preset for preset in _ALL if not is_local(preset)}

NEWER_LIMIT = frozenset(host for host, preset in _BY_HOST.items() if preset.newer_limit)
"""The hosts themselves: a server elsewhere that is set up as one of them may know the older field alone."""


def service(spec: ProviderSpec) -> str:
    """Whose service a provider is: OpenAI's wire format is spoken by many, any other by one; empty: it is not known."""
    return of(spec).name if spec.kind == "openai" else spec.kind


def of(spec: ProviderSpec) -> Preset:
    """The provider's preset, by its name or its address; one that differs in nothing for any other server."""
    return PRESETS.get(spec.preset) or _BY_HOST.get(profiles.host(spec.base_url), _OTHER)
