"""What tests of policies begin with: rules that are stored, and requests that were decided."""

from datetime import timedelta
from typing import Any

from django.db.models import F
from django.utils import timezone

from accounts.models import Actor, Workspace
from approvals.models import Approval, ApprovalStatus, Decision, Policy
from approvals.services import policies
from core import ids

AGENT = ids.new()


def made(by: Actor, name: str = "Restarts", **fields: Any) -> Policy:
    """A policy that is stored."""
    whom = {name: fields.pop(name) for name in ("groups", "people") if name in fields}
    policy = Policy(workspace=by.workspace, name=name, **fields)
    policies.save(policy, by=by, **whom)
    return policy


def decided(workspace: Workspace, many: int, took: timedelta = timedelta(seconds=10), **fields: Any) -> None:
    """So many requests of an agent that were approved after a time, or what the fields make of them."""
    standard = {
        "workspace": workspace, "kind": "desk", "subject_id": AGENT, "agent_id": AGENT, "agent": "devops",
        "companion": "devops", "tool": "service_restart", "tool_version": "v1", "risk": "write", "digest": "",
        "status": ApprovalStatus.APPROVED, "decision": Decision.APPROVE, "expires_at": timezone.now(),
        "decided_at": timezone.now(),
    }  # fmt: skip
    rows = [Approval(**{"id": ids.new(), **standard, **fields}) for _ in range(many)]
    stored = [row.pk for row in Approval.objects.bulk_create(rows)]
    Approval.objects.filter(pk__in=stored).exclude(decided_at=None).update(decided_at=F("created_at") + took)
