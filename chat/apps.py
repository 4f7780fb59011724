"""Wiring of the chat app."""

from django.apps import AppConfig


class ChatConfig(AppConfig):
    """The chat app."""

    name = "chat"

    def ready(self) -> None:
        """Own the approvals of tool calls."""
        # Models must be there before these are imported.
        from approvals import kinds  # noqa: PLC0415
        from chat.countersigning import ToolCalls  # noqa: PLC0415
        from chat.services.actions import KIND  # noqa: PLC0415

        kinds.register(KIND, ToolCalls())
