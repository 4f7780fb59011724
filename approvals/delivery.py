"""The postman of a worker: claims what is due in the outbox, sends it, and settles it, some at a time.

It lives on the worker's event loop and never holds it up: the database is asked in threads of the bridge, and mail is
sent in a few threads of its own, because a mail server that is slow must not keep the database's threads.
"""

import asyncio
import json
import logging
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from smtplib import SMTPException, SMTPRecipientsRefused
from typing import Any
from weakref import WeakKeyDictionary

from django.conf import settings
from django.db import Error as DbError
from standardwebhooks import Webhook

from accounts.services import letters
from approvals import cards, emails
from approvals.services import outbox
from approvals.services.outbox import Delivery, Outcome
from core import bridge, guarded

log = logging.getLogger(__name__)

TYPED = {"Content-Type": "application/json"}
SLOTS = 20  # deliveries under way at once
MAIL_THREADS = 4
SECONDS = 15.0  # that a receiver has for its answer
GONE = 410
LOGGED = "No mail server is set (EMAIL_HOST): it was written to the worker's log, and sent to nobody."
PERMANENT = 500  # the SMTP code from which on another attempt would be refused as well


class Postman:
    """The deliveries of one event loop."""

    def __init__(self) -> None:
        self.begun = 0
        self._under_way: set[asyncio.Task[None]] = set()
        self._claiming = asyncio.Lock()
        self._more = False  # there may be more that is due than there was room for
        self.stopping = False

    async def deliver_due(self) -> int:
        """Begin to deliver what is due, as far as there is room; returns how many were begun, raises DbError.

        It does not wait for them: where there was more, each that ends makes room for the next.
        """
        async with self._claiming:
            room = 0 if self.stopping else SLOTS - len(self._under_way)
            claimed = await bridge.in_thread(outbox.claim, room) if room > 0 else []
            self._more = len(claimed) == room and not self.stopping
            for delivery in claimed:
                self._under_way.add(asyncio.create_task(self._deliver(delivery)))
            self.begun += len(claimed)
            return len(claimed)

    async def idle(self) -> None:
        """Wait until nothing is under way."""
        while self._under_way:
            await asyncio.wait(set(self._under_way))

    async def _deliver(self, delivery: Delivery) -> None:
        """Send one and settle it; where that fails its claim lapses, and it is sent again."""
        try:
            await bridge.in_thread(outbox.settle, delivery, await send(delivery))
        except (DbError, OSError) as error:
            log.warning("a delivery could not be settled", extra={"id": str(delivery.id), "error": str(error)})
        except Exception:
            log.exception("a delivery broke", extra={"id": str(delivery.id)})
        finally:
            task = asyncio.current_task()
            assert task is not None
            self._under_way.discard(task)
        if self._more:
            await self.deliver_due()


_postmen: WeakKeyDictionary[asyncio.AbstractEventLoop, Postman] = WeakKeyDictionary()


def postman() -> Postman:
    """The running loop's."""
    return _postmen.setdefault(asyncio.get_running_loop(), Postman())


async def deliver_due() -> int:
    """Begin to deliver what is due, without waiting for it; returns how many were begun, raises DbError."""
    return await postman().deliver_due()


async def drain(seconds: float) -> None:
    """Begin nothing more and give what is under way time to end; what does not is sent again when its claim lapses."""
    postman().stopping = True
    try:
        async with asyncio.timeout(seconds):
            await postman().idle()
    except TimeoutError:
        log.info("deliveries were given up; they are made again later")


def deliver_due_sync() -> int:
    """Deliver all that is due and return how many attempts were made, for where no loop runs."""

    async def work() -> int:
        while await deliver_due():
            await postman().idle()
        return postman().begun

    return asyncio.run(work())


async def send(delivery: Delivery) -> Outcome:
    """Make one attempt; what goes wrong is in the outcome."""
    if delivery.topic == outbox.EMAIL:
        return await asyncio.get_running_loop().run_in_executor(bridge.pool("mail", MAIL_THREADS), mail, delivery)
    if not delivery.url:
        what = "channel" if delivery.topic == outbox.CHANNEL else "webhook"
        return Outcome(ok=False, error=f"The {what} is switched off.", final=True)
    body = body_of(delivery)
    headers = {**TYPED, **headers_of(delivery, body)}
    try:
        answer = await guarded.request(
            "POST",
            delivery.url,
            headers=headers,
            content=body.encode(),
            seconds=SECONDS,
            private=settings.WEBHOOK_PRIVATE_ADDRESSES,
        )
    except (guarded.UrlRefused, guarded.Unreachable) as error:
        return Outcome(ok=False, error=f"{error.title}: {error.detail}")
    if 200 <= answer.status < 300:
        return Outcome(ok=True, status_code=answer.status)
    return Outcome(
        ok=False,
        status_code=answer.status,
        error=f"The receiver answered {answer.status}.",
        retry_after=_retry_after(answer.headers.get("retry-after", "")),
        final=answer.status == GONE,
        gone=answer.status == GONE,
    )


def body_of(delivery: Delivery) -> str:
    """The body of a webhook or of a channel's message, the same to the byte at each attempt."""
    if delivery.kind:
        return json.dumps(cards.compose(delivery.kind, delivery.type, delivery.payload, delivery.created_at))
    return json.dumps(told(delivery.type, delivery.payload, delivery.created_at), separators=(",", ":"))


def told(type: str, payload: Any, created_at: datetime) -> dict[str, Any]:
    """What the body of a webhook says."""
    at = created_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"type": type, "timestamp": at, "data": payload}


def headers_of(delivery: Delivery, body: str) -> dict[str, str]:
    """What says which delivery it is and, of a webhook, who sent it."""
    return signature(delivery, body) if delivery.secret else {"webhook-id": str(delivery.id)}


def signature(delivery: Delivery, body: str) -> dict[str, str]:
    """The headers by which a receiver knows who sent it, that it is fresh, and whether it came before."""
    now = int(time.time())
    signed = Webhook(str(delivery.secret)).sign(str(delivery.id), datetime.fromtimestamp(now, UTC), body)
    return {"webhook-id": str(delivery.id), "webhook-timestamp": str(now), "webhook-signature": signed}


def mail(delivery: Delivery) -> Outcome:
    """Send an e-mail through Django's mail settings; where there is no mail server, the outcome says so."""
    message = emails.compose(delivery.id, delivery.type, delivery.payload, delivery.target, delivery.created_at)
    try:
        message.send()
    except SMTPRecipientsRefused as error:
        code = min((code for code, _ in error.recipients.values()), default=PERMANENT)
        return Outcome(ok=False, status_code=code, error="The address was refused.", final=code >= PERMANENT)
    except (SMTPException, OSError) as error:
        return Outcome(ok=False, error=f"The mail server did not take it: {type(error).__name__}.")
    return Outcome(ok=True, error=LOGGED if settings.EMAIL_BACKEND == letters.PRINTED else "")


def _retry_after(value: str) -> float:
    """The seconds that a Retry-After header names, by number or date; 0 where it is neither."""
    try:
        return float(value)
    except ValueError:
        pass
    try:
        return (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):
        return 0.0
