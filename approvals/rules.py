"""What policy says of a call: a pure function of the call and a snapshot of the workspace's rules.

Deny wins, then ask, then allow. A condition that fails asks. Where no rule matches, what only reads runs and all else
asks. An agent that observes does nothing but read; one that advises asks for what rules allow, unless the rule says
that it covers advisors. A tier without approvals refuses what would have to be asked.

Of several rules that ask, the one with the lowest number says whom and how. A rule that asks only because its condition
fails comes after all that mean to: what a model puts into arguments must not bring weaker terms about.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from uuid import UUID

from accounts.models import Role, Tier
from approvals import conditions
from approvals.autonomy import Autonomy
from approvals.calls import Call
from approvals.models import Effect, Risk


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A manager is asked: whom, how many, for how long. `policy` is the rule's name, empty for the default."""

    policy: str = ""
    quorum_approve: int = 1
    quorum_reject: int = 1
    roles: tuple[str, ...] = (Role.MANAGER.value,)
    groups: tuple[UUID, ...] = ()
    people: tuple[UUID, ...] = ()
    escalate_after: timedelta | None = None
    escalate_to: UUID | None = None
    request_lasts: timedelta = timedelta(hours=24)
    approval_lasts: timedelta = timedelta(hours=1)
    editable: bool = True
    fresh_password: bool = False
    digest_required: bool = False
    may_remember: bool = False
    most_per_run: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Allow:
    """The call runs."""

    policy: str = ""
    covers_advisors: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Deny:
    """The call is refused; `code` and `reason` are told to the model."""

    policy: str = ""
    code: str = "denied_by_policy"
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observe:
    """The proposal is recorded, and nothing runs."""

    policy: str = ""


Verdict = Allow | Ask | Deny | Observe


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule as a snapshot has it."""

    id: str
    name: str
    effect: str
    priority: int = 100
    tool: str = "*"
    agent: str = "*"
    companion: str = "*"
    risks: tuple[str, ...] = ()
    tiers: tuple[str, ...] = ()
    condition: str = ""
    covers_advisors: bool = False
    valid_until: datetime | None = None
    ask: Ask = field(default_factory=Ask)

    def ended(self, moment: datetime) -> bool:
        """Whether its time is over by then."""
        return self.valid_until is not None and self.valid_until <= moment

    def concerns(self, call: Call) -> bool:
        """Whether the call is one of those that it speaks of, whatever its condition says."""
        return (
            fnmatchcase(call.tool, self.tool)
            and fnmatchcase(call.agent, self.agent)
            and fnmatchcase(call.companion, self.companion)
            and (not self.risks or call.risk in self.risks)
            and (not self.tiers or call.tier in self.tiers)
        )


@dataclass(frozen=True, slots=True)
class Rules:
    """All rules of a workspace as they hold from a version on."""

    version: int
    rules: tuple[Rule, ...] = ()

    def at(self, moment: datetime) -> "Rules":
        """Without those that have ended by then."""
        return replace(self, rules=tuple(rule for rule in self.rules if not rule.ended(moment)))


def judge(call: Call, held: Rules) -> Verdict:
    """What policy says of the call."""
    if call.autonomy == Autonomy.OBSERVER and call.risk != Risk.READ:
        return Observe()
    verdict = _by_rules(call, held)
    if isinstance(verdict, Allow) and call.autonomy != Autonomy.AUTONOMOUS and call.risk != Risk.READ:
        verdict = verdict if verdict.covers_advisors else Ask(policy=verdict.policy)
    if isinstance(verdict, Ask) and call.tier == Tier.FREE:
        reason = "Approvals need the tier pro or higher, and this call would have to be approved."
        return Deny(policy=verdict.policy, code="tier_required", reason=reason)
    return verdict


def _by_rules(call: Call, held: Rules) -> Verdict:
    """The rules' verdict, whoever the agent is."""
    matching = sorted((rule for rule in held.rules if rule.concerns(call)), key=_order)
    holds = conditions.hold({rule.condition for rule in matching if rule.condition}, call)
    said = [(rule, not rule.condition or holds[rule.condition]) for rule in matching]
    effects = {effect: [rule for rule, yes in said if yes and rule.effect == effect] for effect in Effect.values}
    failing = [rule for rule, yes in said if yes is None]
    if denying := effects[Effect.DENY]:
        return Deny(policy=denying[0].name, reason=f"The policy “{denying[0].name}” denies it.")
    meant = [*effects[Effect.ASK], *(rule for rule in failing if rule.effect == Effect.ASK)]
    if asking := sorted(meant, key=_order) or failing:
        return asking[0].ask
    if allowing := effects[Effect.ALLOW]:
        rule = next((rule for rule in allowing if rule.covers_advisors), allowing[0])
        return Allow(policy=rule.name, covers_advisors=rule.covers_advisors)
    return Allow() if call.risk == Risk.READ else Ask()


def _order(rule: Rule) -> tuple[int, str, str]:
    return rule.priority, rule.name, rule.id
