"""What is kept for a time only, dropped when that time is over."""

from accounts import idempotency
from accounts.services import holds
from agents.services import hooks
from approvals.services import outbox
from chat.services import attachments
from memory.services import expiring


def run() -> int:
    """Drop answers kept for repeated requests, notes of what went out and came in, memories, files; how many."""
    gone = 0
    for prune in (idempotency.prune, holds.prune, outbox.prune, hooks.prune):
        while dropped := prune():
            gone += dropped
    return gone + expiring.sweep() + attachments.sweep()
