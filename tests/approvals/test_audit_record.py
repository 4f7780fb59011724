"""What is recorded: once, with the change, in order, and without secrets."""

import json
import uuid

from approvals.models import AuditEvent
from approvals.services import audit
from core import ledger


def entry(workspace, **given):
    return audit.Entry(**{"type": "tool.enabled", "workspace_id": workspace.pk, "who": audit.SYSTEM, **given})


def data_of(event):
    return json.loads(event.payload.data)


def test_an_event_tells_who_did_what_and_where_it_came_from(workspace, manager):
    target = uuid.uuid4()
    with ledger.came_from(ip="192.0.2.1", request_id="r-1"):
        audit.record(
            entry(workspace, who=audit.person(manager), target=("tool", target), data={"before": False, "after": True})
        )
    event = AuditEvent.objects.get()
    assert (event.type, event.actor_kind, event.actor_id) == ("tool.enabled", "person", manager.user.pk)
    assert (event.person_id, event.target_kind, event.target_id) == (manager.user.pk, "tool", target)
    assert data_of(event) == {
        "actor": manager.user.email,
        "ip": "192.0.2.1",
        "request_id": "r-1",
        "before": False,
        "after": True,
    }
