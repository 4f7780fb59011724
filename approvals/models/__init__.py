"""What may be done, who was asked, what they said, and the log that proves it."""

from approvals.models.audit import ActorKind, AuditEvent, AuditHead, AuditPayload, AuditSeal, AuditUnsealed
from approvals.models.notifications import (
    ChannelKind,
    HeldNotice,
    NotificationChannel,
    NotificationPreference,
    SignInPlace,
)
from approvals.models.outbox import OutboxItem, WebhookEndpoint
from approvals.models.policies import Effect, Policy, PolicyVersion, Risk
from approvals.models.requests import Approval, ApprovalStatus, Decision, Grant, Vote

__all__ = [
    "ActorKind",
    "Approval",
    "ApprovalStatus",
    "AuditEvent",
    "AuditHead",
    "AuditPayload",
    "AuditSeal",
    "AuditUnsealed",
    "ChannelKind",
    "Decision",
    "Effect",
    "Grant",
    "HeldNotice",
    "NotificationChannel",
    "NotificationPreference",
    "OutboxItem",
    "Policy",
    "PolicyVersion",
    "Risk",
    "SignInPlace",
    "Vote",
    "WebhookEndpoint",
]
