"""What hangs on a person's account, to take along: how they sign in, what they set, what the audit log has of them."""

from typing import Any

from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from allauth.usersessions.models import UserSession
from axes.models import AccessAttempt
from django.db.models import Q, QuerySet

from accounts.models import Budget, Membership, User
from agents.models import ProviderKey
from approvals.models import AuditEvent, NotificationPreference
from chat.models import Folder

Rows = tuple[QuerySet[Any], tuple[str, ...]]
_EVENT = ("at", "type", "actor_kind", "agent_id", "session_id", "target_kind", "target_id")
_WISHES = ("events", "time_zone", "daily_at", "quiet_from", "quiet_until", "urgent_at_once", "updated_at")


def of_account(user: User) -> dict[str, list[dict[str, Any]]]:
    """How they sign in, without any secret."""
    rows: dict[str, Rows] = {
        "sessions": (UserSession.objects.filter(user=user), ("created_at", "last_seen_at", "ip", "user_agent")),
        "second_factors": (Authenticator.objects.filter(user=user), ("type", "created_at", "last_used_at")),
        "single_sign_on": (
            SocialAccount.objects.filter(user=user),
            ("provider", "uid", "extra_data", "date_joined", "last_login"),
        ),
        "failed_sign_ins": (
            AccessAttempt.objects.filter(username__iexact=user.email),
            ("attempt_time", "ip_address", "user_agent", "failures_since_start"),
        ),
    }
    return {name: list(found.order_by("pk").values(*columns)) for name, (found, columns) in rows.items()}


def of_workspace(membership: Membership) -> dict[str, Rows]:
    """What they set in a workspace and what its audit log has of them, by the names of the files."""
    mine = {"workspace": membership.workspace, "user": membership.user}
    events = AuditEvent.objects.filter(workspace=membership.workspace)
    wishes = NotificationPreference.objects.filter(membership=membership)
    return {
        "folders": (Folder.objects.filter(**mine), ("name", "color", "created_at")),
        "notifications": (wishes, _WISHES),
        "provider_keys": (ProviderKey.objects.filter(**mine), ("provider", "created_at", "updated_at")),
        "budgets": (Budget.objects.filter(**mine), ("period", "tokens", "usd", "enabled", "created_at")),
        "audit": (events.filter(Q(actor_id=membership.user_id) | Q(person_id=membership.user_id)), _EVENT),
    }
