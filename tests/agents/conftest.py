"""What the tests of agents share: a wire-faithful server, and the spec of a provider that reaches it."""

import dataclasses
from collections.abc import Callable, Iterator

import pytest

from agents import brain
from agents.providers.base import ChatMessage, ChatRequest, ProviderSpec
from tests.servers import openai_server
from tests.servers.openai_server import OpenAIServer


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with openai_server.running() as server:
        yield server


@pytest.fixture
def spec(server: OpenAIServer) -> ProviderSpec:
    return ProviderSpec("openai", "openai", server.base_url, "sk-test-secret-0123456789")


@pytest.fixture
def patient(spec: ProviderSpec) -> Callable[..., ProviderSpec]:
    """The spec with other waits, in seconds."""

    def changed(**waits: float) -> ProviderSpec:
        return dataclasses.replace(spec, **{f"{name}_seconds": value for name, value in waits.items()})

    return changed


@pytest.fixture(autouse=True)
def _fresh_brain() -> Iterator[None]:
    brain.forget()
    yield
    brain.forget()


def ask(model: str, text: str = "Hello", system: str = "") -> ChatRequest:
    """A request of one message."""
    return ChatRequest(model, (ChatMessage("user", text),), system)
