"""/ws/admin/approvals and /ws/approvals: tell an open page to look again, and how much waits for its person.

Who sits there is known by their session's cookie, so the page must be of this very origin. The person's rights say
what is heard, and are looked at again every minute.
"""

import asyncio
import contextlib
import json
import logging
import time
from dataclasses import dataclass
from functools import partial
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
from redis.exceptions import RedisError

from accounts import secondfactor, signedin
from accounts.admin import scope as rights
from accounts.models import Actor
from approvals import openpages, waiting
from approvals.live import Page, channel
from approvals.querysets import READERS
from core import bridge, ids
from core.errors import DomainError, Forbidden, RateLimited, Unauthorized

log = logging.getLogger(__name__)

UNAUTHORIZED, FORBIDDEN, AGAIN, NOT_HERE = 4401, 4403, 1013, 1008
RECHECK_SECONDS = 60.0
PAUSE_SECONDS = 0.2  # between two words: whatever happened meanwhile is one


class ApprovalsConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]  # Channels is not typed
    """An open inbox or approval of the admin."""

    def admit(self, request: HttpRequest) -> frozenset[UUID] | None:
        """The workspaces of which the person hears, None: every one; raises Unauthorized, Forbidden."""
        return admitted(request)

    async def word(self, name: str, number: int | None) -> dict[str, Any] | None:
        """What the page is told of a word, or now; None where it is nothing to this person. May raise DbError."""
        return {"type": name}

    async def connect(self) -> None:
        """Let in whoever may hear of approvals; else close with a code that says why."""
        self._person: object = None
        self._place = ids.new()
        self._page: Page | None = None
        self._telling: asyncio.Task[None] | None = None
        await self.accept()  # first: a page is told the code of a close, but nothing of a handshake that was refused
        try:
            workspaces = await bridge.in_thread(self._enter)
        except (DomainError, DbError, RedisError) as error:
            await self.close(_code(error))
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
        if self._person is not None:
            with contextlib.suppress(RedisError):  # else the place lapses
                await bridge.in_thread(openpages.leave, self._person, self._place)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Nothing is heard here: who speaks is no page of ours."""
        await self.close(NOT_HERE)

    async def _tell(self, page: Page) -> None:
        checked = time.monotonic()
        with contextlib.suppress(OSError, RuntimeError):  # what servers raise for a client that has left
            if not await self._say("ready", None):
                return
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
                    if not await self._say("changed", page.word):
                        return
                    await asyncio.sleep(PAUSE_SECONDS)

    def _enter(self) -> frozenset[UUID] | None:
        """Let the person in, or see whether they may stay; raises Unauthorized, Forbidden, TooMany, or RedisError."""
        request = session_of(self.scope)
        workspaces = self.admit(request)
        openpages.take(request.user.pk, self._place)
        self._person = request.user.pk
        return workspaces

    async def _say(self, name: str, number: int | None) -> bool:
        """Tell the page, where it is anything to it; False where it had to be closed instead."""
        try:
            word = await self.word(name, number)
        except DbError:
            await self.close(AGAIN)
            return False
        if word is not None:
            await self.send(json.dumps(word, separators=(",", ":")))
        return True

    async def _still(self, page: Page) -> bool:
        """Whether the person may still hear; their rights may have become others."""
        try:
            page.workspaces = await bridge.in_thread(self._enter)
        except (DomainError, DbError, RedisError) as error:
            await self.close(AGAIN if isinstance(error, RateLimited | RedisError) else FORBIDDEN)
            return False
        return True


class WaitingConsumer(ApprovalsConsumer):
    """An open page outside the admin: of its person's workspace, with the number of what waits for them.

    Who does not read the workspace's approvals hears a word only where something changed that they see.
    """

    _actor: Actor
    _look: openpages.Look[Any]
    _seen: tuple[object, ...] | None = None

    def admit(self, request: HttpRequest) -> frozenset[UUID]:
        """The workspace in which the session's person works; raises Unauthorized, Forbidden."""
        if not request.user.is_authenticated:
            raise Unauthorized
        found = signedin.actor(request)
        if found is None:
            raise Forbidden
        self._actor = found
        return frozenset({found.workspace.pk})

    async def word(self, name: str, number: int | None) -> dict[str, Any] | None:
        """The word with what waits, read once for all pages of the person."""
        actor = self._actor
        self._look = openpages.look((actor.user.pk, actor.workspace.pk, actor.role))
        found = await self._look.since(number, partial(_stands, actor))
        before, self._seen = self._seen, found.seen
        if name == "changed" and found.seen is not None and found.seen == before:
            return None
        return {"type": name, "waiting": found.waiting}


@dataclass(frozen=True, slots=True)
class _Stands:
    """How much waits for a person, and how that stands which they see, where they do not read the whole workspace."""

    waiting: str
    seen: tuple[object, ...] | None


def _stands(actor: Actor) -> _Stands:
    seen = None if actor.may(*READERS) else waiting.glance(actor)
    return _Stands(waiting.count(waiting.for_actor(actor)), seen)


def _code(error: Exception) -> int:
    """What a page is told that is not let in."""
    if isinstance(error, Unauthorized):
        return UNAUTHORIZED
    return FORBIDDEN if isinstance(error, Forbidden) else AGAIN


def admitted(request: HttpRequest) -> frozenset[UUID] | None:
    """The workspaces whose approvals a member of staff reads, None: every one; raises Unauthorized, Forbidden."""
    if not (request.user.is_active and request.user.is_staff):
        raise Unauthorized
    if rights.sees_all(request):
        return None
    held = rights.workspaces(request, *rights.READERS)
    if not held:
        raise Forbidden
    return frozenset(held)


def session_of(scope: dict[str, Any]) -> HttpRequest:
    """A request with the session and the person of a socket's page; raises Forbidden for a page of elsewhere."""
    headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
    if not _of_this_origin(headers):
        raise Forbidden
    key = parse_cookie(headers.get(b"cookie", "")).get(settings.SESSION_COOKIE_NAME)
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(key)
    request.user = auth.get_user(request)
    if secondfactor.missing(request):
        raise Forbidden
    return request


def _of_this_origin(headers: dict[bytes, str]) -> bool:
    """Whether the page that asks was served from here: browsers always say where a socket's page comes from."""
    origin = headers.get(b"origin", "")
    if origin in settings.CSRF_TRUSTED_ORIGINS:
        return True
    parts = urlsplit(origin)
    return parts.scheme in ("http", "https") and bool(parts.netloc) and parts.netloc == headers.get(b"host")
