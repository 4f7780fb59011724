"""What is wrong with the environment is said when the program starts."""

import pytest
from django.core.checks import run_checks


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
    found = [message.msg.split()[0] for message in run_checks() if message.id == "agents.E001"]
    assert found == names
