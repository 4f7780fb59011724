"""Content negotiation for routes that choose their own form: `Accept` is read by the view, never refused."""

from typing import Any

from rest_framework.negotiation import DefaultContentNegotiation


class AnyAccept(DefaultContentNegotiation):
    """Takes any `Accept`; what is not streamed is JSON."""

    def select_renderer(self, request: Any, renderers: Any, format_suffix: str | None = None) -> tuple[Any, str]:
        """The first renderer, whatever was asked for."""
        return renderers[0], renderers[0].media_type
