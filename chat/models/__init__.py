"""What was said, what answers it, and what is done for that: conversations, messages, runs, actions."""

from chat.models.actions import SETTLED, Action, ActionState
from chat.models.conversations import Attachment, Compaction, Conversation, Message, MessageRole, ReadMark
from chat.models.folders import Folder
from chat.models.runs import ENDED, WAITING, Run, RunRole, RunState

__all__ = [
    "ENDED",
    "SETTLED",
    "WAITING",
    "Action",
    "ActionState",
    "Attachment",
    "Compaction",
    "Conversation",
    "Folder",
    "Message",
    "MessageRole",
    "ReadMark",
    "Run",
    "RunRole",
    "RunState",
]
