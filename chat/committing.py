"""What the runs of a worker store together, so that one which cannot be stored spoils no other.

Whether it is the thing itself that is at fault, or the database that can store nothing now, is told by the error: only
in the first case is each tried by itself.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from django.db import DataError, IntegrityError
from django.db import Error as DbError

from chat.models import RunState
from chat.services import finishing, leases
from chat.services.finishing import Outcome
from chat.services.leases import Checkpoint

log = logging.getLogger(__name__)

Stored = tuple[Outcome, datetime | None]
UNSTORABLE = "The answer could not be stored by a fault of ours."
_TOO_MUCH = "54"  # the class of errors in which PostgreSQL says that something is larger than it can be


def at_fault(error: Exception) -> bool:
    """Whether what was to be stored is at fault, so that it fails whenever it is tried."""
    if isinstance(error, DbError):
        state = getattr(error.__cause__, "sqlstate", None) or ""
        return isinstance(error, DataError | IntegrityError) or state.startswith(_TOO_MUCH)
    return not isinstance(error, OSError)


def store(outcomes: Sequence[Outcome], *, lapsed: bool = False) -> dict[UUID, Stored]:
    """Store outcomes together; one that cannot be stored spoils no other, and its run ends as failed.

    Gives those that ended runs, each as it was stored, with the time of its answer if it has one. Raises a kind of
    DbError or OSError where nothing can be stored now.
    """
    try:
        times = finishing.finish(outcomes, lapsed=lapsed)
    except Exception as error:
        if not at_fault(error):
            raise
        if len(outcomes) > 1:
            each = (store([outcome], lapsed=lapsed) for outcome in outcomes)
            return {run_id: stored for one in each for run_id, stored in one.items()}
        log.exception("an answer could not be stored", extra={"run_id": str(outcomes[0].run_id)})
        return _fail(outcomes[0], lapsed)
    return {one.run_id: (one, times[one.run_id]) for one in outcomes if one.run_id in times}


def _fail(outcome: Outcome, lapsed: bool) -> dict[UUID, Stored]:
    """End the run as failed without its answer, and where even what it used is at fault, without that."""
    for account in (outcome.account, None):
        broken = replace(
            outcome,
            seq=outcome.seq - (outcome.state == RunState.COMPLETED),  # what completes a run takes a number more
            state=RunState.FAILED,
            parts=[],
            usage=None,
            account=account,
            error_code="internal_error",
            error_message=UNSTORABLE,
        )
        try:
            times = finishing.finish([broken], lapsed=lapsed)
        except Exception as error:
            if not at_fault(error):
                raise
            log.exception("a run could not be ended", extra={"run_id": str(outcome.run_id)})
        else:
            return {run_id: (broken, at) for run_id, at in times.items()}
    return {}  # its lease lapses


def keep(points: Sequence[Checkpoint]) -> tuple[dict[UUID, bool], list[UUID]]:
    """Checkpoint runs together: gives those still held, as `leases.checkpoint`, and those that cannot be stored.

    Raises a kind of DbError or OSError where nothing can be stored now.
    """
    try:
        return leases.checkpoint(points), []
    except Exception as error:
        if not at_fault(error):
            raise
        if len(points) == 1:
            log.exception("a draft could not be stored", extra={"run_id": str(points[0].run_id)})
            return {}, [points[0].run_id]
    held: dict[UUID, bool] = {}
    spoilt: list[UUID] = []
    for point in points:
        its, failed = keep([point])
        held |= its
        spoilt += failed
    return held, spoilt
