"""Who there is, and what their use of models comes to."""

from accounts.models.invitations import Invitation
from accounts.models.letters import Letter
from accounts.models.money import (
    Budget,
    BudgetHold,
    BudgetPeriod,
    BudgetScope,
    BudgetUse,
    UsageEntry,
)
from accounts.models.people import (
    Actor,
    ApiKey,
    Group,
    IdempotentRequest,
    KeyKind,
    KeyMode,
    Membership,
    Role,
    Tier,
    User,
    UserManager,
    Workspace,
)

__all__ = [
    "Actor",
    "ApiKey",
    "Budget",
    "BudgetHold",
    "BudgetPeriod",
    "BudgetScope",
    "BudgetUse",
    "Group",
    "IdempotentRequest",
    "Invitation",
    "KeyKind",
    "KeyMode",
    "Letter",
    "Membership",
    "Role",
    "Tier",
    "UsageEntry",
    "User",
    "UserManager",
    "Workspace",
]
