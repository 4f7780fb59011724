"""What a change of the rules would have changed: past calls, judged by the rules that hold and by those of a draft."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from typing import Any
from uuid import UUID

from approvals import directory, kinds
from approvals.calls import PastCall
from approvals.rules import Allow, Ask, Deny, Verdict, judge
from approvals.services import policies
from approvals.services.policies import Draft
from approvals.terms import in_words, terms_of

EXAMPLES = 50
MOST = 50_000  # calls, where somebody waits for the answer
EVERY = 500  # calls between two words on how far it is


@dataclass(frozen=True, slots=True)
class Change:
    """A call that the draft judges otherwise, with both verdicts in words and the rule behind the second.

    `agent` is what people call it.
    """

    at: datetime
    tool: str
    agent: str
    person: str
    arguments: dict[str, Any]
    now: str
    then: str
    policy: str
    agent_id: UUID


@dataclass(slots=True)
class Simulation:
    """How many calls were judged, how many otherwise, from what to what, and some of them, oldest first.

    `whole` is false where there were more calls than were to be looked at.
    """

    judged: int = 0
    changed: int = 0
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    examples: list[Change] = field(default_factory=list)
    whole: bool = True


def simulate(
    draft: Draft,
    since: datetime,
    *,
    beside: Sequence[Draft] = (),
    most: int | None = MOST,
    progress: Callable[[int], None] | None = None,
) -> Simulation:
    """Judge the calls since then by the rules that hold and by those with the drafts in place; nothing is stored.

    Both see each call as it would be made today. Raises as `policies.apply` does for drafts that could not hold.
    """
    workspace_id = draft.policy.workspace_id
    held, then = policies.current(workspace_id), policies.drafted(workspace_id, [draft, *beside])
    found = Simulation()
    for past in islice(_calls(workspace_id, since), most and most + 1):
        if found.judged == most:
            found.whole = False
            break
        found.judged += 1
        if progress is not None and found.judged % EVERY == 0:
            progress(found.judged)
        _compare(found, past, judge(past.call, held), judge(past.call, then))
    names = directory.agents([workspace_id], {one.agent_id for one in found.examples})
    found.examples = [replace(one, agent=names.get(one.agent_id, one.agent)) for one in found.examples]
    return found


def told(verdict: Verdict) -> str:
    """A verdict in words."""
    match verdict:
        case Allow():
            return "allow"
        case Deny():
            return f"deny ({verdict.code})"
        case Ask():
            whom = [f"{role}s" for role in verdict.roles]
            for ids, one, many in ((verdict.groups, "group", "groups"), (verdict.people, "person", "people")):
                whom += [f"{len(ids)} {one if len(ids) == 1 else many}"] if ids else []
            return f"ask {in_words(verdict.quorum_approve, whom)}"
        case _:
            return "observe"


def _calls(workspace_id: UUID, since: datetime) -> Iterator[PastCall]:
    for kind in kinds.every().values():
        yield from kind.calls_since(workspace_id, since)


def _compare(found: Simulation, past: PastCall, before: Verdict, after: Verdict) -> None:
    now, then = told(before), told(after)
    if now == then:
        if not isinstance(before, Ask) or not isinstance(after, Ask) or terms_of(before) == terms_of(after):
            return
        then = f"{then}, on other terms"
    found.changed += 1
    found.counts[now, then] += 1
    if len(found.examples) < EXAMPLES:
        call = past.call
        person = call.person.email if call.person else ""
        named = (call.tool, call.agent, person, call.arguments)
        found.examples.append(Change(past.at, *named, now, then, after.policy, call.agent_id))
