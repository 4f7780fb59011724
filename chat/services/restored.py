"""What a restored backup must not do by itself: run again what may have run since it was made."""

from django.db import transaction

from approvals.models import AuditEvent
from approvals.services import audit
from chat.models import Action, ActionState
from chat.services import actions

CODE = "restored"
SUMMARY = "A backup was restored, in which this was about to run. A person says whether it did."
_EVENT = "action.unknown"
# Calls of clients' tools are never in these states. Each column is as old as the table.
HOLD_BACK = f"""
UPDATE public.chat_action
SET state = '{ActionState.UNKNOWN}', code = '{CODE}', summary = '{SUMMARY}', perhaps = true, lease_until = NULL
WHERE state IN ('{ActionState.READY}', '{ActionState.EXECUTING}') AND retry NOT IN ('idempotent', 'keyed');
"""
"""SQL for the transaction that brings the rows: leave to a person what was about to run and may not run twice."""


@transaction.atomic
def tell() -> int:
    """Tell the log what was held back, each once; gives how many wait for a person."""
    held = list(Action.objects.filter(state=ActionState.UNKNOWN, code=CODE).order_by("pk"))
    told = AuditEvent.objects.filter(type=_EVENT, target_id__in=[action.pk for action in held])
    known = set(told.values_list("target_id", flat=True))
    audit.record(*(actions.entry(action, _EVENT, audit.SYSTEM) for action in held if action.pk not in known))
    return len(held)
