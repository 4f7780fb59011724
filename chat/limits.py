"""What one run may take: steps, tokens, money and time."""

import asyncio
from typing import ClassVar

from django.conf import settings

from agents.events import Usage
from core.errors import DomainError


class StepLimit(DomainError):
    """The run called tools over and over."""

    code: ClassVar[str] = "step_limit"
    title = "The run took too many steps"


class TokenLimit(DomainError):
    """The run used up its tokens."""

    code = "token_limit"
    title = "The run used too many tokens"


class CostLimit(DomainError):
    """The run used up its money."""

    code = "cost_limit"
    title = "The run cost too much"


class WallLimit(DomainError):
    """The run used up its time."""

    code = "wall_limit"
    title = "The run took too long"


def check(steps: int, usage: Usage | None, deadline: float) -> None:
    """Raises a kind of DomainError where the run has taken all that one run may; `deadline` is the loop's time."""
    taken = usage or Usage()
    if steps >= settings.RUN_MAX_STEPS:
        raise StepLimit(f"The run took its {settings.RUN_MAX_STEPS} steps without coming to an end.")
    if taken.input_tokens + taken.output_tokens > settings.RUN_MAX_TOKENS:
        raise TokenLimit(f"The run used up its {settings.RUN_MAX_TOKENS:,} tokens.")
    if (taken.cost_usd or 0.0) > settings.RUN_MAX_COST_USD:
        raise CostLimit(f"The run cost more than its {settings.RUN_MAX_COST_USD:g} US dollars.")
    check_wall(deadline)


def check_wall(deadline: float) -> None:
    """Raises WallLimit where the run's time is over."""
    if asyncio.get_running_loop().time() > deadline:
        raise WallLimit(f"The run worked for over {settings.RUN_WALL_SECONDS:g} seconds.")
