"""What somebody says to a request, and which parts of it go together."""

from dataclasses import dataclass
from typing import Any

from approvals.models import Decision
from core.errors import Invalid

LONGEST_REASON = 2_000
LONGEST_RESPONSE = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Remember:
    """How long an approval is remembered, and which arguments must be the same then; None is all of them."""

    arguments: tuple[str, ...] | None = None
    minutes: int = 60
    count: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Ballot:
    """What somebody says to a request."""

    decision: Decision
    digest: str | None = None
    reason: str = ""
    arguments: dict[str, Any] | None = None
    response: str = ""
    remember: Remember | None = None
    fresh: bool = False
    break_glass: bool = False

    def check(self) -> None:
        """Raises Invalid where the parts do not go together."""
        approves = self.decision == Decision.APPROVE
        if len(self.reason) > LONGEST_REASON:
            raise Invalid.field("reason", f"at most {LONGEST_REASON} characters", "max_length")
        if len(self.response) > LONGEST_RESPONSE:
            raise Invalid.field("response", f"at most {LONGEST_RESPONSE} characters", "max_length")
        if (self.decision == Decision.REJECT or self.break_glass) and not self.reason.strip():
            raise Invalid.field("reason", "say why: the agent and the log are told", "required")
        if (self.decision == Decision.RESPOND) != bool(self.response.strip()):
            raise Invalid.field("response", "goes with the decision `respond`, which needs it", "required")
        if self.arguments is not None and not approves:
            raise Invalid.field("arguments", "only an approval can edit them")
        if self.remember is not None and not approves:
            raise Invalid.field("remember", "only an approval can be remembered")
        if self.break_glass and (not approves or self.arguments is not None or self.remember is not None):
            raise Invalid("What is decided alone is approved as it was proposed, and not remembered.")
