"""`Idempotency-Key`: a POST that is repeated gives its first answer again and does nothing twice.

match begin(actor, key, endpoint, digest):
    case Replay(status, response): ...      # the first answer
    case Claim() as claim: ...              # do the work; complete(claim, …) in its transaction, or abandon(claim)
"""

import datetime
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from django.db import connection
from django.db.models.functions import Now
from django.http import HttpResponseBase
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Actor, IdempotentRequest, KeyKind
from core import digest as digests
from core.errors import Conflict, Invalid

KEPT = timedelta(hours=24)
CLAIM_LASTS = timedelta(minutes=1)  # a process that died in the first request holds its key no longer
_KEY = re.compile(r"[\x20-\x7e]{1,255}")

P = ParamSpec("P")


class Mismatch(Conflict):
    """The key was used for another request."""

    code = "idempotency_mismatch"
    default_detail = "This Idempotency-Key was used with another request."


class InFlight(Conflict):
    """The first request with this key is not answered yet."""

    code = "idempotency_in_flight"
    default_detail = "The first request with this Idempotency-Key is still under way."
    default_headers = {"Retry-After": "1"}


class ClaimLost(Conflict):
    """The work took longer than a claim lasts, and another request has taken the key over."""

    code = "idempotency_lost"
    default_detail = "Another request with this Idempotency-Key has taken over."


@dataclass(frozen=True, slots=True)
class Replay:
    """The first request's answer."""

    status: int
    response: Any


@dataclass(slots=True)
class Claim:
    """The right to do the work of a key; `settled` once its answer is kept."""

    row_id: int
    taken_at: datetime.datetime
    settled: bool = False


# One statement, so that of many at once exactly one gets a row back: a new key, one past its time, or one whose
# first request died. The clock is the database's.
_TAKE = f"""
INSERT INTO {IdempotentRequest._meta.db_table} AS held
    (workspace_id, user_id, key, endpoint, request_hash, created_at)
VALUES (%s, %s, %s, %s, %s, clock_timestamp())
ON CONFLICT ON CONSTRAINT one_answer_per_idempotency_key DO UPDATE
SET request_hash = excluded.request_hash, status = NULL, response = NULL, created_at = excluded.created_at
WHERE held.created_at < clock_timestamp() - interval '{KEPT.total_seconds()} seconds'
    OR (held.status IS NULL
        AND held.created_at < clock_timestamp() - interval '{CLAIM_LASTS.total_seconds()} seconds')
RETURNING id, created_at
"""


def begin(actor: Actor, key: str, endpoint: str, digest: bytes) -> Replay | Claim:
    """The first answer, or the right to give it; raises Invalid, Mismatch or InFlight."""
    if not _KEY.fullmatch(key):
        raise Invalid.field("Idempotency-Key", "from 1 to 255 printable ASCII characters")
    workspace_id, user_id, endpoint = actor.workspace.pk, actor.user.pk, endpoint[:300]
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, (workspace_id, user_id, key, endpoint, digest))
        taken = cursor.fetchone()
    if taken is not None:
        return Claim(*taken)
    first = IdempotentRequest.objects.filter(
        workspace_id=workspace_id, user_id=user_id, key=key, endpoint=endpoint
    ).first()
    if first is None or (first.status is None and bytes(first.request_hash) == digest):
        raise InFlight  # None: it was abandoned this very moment; the next try does the work
    if bytes(first.request_hash) != digest:
        raise Mismatch
    return Replay(first.status or 200, first.response)


def complete(claim: Claim, status: int, response: Any) -> None:
    """Keep the answer, as a part of the caller's transaction if there is one; raises ClaimLost."""
    if not _held(claim).update(status=status, response=response):
        raise ClaimLost
    claim.settled = True


def abandon(claim: Claim) -> None:
    """Free the key, unless its answer is kept: nothing was done."""
    _held(claim).delete()


def prune(limit: int = 1000) -> int:
    """Delete rows past their time, at most so many; returns how many."""
    old = IdempotentRequest.objects.filter(created_at__lt=Now() - KEPT).order_by("created_at")
    return IdempotentRequest.objects.filter(pk__in=old.values("pk")[:limit]).delete()[0]


def digest_of(request: Request) -> bytes:
    """What makes two requests the same: method, path, query and body, and the session where a header names it."""
    asked = [request.method, request.path.rstrip("/"), request.META["QUERY_STRING"], request.data]
    session = request.headers.get("X-Session-Id")
    return digests.sha256(asked if session is None else [*asked, session])


def endpoint_of(request: Request) -> str:
    """The endpoint that a key belongs to: a method and a route, with ids still open.

    A publishable key is everybody's who sees its page: there it is this path, for this visitor or address, so that
    nobody is given what another began.
    """
    actor: Any = request.user
    if actor.key is not None and actor.key.kind == KeyKind.PUBLISHABLE:
        who = digests.sha256([actor.visitor or request.META.get("REMOTE_ADDR")]).hex()
        return f"{request.method} {request.path.rstrip('/')} {actor.key.line} {who}"
    match = request._request.resolver_match
    return f"{request.method} {(match.route if match else request.path).rstrip('/?$')}"


@contextmanager
def claimed(request: Request) -> Iterator[Replay | Claim | None]:
    """The claim or the replay of a request with an `Idempotency-Key`, None without; a failure frees the key."""
    key = request.headers.get("Idempotency-Key")
    actor: Any = request.user
    begun = None if key is None else begin(actor, key, endpoint_of(request), digest_of(request))
    try:
        yield begun
    except BaseException:
        if isinstance(begun, Claim):
            abandon(begun)
        raise


def idempotent(
    method: Callable[Concatenate[Any, Request, P], HttpResponseBase],
) -> Callable[Concatenate[Any, Request, P], HttpResponseBase]:
    """Of a view's method: honours `Idempotency-Key`.

    The answer is kept after the method returns; a method that must not do its work without that keeps it in its own
    transaction, by `complete(request.claim, …)`. An answer from 400 on, and an exception, free the key.
    """

    @wraps(method)
    def once(view: Any, request: Any, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        with claimed(request) as claim:
            if isinstance(claim, Replay):
                return Response(claim.response, claim.status, headers={"Idempotency-Replayed": "true"})
            request.claim = claim
            response = method(view, request, *args, **kwargs)
            if claim and response.status_code >= 400:
                abandon(claim)
            elif claim and not claim.settled:
                complete(claim, response.status_code, _rendered(response))
            return response

    return once


def _rendered(response: HttpResponseBase) -> Any:
    """The answer as JSON."""
    data = getattr(response, "data", None)
    return None if data is None else json.loads(JSONRenderer().render(data))


def _held(claim: Claim) -> Any:
    return IdempotentRequest.objects.filter(pk=claim.row_id, created_at=claim.taken_at, status=None)
