"""What providers say when a request is too long for the model, each in its own words."""

import pytest

from agents.providers import upstream
from agents.providers.base import ContextTooLong, ProviderError, ProviderRateLimited, ProviderSpec

SPEC = ProviderSpec("p", "openai")
TOO_LONG = {
    "openai": ("context_length_exceeded", "Please reduce the length of the messages."),
    "vllm": ("400", "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens"),
    "mistral": ("3051", "Prompt contains 40000 tokens, too large for model with 32768 maximum context length"),
    "anthropic": ("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"),
    "anthropic with its answer": ("", "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000"),
    "google": ("INVALID_ARGUMENT", "The input token count (1200000) exceeds the maximum number of tokens allowed"),
    "llama.cpp": ("exceed_context_size_error", "the request exceeds the available context size"),
    "ollama": ("", "the input length exceeds the context length"),
    "lm studio": ("", "The number of tokens to keep from the prompt is greater than the context length"),
}


@pytest.mark.parametrize("whose", TOO_LONG)
def test_it_is_told_in_our_terms(whose):
    error = upstream.error_for(SPEC, 400, *TOO_LONG[whose])
    assert type(error) is ContextTooLong
    assert not error.retryable


@pytest.mark.parametrize(
    ("status", "code", "words", "kind"),
    [
        (400, "", "max_tokens must be positive", ProviderError),
        (413, "rate_limit_exceeded", "Request too large for model on tokens per minute (TPM)", ProviderError),
        (429, "", "You exceeded the context of your plan", ProviderRateLimited),
    ],
)
def test_other_refusals_are_not_taken_for_it(status, code, words, kind):
    assert type(upstream.error_for(SPEC, status, code, words)) is kind
