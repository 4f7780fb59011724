"""E-mails about somebody's own account: stored with the change that they tell of, sent by a worker, then deleted.

A request takes as long whether a letter is written or not, and a mail server that is away loses none: each is tried
again for about a day. A worker that dies between sending and deleting sends it once more. Where there is no mail server
none is sent, nor printed: what opens an account has no place in a log.
"""

import logging
from datetime import timedelta
from smtplib import SMTPException
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import EmailMessage
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Now

from accounts.models import Letter
from core import queue
from core.errors import Invalid
from core.sealed import SealBroken

log = logging.getLogger(__name__)

POST = "accounts.post"
PRINTED = "django.core.mail.backends.console.EmailBackend"
AT_ONCE = 50
LEASE = timedelta(minutes=2)  # longer than one attempt takes
DELAYS = tuple(timedelta(seconds=pause) for pause in (30, 300, 1_800, 7_200, 21_600, 57_600))

_ring = queue.doorbell(POST)


def check(address: str) -> None:
    """Raises Invalid for what no letter can be addressed to."""
    try:
        validate_email(address)
        address.rpartition("@")[2].encode("idna")
    except (ValidationError, UnicodeError):
        raise Invalid.field("email", "is no e-mail address") from None


def write(to: str, subject: str, text: str) -> UUID:
    """Store an e-mail with the transaction at hand, and ring for it once that is committed; gives its id."""
    letter = Letter.objects.create(to=to, subject=" ".join(subject.split())[:300], text=text)
    _ring(letter.pk)
    return letter.pk


def pretend(to: str, subject: str, text: str) -> None:
    """Do what `write` does, and send nothing: an address of nobody must not be told by the time that it takes."""
    with transaction.atomic():
        Letter.objects.filter(pk=write(to, subject, text)).delete()


def post() -> int:
    """Send what is due; returns how many letters were sent. Others may do so at the same time."""
    queue.answered(POST)
    due = Letter.objects.filter(not_before__lte=Now()).order_by("not_before")
    if settings.EMAIL_BACKEND == PRINTED:
        if due.delete()[0]:
            log.warning("letters were dropped: there is no mail server")
        return 0
    return sum(_send(pk) for pk in due.values_list("pk", flat=True)[:AT_ONCE])


def _send(pk: UUID) -> bool:
    row = Letter.objects.filter(pk=pk)
    if not row.filter(not_before__lte=Now()).update(not_before=Now() + LEASE, attempts=F("attempts") + 1):
        return False
    try:
        letter = row.first()
        if letter is None:
            return False
        _message(letter).send()
    except ValueError as error:  # it cannot be built, today or tomorrow
        _give_up(row, error)
        return False
    except (OSError, SMTPException, SealBroken) as error:
        _failed(row, error)
        return False
    row.delete()
    return True


def _message(letter: Letter) -> EmailMessage:
    headers = {
        "Message-ID": f"<{letter.pk}@{urlsplit(settings.PUBLIC_URL).hostname}>",
        "Auto-Submitted": "auto-generated",
    }
    return EmailMessage(subject=letter.subject, body=letter.text, to=[letter.to], headers=headers)


def _failed(row: QuerySet[Letter], error: Exception) -> None:
    attempts = row.values_list("attempts", flat=True).first() or 0
    if attempts > len(DELAYS):
        _give_up(row, error)
        return
    row.update(not_before=Now() + DELAYS[attempts - 1])
    log.warning("a letter could not be sent and is tried again", extra={"error": type(error).__name__})


def _give_up(row: QuerySet[Letter], error: Exception) -> None:
    row.delete()
    log.error("a letter could not be sent and is given up", extra={"error": type(error).__name__})
