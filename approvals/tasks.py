"""What the scheduler rings for."""

from celery import shared_task

from approvals.services import approvals, digests, heads


@shared_task(name="approvals.sign_heads", ignore_result=True)
def sign_heads() -> None:
    """A minute has passed: sign the ends of the audit log's chains and tell them outside."""
    heads.sign_heads()


@shared_task(name="approvals.notify", ignore_result=True)
def notify() -> None:
    """A minute has passed: remind of what ends soon, and send what was held for now."""
    approvals.remind_due()
    digests.send_due()
