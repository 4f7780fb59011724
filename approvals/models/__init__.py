"""What may be done, who was asked, what they said, and the log that proves it."""

from approvals.models.audit import ActorKind, AuditEvent, AuditHead, AuditPayload, AuditSeal, AuditUnsealed
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
    "Decision",
    "Effect",
    "Grant",
    "OutboxItem",
    "Policy",
    "PolicyVersion",
    "Risk",
    "Vote",
    "WebhookEndpoint",
]
