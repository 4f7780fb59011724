"""What the tests of a provider hear of it."""

from agents.events import TextDelta
from agents.providers import provider_for
from agents.providers.base import ChatMessage, ChatRequest, ProviderError, ToolCall, ToolDefinition

TOOLS = (
    ToolDefinition("service_restart", "Restart a service.", {"type": "object", "properties": {}}),
    ToolDefinition("service_status", "How a service is.", {"type": "object"}),
)


async def hear(spec, model, *messages, tools=(), system=""):
    """All that the provider says."""
    request = ChatRequest(model, messages or (ChatMessage("user", "Hello"),), system, tools)
    return [event async for event in provider_for(spec).stream(request)]


async def hear_out(spec, model, **more):
    """What the provider says before it fails, and its failure."""
    said = []
    request = ChatRequest(model, (ChatMessage("user", "Hello"),), **more)
    try:
        async for event in provider_for(spec).stream(request):
            said.append(event)
    except ProviderError as error:
        return said, error
    raise AssertionError("it did not fail")


def text(events, kind=TextDelta):
    """The words of this kind."""
    return "".join(event.text for event in events if isinstance(event, kind))


def called(events):
    """The calls."""
    return [event for event in events if isinstance(event, ToolCall)]
