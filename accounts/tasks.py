"""What a worker does for accounts."""

from celery import shared_task

from accounts.services import letters


@shared_task(name=letters.POST, ignore_result=True)
def post(letter_id: str = "") -> None:
    """There may be letters to send: a bell rang, or a minute has passed."""
    letters.post()
