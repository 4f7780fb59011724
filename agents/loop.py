"""One turn of a model as an asynchronous generator: messages in, events out; it knows no database."""

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing

from django.conf import settings

from agents.events import Status
from agents.providers import provider_for
from agents.providers.base import ChatRequest, ProviderError, ProviderSpec, Spoken, TurnTooLong

ATTEMPTS = 3
PATIENCE_SECONDS = 10.0  # a turn that has waited longer is not sent again
LONGEST_PAUSE_SECONDS = 5.0


async def turn(spec: ProviderSpec, request: ChatRequest) -> AsyncGenerator[Spoken]:
    """What one model answers, with the tools that it calls and usage last; raises ProviderError.

    A request that failed before its first token or call is sent again, a few times and with growing pauses. Closing the
    generator, or cancelling whoever reads it, closes the connection to the provider.
    """
    provider = provider_for(spec)
    clock = asyncio.get_running_loop().time
    began = clock()
    latest = began + settings.RUN_WALL_SECONDS
    for attempt in range(1, ATTEMPTS + 1):
        spoken = False
        try:
            async with aclosing(provider.stream(request)) as stream:
                async for event in stream:
                    spoken = True
                    yield event
                    if clock() > latest:
                        raise TurnTooLong(f"The answer took over {settings.RUN_WALL_SECONDS:g} seconds.")
            return
        except ProviderError as error:
            error.before_first_token = not spoken
            pause = pause_before_retry(error, attempt, waited=clock() - began)
            if pause is None:
                raise
            yield Status(label=f"{spec.name}: {error.title}; trying again")
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
