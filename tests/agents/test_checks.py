"""What is wrong with the environment is said when the program starts."""

import pytest
from django.core.checks import run_checks


def named():
    """The variables that the checks find fault with."""
    return [message.msg.split()[0] for message in run_checks() if message.id == "agents.E001"]


@pytest.mark.parametrize(
    ("openai", "ollama", "names"),
    [
        ("", "", []),
        ("http://127.0.0.1:8080/v1", "0.0.0.0", []),
        ("127.0.0.1:8080/v1", "", ["OPENAI_BASE_URL"]),
        ("ftp://host/v1", "gpu.lan:port", ["OPENAI_BASE_URL", "OLLAMA_HOST"]),
        ("http://[::1", "http://[::1", ["OPENAI_BASE_URL", "OLLAMA_HOST"]),
    ],
)
def test_an_address_that_no_request_could_be_sent_to_is_an_error(settings, openai, ollama, names):
    settings.OPENAI_BASE_URL, settings.OLLAMA_HOST = openai, ollama
    assert named() == names


def test_so_is_one_of_a_server_that_speaks_anthropics_api(settings):
    settings.ANTHROPIC_BASE_URL = "https://proxy.example/anthropic"
    assert named() == []
    settings.ANTHROPIC_BASE_URL = "proxy.example"
    assert named() == ["ANTHROPIC_BASE_URL"]


@pytest.mark.parametrize("name", ["VLLM_BASE_URL", "LM_STUDIO_BASE_URL", "GOOGLE_BASE_URL"])
def test_so_is_one_of_a_server_of_ones_own(settings, name):
    setattr(settings, name, "http://gpu.lan:8000/v1")
    assert named() == []
    setattr(settings, name, "gpu.lan:8000")
    assert named() == [name]
