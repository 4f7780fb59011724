"""What models cost, by the public price list of genai-prices, which comes with the package: nothing is asked for it.

A price holds where its provider sells, by the address: another server may sell a model of the same name for another.
The list is read once somebody asks for the price of a model on the Internet, for it takes 18 MB.
"""

from datetime import UTC, date, datetime
from functools import cache, lru_cache
from importlib import import_module
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

_PLACES = 8


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
    if not _for_sale(base_url):
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
        sum_of = library.calc_price(library.Usage(**given), model, provider_api_url=base_url)
    except LookupError:
        return None
    by_token = vars(sum_of.model_price)
    if by_token.get("input_mtok") is None and by_token.get("output_mtok") is None:
        return None  # the model is listed, its price is not
    return round(float(sum_of.total_price), _PLACES)


@lru_cache(maxsize=1_024)
def _for_sale(base_url: str) -> bool:
    """Whether the address is one on the Internet: a server of one's own has no list price."""
    try:
        host = urlsplit(base_url).hostname or ""
    except ValueError:
        return False
    try:
        ip_address(host)
    except ValueError:
        return "." in host
    return False


@cache
def _library() -> Any:
    return import_module("genai_prices")
