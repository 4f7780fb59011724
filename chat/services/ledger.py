"""What a run used of models, and what its end writes of that into the ledger.

It is kept with the run by provider, model and key, with what no provider told of and had to be estimated among it, so
that it outlasts waits, workers that stop or die, and the conversation.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
from msgspec import structs

from accounts.services import usage
from accounts.services.usage import Used
from agents.events import Usage, added
from chat.models import Run

MOST_TOKENS = 10**12  # that one run is believed to have used: a provider may tell anything
MOST_USD = 10**9  # as above; the column holds less than 10**12


class Spent(msgspec.Struct, frozen=True):
    """What was used of one model with one key; `estimated` where the provider did not tell all of it.

    `cost_usd` is None where the price of any of it is unknown; `rest_usd` is what all else came to then.
    """

    provider: str
    model: str
    own_key: bool
    input_tokens: int
    output_tokens: int
    cost_usd: float | None = None
    estimated: bool = False
    rest_usd: float = 0.0

    @property
    def usage(self) -> Usage:
        """It as usage."""
        return Usage(self.input_tokens, self.output_tokens, self.cost_usd)

    @property
    def known_usd(self) -> float:
        """What of it is known to have cost money."""
        return self.rest_usd if self.cost_usd is None else self.cost_usd


@dataclass(frozen=True, slots=True)
class Account:
    """On whose account a run is, and what it used so far."""

    workspace_id: UUID
    session_id: UUID
    run_id: UUID
    user_id: UUID | None
    agent_id: UUID
    spent: tuple[Spent, ...] = ()


def spent_by(provider: str, model: str, own_key: bool, usage: Usage, *, estimated: bool) -> Spent:
    """So much usage as that of one model with one key."""
    return Spent(provider, model, own_key, usage.input_tokens, usage.output_tokens, usage.cost_usd, estimated)


def summed(spent: Iterable[Spent]) -> tuple[Spent, ...]:
    """The same by provider, model and key, each of them once."""
    sums: dict[tuple[str, str, bool], Spent] = {}
    for one in spent:
        key = one.provider, one.model, one.own_key
        before = sums.get(key)
        if before is not None:
            known, estimated = before.known_usd + one.known_usd, before.estimated or one.estimated
            one = spent_by(*key, added(before.usage, one.usage), estimated=estimated)
            one = structs.replace(one, rest_usd=0.0 if one.cost_usd is not None else known)
        sums[key] = one
    return tuple(sums.values())


def total(spent: Iterable[Spent]) -> Usage | None:
    """All of it together as limits count it, with the costs that are known; None where there is nothing."""
    sum_of: Usage | None = None
    for one in spent:
        sum_of = added(sum_of, Usage(one.input_tokens, one.output_tokens, one.known_usd))
    return sum_of


def read(stored: Any) -> tuple[Spent, ...]:
    """What is stored with a run."""
    return msgspec.convert(stored or [], tuple[Spent, ...])


def written(spent: Iterable[Spent]) -> list[dict[str, Any]]:
    """It as it is stored with a run."""
    return [msgspec.structs.asdict(one) for one in spent]


def account(run: Run) -> Account:
    """On whose account a run is that no worker has, or none that answers."""
    return Account(
        workspace_id=run.workspace_id,
        session_id=run.conversation_id,
        run_id=run.pk,
        user_id=run.conversation.user_id,
        agent_id=run.agent_id,
        spent=read(run.spent),
    )


def entries(of: Account, message_id: UUID | None) -> list[Used]:
    """A run's entries, one for each model that it used; none of those of which it used nothing."""
    return [
        Used(
            workspace_id=of.workspace_id,
            user_id=of.user_id,
            agent_id=of.agent_id,
            session_id=of.session_id,
            run_id=of.run_id,
            message_id=message_id,
            provider=one.provider,
            model=one.model,
            input_tokens=believed(one.input_tokens),
            output_tokens=believed(one.output_tokens),
            cost_usd=believed_usd(one.cost_usd),
            own_key=one.own_key,
            estimated=one.estimated,
        )
        for one in of.spent
        if one.input_tokens or one.output_tokens
    ]


def record(accounts: Iterable[tuple[Account, UUID | None]]) -> None:
    """Write the entries of runs with their answers, in the transaction at hand."""
    usage.record([entry for of, message_id in accounts for entry in entries(of, message_id)])


def record_unfinished(run: Run) -> None:
    """Write what a run used as far as it is stored: it waits, stands in line, or goes with its conversation."""
    record([(account(run), run.answer_id)])


def record_deleted(accounts: Iterable[Account]) -> None:
    """Write what those of the runs used that are gone; those that are there have it from whoever ends them."""
    used = [one for one in accounts if one.spent]
    left = set(Run.objects.filter(pk__in=[one.run_id for one in used]).values_list("pk", flat=True)) if used else set()
    record((one, None) for one in used if one.run_id not in left)


def believed(tokens: int) -> int:
    """So many tokens, as far as a provider is believed."""
    return min(max(0, tokens), MOST_TOKENS)


def believed_usd(cost: float | None) -> Decimal | None:
    """So much money, as far as a provider is believed; None where it is not known."""
    if cost is None or not math.isfinite(cost):
        return None
    return Decimal(str(round(min(max(0.0, cost), MOST_USD), 8)))
