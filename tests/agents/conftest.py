"""What the tests of agents share: a wire-faithful server, and the spec of a provider that reaches it."""

import asyncio
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

from accounts.models import Workspace
from agents import brain
from agents.providers.base import ChatMessage, ChatRequest, ProviderSpec, ToolDefinition
from agents.tools import http, registry
from agents.tools.registry import Context, ToolResult
from tests.servers import anthropic_server, google_server, ollama_server, openai_server
from tests.servers.anthropic_server import AnthropicServer
from tests.servers.google_server import GoogleServer
from tests.servers.ollama_server import OllamaServer
from tests.servers.openai_server import OpenAIServer
from tests.servers.threads import bridged


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with openai_server.running() as server:
        yield server


@pytest.fixture
def spec(server: OpenAIServer) -> ProviderSpec:
    return ProviderSpec("openai", "openai", server.base_url, "sk-test-secret-0123456789")


@pytest.fixture
def anthropic() -> Iterator[AnthropicServer]:
    with anthropic_server.running(["claude-sonnet-4-5-20250929", "claude-haiku-4-5-20251001"]) as server:
        yield server


@pytest.fixture
def claude(anthropic: AnthropicServer) -> ProviderSpec:
    return ProviderSpec("claude", "anthropic", anthropic.base_url, anthropic_server.KEY)


@pytest.fixture
def ollama() -> Iterator[OllamaServer]:
    with ollama_server.running(["plain:latest", "think:8b"]) as server:
        yield server


@pytest.fixture
def llama(ollama: OllamaServer) -> ProviderSpec:
    return ProviderSpec("ollama", "ollama", ollama.base_url)


@pytest.fixture
def google() -> Iterator[GoogleServer]:
    listed = ["gemini-2.5-flash", "embed", "gemini-2.5-pro", "aqa", "gemma-3-27b-it"]
    with google_server.running(listed) as server:
        yield server


@pytest.fixture
def gemini(google: GoogleServer) -> ProviderSpec:
    return ProviderSpec("gemini", "google", google.base_url, google_server.KEY)


@pytest.fixture
def patient(spec: ProviderSpec) -> Callable[..., ProviderSpec]:
    """The spec with other waits, in seconds."""

    def changed(**waits: float) -> ProviderSpec:
        return dataclasses.replace(spec, **{f"{name}_seconds": value for name, value in waits.items()})

    return changed


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    brain.forget()
    http.forget()
    yield
    brain.forget()


@pytest.fixture
def context(transactional_db: None, workspace: Workspace) -> Iterator[Callable[..., Context]]:
    """Makes the context of a call in the workspace, with a key of its own unless one is named."""

    def make(key: str = "", of: Workspace = workspace) -> Context:
        return Context(workspace_id=of.pk, key=key or str(uuid4()))

    with bridged():
        yield make


def call(name: str, context: Context, **arguments: Any) -> ToolResult:
    """Run a tool: checked, validated, executed; tools use the database in threads of their own."""
    spec = registry.get(name)
    assert spec is not None
    checked = registry.check(spec, arguments)
    registry.validate(spec, checked, context)
    return asyncio.run(registry.execute(spec, checked, context))


def shown(name: str, context: Context, **arguments: Any) -> dict[str, Any]:
    """The preview of a call."""
    spec = registry.get(name)
    assert spec is not None
    return registry.preview(spec, registry.check(spec, arguments), context)


def ask(model: str, text: str = "Hello", system: str = "", tools: tuple[ToolDefinition, ...] = ()) -> ChatRequest:
    """A request of one message."""
    return ChatRequest(model, (ChatMessage("user", text),), system, tools)
