"""Wiring of the chat app."""

from django.apps import AppConfig


class ChatConfig(AppConfig):
    """The chat app."""

    name = "chat"

    def ready(self) -> None:
        """Own tool calls, tell errors as each dialect does, take out of transcripts what a person had forgotten."""
        # Models must be there before these are imported.
        from approvals import kinds  # noqa: PLC0415
        from chat.countersigning import ToolCalls  # noqa: PLC0415
        from chat.dialects.shapes import SHAPES  # noqa: PLC0415
        from chat.services import forgetting  # noqa: F401, PLC0415  it registers itself
        from chat.services.actions import KIND  # noqa: PLC0415
        from core import problems  # noqa: PLC0415

        kinds.register(KIND, ToolCalls())
        problems.SHAPES.update(SHAPES)
