"""A mail server on this machine that keeps what it was sent, and may refuse some of it."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.message import Message

from aiosmtpd.controller import Controller


class Mailbox:
    """What came in; `refusals` are answers that are given first, one to each message."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.refusals: list[str] = []

    async def handle_DATA(self, server: object, session: object, envelope: object) -> str:
        """Take a message, or refuse it."""
        if self.refusals:
            return self.refusals.pop(0)
        self.messages.append(message_from_bytes(envelope.content))
        return "250 OK"


@contextmanager
def mailing(settings: object) -> Iterator[Mailbox]:
    """A mail server for as long as the block lasts, to which the settings lead."""
    box = Mailbox()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", port
    try:
        yield box
    finally:
        controller.stop()
