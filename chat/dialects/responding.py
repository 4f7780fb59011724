"""What each dialect does with a message: begin its run, or find that of a request that came before, and serve it."""

from collections.abc import AsyncGenerator, Callable

from django.http.response import HttpResponseBase
from rest_framework.request import Request

from accounts import idempotency
from accounts.authentication import actor_of
from chat import stream
from chat.eventlog import feed
from chat.following import Numbered, follow
from chat.models import Conversation, Run
from chat.services import runs, saying
from chat.services.saying import Said

Serve = Callable[[Run, AsyncGenerator[list[Numbered]]], HttpResponseBase]


def respond(
    request: Request,
    said: Said,
    find: Callable[[], Conversation],
    serve: Serve,
    *,
    wait: float = 0.0,
    wait_for_client: float = 0.0,
    also: Callable[[Run], None] | None = None,
) -> HttpResponseBase:
    """Begin a run in the conversation that `find` gives, and let `serve` make the response of its events.

    They end when the run does, or when it has waited `wait` seconds for an approval, or `wait_for_client` for the
    client's own tools. A request that came before, by its `Idempotency-Key`, is served the run that it began. `also` is
    called in the transaction that begins the run.
    """
    actor = actor_of(request)
    with idempotency.claimed(request) as claim:
        if isinstance(claim, idempotency.Replay):
            run = runs.get(claim.response["run_id"], by=actor)
            response = serve(run, follow(str(run.pk), wait=wait, wait_for_client=wait_for_client))
            response["Idempotency-Replayed"] = "true"
            return response
        run, watch = saying.begin(actor, said, find(), also=both(also, keep(claim)))
    response = serve(run, follow(str(run.pk), watch=watch, wait=wait, wait_for_client=wait_for_client))
    stream.release_with(response, lambda: feed.unwatch(str(run.pk), watch))
    return response


def keep(claim: idempotency.Claim | None) -> Callable[[Run], None] | None:
    """Keeps a run as the answer to its request's `Idempotency-Key`, in the transaction that starts it."""
    return None if claim is None else lambda run: idempotency.complete(claim, 200, {"run_id": str(run.pk)})


def both(first: Callable[[Run], None] | None, then: Callable[[Run], None] | None) -> Callable[[Run], None] | None:
    """Calls one after the other, where there are two."""
    if first is None or then is None:
        return first or then

    def call(run: Run) -> None:
        first(run)
        then(run)

    return call
