"""What a run's end writes into the ledger of what models were used for."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from accounts.services import usage
from accounts.services.usage import Used
from agents import ownkeys
from agents.events import Usage, added
from chat.models import Run

MOST_TOKENS = 10**12  # that one run is believed to have used: a provider may tell anything
MOST_USD = 10**9  # as above; the column holds less than 10**12


@dataclass(frozen=True, slots=True)
class Spender:
    """On whose account a run is, and what it used that no provider told of."""

    user_id: UUID | None
    agent_id: UUID
    own_key: bool = False
    estimated: Usage | None = None


def entry(
    by: Spender,
    told: dict[str, Any] | None,
    *,
    workspace_id: UUID,
    session_id: UUID,
    run_id: UUID,
    message_id: UUID | None,
    provider: str,
    model: str,
) -> Used | None:
    """The run's entry, None where it used nothing; `told` is its usage as the providers told it."""
    total = Usage(**told) if told else None
    if by.estimated is not None:
        total = added(total, by.estimated)
    if total is None or not (total.input_tokens or total.output_tokens):
        return None
    return Used(
        workspace_id=workspace_id,
        user_id=by.user_id,
        agent_id=by.agent_id,
        session_id=session_id,
        run_id=run_id,
        message_id=message_id,
        provider=provider,
        model=model,
        input_tokens=believed(total.input_tokens),
        output_tokens=believed(total.output_tokens),
        cost_usd=believed_usd(total.cost_usd),
        own_key=by.own_key,
        estimated=by.estimated is not None,
    )


def record(entries: Iterable[Used | None]) -> None:
    """Write the entries that there are, in the transaction at hand."""
    usage.record([one for one in entries if one is not None])


def spender(run: Run) -> Spender | None:
    """On whose account a run is that no worker has; None of a team's, whose members' runs have entries of their own."""
    if run.team is not None:
        return None
    user_id = run.conversation.user_id
    return Spender(user_id, run.agent_id, ownkeys.has(run.workspace_id, user_id, run.provider))


def record_unfinished(run: Run) -> None:
    """Write what a run used that no worker has: it waits, stands in line, or goes with its conversation."""
    by = spender(run)
    if by is None or not run.usage:
        return
    record(
        [
            entry(
                by,
                run.usage,
                workspace_id=run.workspace_id,
                session_id=run.conversation_id,
                run_id=run.pk,
                message_id=run.answer_id,
                provider=run.provider,
                model=run.model,
            )
        ]
    )


def believed(tokens: int) -> int:
    """So many tokens, as far as a provider is believed."""
    return min(max(0, tokens), MOST_TOKENS)


def believed_usd(cost: float | None) -> Decimal | None:
    """So much money, as far as a provider is believed; None where it is not known."""
    if cost is None or not math.isfinite(cost):
        return None
    return Decimal(str(round(min(max(0.0, cost), MOST_USD), 8)))
