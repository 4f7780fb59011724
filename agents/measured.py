"""One call of a provider: counted, timed to its first word, and told as a span. Nothing here is done for each chunk."""

import time
from types import TracebackType

from agents.events import Usage
from agents.providers import presets, profiles
from agents.providers.base import ChatRequest, ProviderError, ProviderSpec
from core import logs, measures, tracing

NAMES = {"google": "gcp.gemini", "mistral": "mistral_ai"}
"""What services are called in OpenTelemetry's conventions, where that is another name than ours."""


class Call:
    """A `with` block around the provider's stream."""

    def __init__(self, spec: ProviderSpec, request: ChatRequest) -> None:
        # Never the provider's own name, of which a workspace may think up as many as it likes.
        self._service = presets.service(spec) or "other"
        self._began = time.monotonic()
        self._given = self._said = 0
        if tracing.on():
            said: dict[str, tracing.Value] = {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": NAMES.get(self._service, self._service),
                "gen_ai.request.model": logs.redact(request.model),
                "server.address": profiles.host(spec.base_url),
            }
            name = f"chat {said['gen_ai.request.model']}"
            self._span = tracing.span(name, kind=tracing.CLIENT, attributes=said)
        else:
            self._span = tracing.NOTHING

    def spoke(self) -> None:
        """The first word, or call, has come."""
        measures.PROVIDER_FIRST_WORD.observe(time.monotonic() - self._began, self._service)

    def used(self, usage: Usage) -> Usage:
        """The provider told what it counted."""
        self._given += usage.input_tokens or 0
        self._said += usage.output_tokens or 0
        return usage

    def __enter__(self) -> "Call":
        measures.PROVIDER_CALLS.add(self._service)
        self._span.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, ProviderError):
            measures.PROVIDER_ERRORS.add(self._service, error.code)
        if self._given or self._said:
            measures.TOKENS.add(self._service, "in", by=self._given)
            measures.TOKENS.add(self._service, "out", by=self._said)
            self._span.note({"gen_ai.usage.input_tokens": self._given, "gen_ai.usage.output_tokens": self._said})
        self._span.__exit__(kind, error, traceback)
