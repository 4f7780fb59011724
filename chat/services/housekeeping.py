"""What is kept for a time only, dropped when that time is over."""

from accounts import idempotency


def run() -> int:
    """Drop answers kept for repeated requests; gives how many rows went."""
    gone = 0
    while dropped := idempotency.prune():
        gone += dropped
    return gone
