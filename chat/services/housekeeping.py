"""What is kept for a time only, dropped when that time is over."""

from accounts import idempotency
from agents.services import hooks
from approvals.services import outbox


def run() -> int:
    """Drop answers kept for repeated requests, and notes of what went out and came in; gives how many rows went."""
    gone = 0
    for prune in (idempotency.prune, outbox.prune, hooks.prune):
        while dropped := prune():
            gone += dropped
    return gone
