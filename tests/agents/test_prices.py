"""What models cost: where their providers sell, and nothing that is guessed."""

import subprocess
import sys

import pytest

from agents.providers import anthropic, google, presets, prices

OPENAI, ANTHROPIC = "https://api.openai.com/v1", "https://api.anthropic.com/v1"


def test_a_price_holds_at_its_providers_address_alone():
    assert prices.of(OPENAI, "gpt-4o") == (2.5, 10.0)
    for elsewhere in ("https://proxy.example/v1", "http://127.0.0.1:8000/v1", "http://ollama:11434", "", "http://[::1"):
        assert prices.of(elsewhere, "gpt-4o") is None
        assert prices.cost(elsewhere, "gpt-4o", 1, 1) is None


@pytest.mark.parametrize(
    "address",
    [
        "https://api.openai.com.evil.example/v1",
        "https://api.openai.com@evil.example/v1",
        "https://api.openai.com:pass@evil.example/v1",
        "https://api.openai.community/v1",
        "https://eu.api.openai.com/v1",
        "https://evil.example/https://api.openai.com/v1",
        "https://evil.example/x.googleapis.com",
        "https://x.openai.azure.com.evil.example/",
        "https://openai.azure.com.evil.example/",
        "http://api.openai.com/v1",
    ],
)
def test_an_address_that_only_looks_like_a_providers_has_no_price(address):
    assert prices.of(address, "gpt-4o") is None
    assert prices.cost(address, "gpt-4o", 1, 1) is None


@pytest.mark.parametrize(
    "address", ["https://API.OpenAI.com/v1", "https://api.openai.com:443/v1", "https://mine.openai.azure.com/"]
)
def test_a_provider_is_known_by_its_host_or_by_a_name_that_it_gave(address):
    assert prices.of(address, "gpt-4o") == (2.5, 10.0)


def test_the_presets_that_sell_have_prices():
    models = {"groq": "llama-3.3-70b-versatile", "mistral": "mistral-small-latest", "deepseek": "deepseek-chat"}
    for name, model in {**models, "openai": "gpt-4o-mini", "openrouter": "openai/gpt-4o"}.items():
        assert prices.of(presets.PRESETS[name].base_url, model) is not None, name
    assert prices.of(google.BASE_URL, "gemini-2.5-flash") is not None
    assert prices.of(anthropic.BASE_URL, "claude-sonnet-4-5") is not None


@pytest.mark.parametrize("model", ["gpt-99", "", "x" * 10_000, "whisper-1"])
def test_what_has_no_known_price_costs_nothing_known(model):
    assert prices.cost(OPENAI, model, 1_000, 1_000) is None


def test_a_model_that_is_listed_without_a_price_is_not_free():
    assert prices.cost("https://generativelanguage.googleapis.com/v1beta", "gemma-3", 1_000, 1_000) is None


def test_tokens_from_and_for_a_cache_have_prices_of_their_own():
    assert prices.cost(ANTHROPIC, "claude-sonnet-4-5", 100_000, 10_000) == 0.45
    assert prices.cost(ANTHROPIC, "claude-sonnet-4-5", 100_000, 0, cached=100_000) == 0.03
    assert prices.cost(ANTHROPIC, "claude-sonnet-4-5", 100_000, 0, written=100_000) == 0.375
    assert prices.cost(OPENAI, "gpt-4o", 1_000_000, 0, cached=1_000_000) == 1.25


@pytest.mark.parametrize("tokens", [(-5, 10), (10, -5), (0, 0)])
def test_an_upstream_that_tells_nonsense_earns_nothing_by_it(tokens):
    assert (prices.cost(OPENAI, "gpt-4o", *tokens, cached=-1, written=10**9) or 0) >= 0


def test_the_list_is_not_read_by_who_asks_for_no_price():
    """It takes 18 MB, which a process with models of its own alone need not have."""
    code = (
        "import sys; from agents.providers import prices; prices.of('http://127.0.0.1:1/v1', 'gpt-4o');"
        "sys.exit('genai_prices' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
