"""The admin of chat: what was said, what answers it, and what was done."""

from chat.admin import actions, kept, leaving, records, trying

__all__ = ["actions", "kept", "leaving", "records", "trying"]
