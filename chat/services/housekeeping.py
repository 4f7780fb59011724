"""What is kept for a time only, dropped when that time is over."""

from accounts import idempotency
from accounts.services import holds, sessions
from agents.services import hooks
from approvals.services import outbox
from chat.services import attachments, retention
from memory.services import expiring


def run() -> int:
    """Drop what was kept for a time, from answers and sessions to conversations, memories and files; how many."""
    gone = 0
    for prune in (idempotency.prune, sessions.prune, holds.prune, outbox.prune, hooks.prune):
        while dropped := prune():
            gone += dropped
    return gone + retention.sweep() + expiring.sweep() + attachments.sweep()
