"""/ws/admin/approvals: tells an open page of the admin to look again, and nothing else.

Who sits there is known by the admin's session cookie, so the page must be of this very origin. The person's rights say
which workspaces are heard, and are looked at again every minute.
"""

import asyncio
import contextlib
import logging
import time
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.contrib import auth
from django.db import Error as DbError
from django.http import HttpRequest
from django.http.cookie import parse_cookie

from accounts.admin import scope as rights
from approvals.live import Page, channel
from core import bridge
from core.errors import DomainError, Forbidden, Unauthorized

log = logging.getLogger(__name__)

UNAUTHORIZED, FORBIDDEN, AGAIN, NOT_HERE = 4401, 4403, 1013, 1008
RECHECK_SECONDS = 60.0
PAUSE_SECONDS = 0.2  # between two words: whatever happened meanwhile is one
CHANGED, READY = '{"type":"changed"}', '{"type":"ready"}'


class ApprovalsConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]  # Channels is not typed
    """An open inbox or approval."""

    async def connect(self) -> None:
        """Let in staff who read approvals; else close with a code that says why."""
        self._page: Page | None = None
        self._telling: asyncio.Task[None] | None = None
        await self.accept()  # first: a page is told the code of a close, but nothing of a handshake that was refused
        try:
            workspaces = await bridge.in_thread(admitted, self.scope)
        except DomainError as error:
            await self.close(UNAUTHORIZED if isinstance(error, Unauthorized) else FORBIDDEN)
            return
        except DbError:
            await self.close(AGAIN)
            return
        self._page = await channel.open(workspaces)
        if self._page is None:
            await self.close(AGAIN)
            return
        self._telling = asyncio.create_task(self._tell(self._page))

    async def disconnect(self, code: int) -> None:
        """Leave nothing behind."""
        if self._page is not None:
            channel.close(self._page)
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.gather(self._telling, return_exceptions=True)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Nothing is heard here: who speaks is no page of ours."""
        await self.close(NOT_HERE)

    async def _tell(self, page: Page) -> None:
        checked = time.monotonic()
        with contextlib.suppress(OSError, RuntimeError):  # what servers raise for a client that has left
            await self.send(READY)
            while True:
                heard = await page.heard(RECHECK_SECONDS)
                if page.lost:
                    await self.close(AGAIN)
                    return
                if time.monotonic() - checked >= RECHECK_SECONDS:
                    checked = time.monotonic()
                    if not await self._still(page):
                        return
                if heard:
                    await self.send(CHANGED)
                    await asyncio.sleep(PAUSE_SECONDS)

    async def _still(self, page: Page) -> bool:
        """Whether the person still reads approvals; their rights may have become others."""
        try:
            page.workspaces = await bridge.in_thread(admitted, self.scope)
        except (DomainError, DbError):
            await self.close(FORBIDDEN)
            return False
        return True


def admitted(scope: dict[str, Any]) -> frozenset[UUID] | None:
    """The workspaces that the session's holder reads approvals of, None: every one; raises Unauthorized, Forbidden."""
    headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
    if not _of_this_origin(headers):
        raise Forbidden
    key = parse_cookie(headers.get(b"cookie", "")).get(settings.SESSION_COOKIE_NAME)
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(key)
    request.user = auth.get_user(request)
    if not (request.user.is_active and request.user.is_staff):
        raise Unauthorized
    if rights.sees_all(request):
        return None
    held = rights.workspaces(request, *rights.READERS)
    if not held:
        raise Forbidden
    return frozenset(held)


def _of_this_origin(headers: dict[bytes, str]) -> bool:
    """Whether the page that asks was served from here: browsers always say where a socket's page comes from."""
    origin = headers.get(b"origin", "")
    if origin in settings.CSRF_TRUSTED_ORIGINS:
        return True
    parts = urlsplit(origin)
    return parts.scheme in ("http", "https") and bool(parts.netloc) and parts.netloc == headers.get(b"host")
