"""What is done once the transaction at hand is committed, and fails nobody."""

import logging
from collections.abc import Callable
from typing import ParamSpec

from django.db import transaction

log = logging.getLogger(__name__)
P = ParamSpec("P")


def after(work: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
    """Call `work` with these arguments after the commit; what it raises is logged, and the others are called still.

    What was committed stands, so that whoever waits for the answer is not told of a fault. Django's own
    `robust=True` does the same for functions alone: it breaks on naming anything else, such as a `partial`.
    """

    def call() -> None:
        try:
            work(*args, **kwargs)
        except Exception:
            log.exception("what was to be done after a commit was not", extra={"work": str(work)})

    transaction.on_commit(call)
