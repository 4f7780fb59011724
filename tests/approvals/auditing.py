"""What the tests of the audit log share: events, their sealing, and somebody who owns the database."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from django.db import connection, transaction

from approvals.models import AuditEvent, AuditSeal
from approvals.services import audit, heads, sealing


def record(workspace, count=1, **given):
    """So many events of a workspace."""
    with transaction.atomic():
        audit.record(
            *(
                audit.Entry(
                    **{
                        "type": "action.succeeded",
                        "workspace_id": workspace.pk,
                        "who": audit.SYSTEM,
                        "data": {"n": n},
                        **given,
                    }
                )
                for n in range(count)
            )
        )


def chained(workspace, count=10):
    """So many events with their places in the chain, whose end is signed."""
    record(workspace, count)
    sealing.seal()
    heads.sign_heads()


def at(workspace, seq):
    """The id of the event at a place."""
    return AuditSeal.objects.get(workspace=workspace, seq=seq).event_id


@contextmanager
def owner():
    """A cursor of who owns the database and has switched the triggers off, as only the owner can."""
    tables = [f"approvals_{name}" for name in ("auditevent", "auditpayload", "auditseal", "audithead")]
    with transaction.atomic(), connection.cursor() as cursor:
        for table in tables:
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER append_only")
        yield cursor
        for table in tables:
            cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER append_only")


def places(workspace):
    """The places that are taken in a workspace's chain."""
    return list(AuditSeal.objects.filter(workspace=workspace).order_by("seq").values_list("seq", flat=True))


def newest():
    """The event that was written last."""
    return AuditEvent.objects.latest("pk")


def together(*tasks):
    """Run functions at the same time, each in a thread with a database connection of its own."""

    def run(task):
        try:
            task()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(tasks)) as pool:
        for future in [pool.submit(run, task) for task in tasks]:
            future.result(60)
