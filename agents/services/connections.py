"""What the tools of a workspace are connected to: each change is audited, and no token is in any log."""

from typing import Any

from django.db import transaction

from accounts.models import Actor
from agents.models import Connection
from approvals.services import audit, policies
from core import commits


@transaction.atomic
def save(connection: Connection, *, by: Actor) -> None:
    """Keep a connection: from now on the workspace's tools work there, and nothing that was asked for before."""
    before = Connection.objects.select_for_update().filter(pk=connection.pk).values("base_url", "enabled").first()
    connection.save()
    _tell(connection, by, before, {"base_url": connection.base_url, "enabled": connection.enabled})


@transaction.atomic
def remove(connection: Connection, *, by: Actor) -> None:
    """Take a connection away: from now on the workspace's tools work on the sandbox."""
    _tell(connection, by, {"base_url": connection.base_url, "enabled": connection.enabled}, None)
    connection.delete()


def _tell(connection: Connection, by: Actor, before: Any, after: Any) -> None:
    audit.record(
        audit.Entry(
            type="connection.changed",
            workspace_id=connection.workspace_id,
            who=audit.person(by),
            target=("connection", connection.pk),
            data={"kind": connection.kind, "before": before, "after": after},
        )
    )
    commits.after(policies.rejudge, connection.workspace_id)
