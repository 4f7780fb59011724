"""What models cost, by the public price list of genai-prices, which comes with the package: nothing is asked for it.

A price holds where its provider sells, by the address: another server may sell a model of the same name for another.
The list is read once somebody asks for the price of a model on the Internet, for it takes 18 MB.
"""

import re
from datetime import UTC, date, datetime
from functools import cache, lru_cache
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

_PLACES = 8

# Where the providers of the list sell: the list itself takes any address that begins like one of them.
_HOSTS = frozenset({
    "aiplatform.googleapis.com", "api.anthropic.com", "api.arcee.ai", "api.avian.io", "api.cerebras.ai",
    "api.cloudflare.com", "api.cohere.ai", "api.cohere.com", "api.cursor.com", "api.deepseek.com", "api.doubleword.ai",
    "api.elevenlabs.io", "api.fireworks.ai", "api.githubcopilot.com", "api.groq.com", "api.meta.ai", "api.minimax.io",
    "api.minimaxi.com", "api.mistral.ai", "api.moonshot.ai", "api.moonshot.cn", "api.novita.ai", "api.openai.com",
    "api.perplexity.ai", "api.quicksilverpro.io", "api.together.xyz", "api.typesafe.ai", "api.voyageai.com", "api.x.ai",
    "api.z.ai", "generativelanguage.googleapis.com", "inference.baseten.co", "oai.endpoints.kepler.ai.cloud.ovh.net",
    "open.bigmodel.cn", "openrouter.ai", "router.huggingface.co",
})  # fmt: skip
# Those that give each customer or region a name of its own; what customers run themselves there is none of them.
_NAMED = re.compile(
    r"[a-z0-9-]+\.(?:openai\.azure\.com|cognitiveservices\.azure\.com|services\.ai\.azure\.com|cloud\.databricks\.com"
    r"|gcp\.databricks\.com|azuredatabricks\.net)|bedrock-runtime\.[a-z0-9-]+\.amazonaws\.com"
    r"|[a-z0-9-]+-aiplatform\.googleapis\.com"
)


def of(base_url: str, model: str) -> tuple[float, float] | None:
    """US dollars a million tokens, in and out, of a short request; None where no price is known at this address."""
    return _of(base_url, model, datetime.now(UTC).date())


@lru_cache(maxsize=4_096)  # a provider may list hundreds
def _of(base_url: str, model: str, day: date) -> tuple[float, float] | None:
    """As `of`, on that day."""
    one_in, one_out = (cost(base_url, model, *tokens) for tokens in ((1_000, 0), (0, 1_000)))
    return None if one_in is None or one_out is None else (round(one_in * 1_000, 6), round(one_out * 1_000, 6))


def cost(
    base_url: str, model: str, input_tokens: int, output_tokens: int, *, cached: int = 0, written: int = 0
) -> float | None:
    """US dollars for so many tokens, or None where no price is known.

    Of the input tokens so many were `cached`, so many `written` to the provider's cache, at prices of their own.
    """
    address = _address(base_url)
    if address is None:
        return None
    input_tokens, output_tokens = max(0, input_tokens), max(0, output_tokens)  # nobody makes an upstream tell sense
    given = {"input_tokens": input_tokens, "output_tokens": output_tokens}
    cached = min(max(0, cached), input_tokens)
    written = min(max(0, written), input_tokens - cached)
    if cached:
        given["cache_read_tokens"] = cached
    if written:
        given["cache_write_tokens"] = written
    library = _library()
    try:
        sum_of = library.calc_price(library.Usage(**given), model, provider_api_url=address)
    except LookupError:
        return None
    by_token = vars(sum_of.model_price)
    if by_token.get("input_mtok") is None and by_token.get("output_mtok") is None:
        return None  # the model is listed, its price is not
    return round(float(sum_of.total_price), _PLACES)


@lru_cache(maxsize=1_024)
def _address(base_url: str) -> str | None:
    """The address as the list knows it; None where it is no provider's own but a proxy or a server of one's own."""
    try:
        parts = urlsplit(base_url)
    except ValueError:
        return None
    host = parts.hostname or ""
    sells = parts.scheme == "https" and (host in _HOSTS or _NAMED.fullmatch(host) is not None)
    return f"https://{host}{parts.path}" if sells else None


@cache
def _library() -> Any:
    return import_module("genai_prices")
