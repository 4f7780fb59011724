"""One turn of a model as an asynchronous generator: messages in, events out; it knows no database."""

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing

from django.conf import settings

from agents import breakers
from agents.events import Status, Usage, believed
from agents.measured import Call
from agents.providers import provider_for
from agents.providers.base import ChatRequest, ProviderError, ProviderSpec, Spoken, TurnTooLong

ATTEMPTS = 3
PATIENCE_SECONDS = 10.0  # a turn that has waited longer is not sent again
LONGEST_PAUSE_SECONDS = 5.0
SILENT = (Status, Usage)  # what says nothing of the answer: the request can still be sent again unnoticed


async def turn(spec: ProviderSpec, request: ChatRequest) -> AsyncGenerator[Spoken]:
    """What one model answers, with the tools that it calls and usage last; raises ProviderError.

    A request that failed before its first token or call is sent again, a few times and with growing pauses, unless the
    provider's breaker opened. Closing the generator, or cancelling whoever reads it, closes the connection to the
    provider.
    """
    provider = provider_for(spec)
    clock = asyncio.get_running_loop().time
    began = clock()
    latest = began + settings.RUN_WALL_SECONDS
    for attempt in range(1, ATTEMPTS + 1):
        spoken = heard = False
        breakers.begin(spec)
        try:
            with Call(spec, request) as call:
                async with aclosing(provider.stream(request)) as stream:
                    async for event in stream:
                        if not spoken and not isinstance(event, SILENT):
                            spoken = True
                            breakers.spoke(spec)
                            call.spoke()
                        yield call.used(believed(event)) if isinstance(event, Usage) else event
                        if clock() > latest:
                            raise TurnTooLong(f"The answer took over {settings.RUN_WALL_SECONDS:g} seconds.")
            heard = True
            breakers.succeeded(spec)
            return
        except ProviderError as error:
            heard = True
            breakers.failed(spec, error)
            error.before_first_token = not spoken
            pause = pause_before_retry(error, attempt, waited=clock() - began)
            if pause is None or breakers.rests(spec):
                raise
            yield Status(label=f"{spec.name}: {error.title}; trying again")
        finally:
            if not heard:  # whoever listened went away
                (breakers.succeeded if spoken else breakers.abandoned)(spec)
        await asyncio.sleep(pause)


def pause_before_retry(error: ProviderError, attempt: int, *, waited: float) -> float | None:
    """Seconds to wait before the request is sent again, or None where it must not or need not be."""
    if not (error.retryable and error.before_first_token) or attempt >= ATTEMPTS or waited > PATIENCE_SECONDS:
        return None
    asked = error.retry_after or 0.0
    if asked > LONGEST_PAUSE_SECONDS:
        return None
    growing: float = 0.1 * 4 ** (attempt - 1)
    return max(asked, growing) * random.uniform(1.0, 1.5)
