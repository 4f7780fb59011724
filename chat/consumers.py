"""A session over a WebSocket: the same events as SSE, as JSON frames; messages, cancels and resumes come in.

The consumer watches the whole conversation, so every run of it is seen, whoever started it and through whichever door.
It asks the database through `core.bridge` only and holds no connection of its own.
"""

import asyncio
import contextlib
import json
import logging
from dataclasses import asdict
from typing import Any
from uuid import UUID

from channels.generic.websocket import AsyncWebsocketConsumer
from channels.security.websocket import OriginValidator
from django.conf import settings
from django.db.models import Q

from accounts import authentication
from accounts.models import Actor
from agents.events import RunRestarted, RunStarted
from chat.dialects.native import inbound
from chat.dialects.native.encoder import Frame
from chat.dialects.native.serializers import CancelFrame, MessageFrame, ResumeFrame
from chat.eventlog import feed
from chat.following import follow
from chat.models import Run
from chat.services import conversations, runs
from core import bridge, jsonbody, problems
from core.errors import DomainError, Invalid, Unauthorized

log = logging.getLogger(__name__)

UNAUTHORIZED, NOT_FOUND, TOO_BIG = 4401, 4404, 1009
PROTOCOL = "countersign"
FRAME_LIMIT = 1_000_000
BEGINNINGS = (RunStarted, RunRestarted)


class SameOrigin(OriginValidator):  # type: ignore[misc]  # Channels is not typed
    """Refuses a page of another origin; a program sends no Origin, and no cookie is read that it could abuse."""

    def valid_origin(self, parsed_origin: Any) -> bool:
        """Whether the handshake may go on."""
        return parsed_origin is None or super().valid_origin(parsed_origin)


class SessionConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]
    """/ws/ai/sessions/{id}."""

    async def connect(self) -> None:
        """Let in whoever brings a key or a ticket of the session's owner; else close with a code that says why."""
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._watching: asyncio.Task[None] | None = None
        self._subject = ""
        offered = self.scope.get("subprotocols") or []
        await self.accept(PROTOCOL if PROTOCOL in offered else None)
        try:
            self.actor: Actor = await bridge.in_thread(authenticate, self.scope)
            session_id = UUID(self.scope["url_route"]["kwargs"]["session_id"])
            self.session = await bridge.in_thread(conversations.get, session_id, by=self.actor)
        except Unauthorized:
            await self.close(UNAUTHORIZED)
            return
        except (DomainError, ValueError):
            await self.close(NOT_FOUND)
            return
        feed.start()
        self._subject = str(self.session.pk)
        self._watch = feed.watch(self._subject)
        self._watch.missed = False
        self._watching = asyncio.create_task(self._look_for_runs())

    async def disconnect(self, code: int) -> None:
        """Leave nothing behind."""
        tasks = [task for task in (self._watching, *self._tasks.values()) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._subject:
            feed.unwatch(self._subject, self._watch)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """A message, a cancel or a resume; anything else is answered with an error frame."""
        if len(text_data or bytes_data or "") > FRAME_LIMIT:
            await self.close(TOO_BIG)
            return
        try:
            if text_data is None:
                raise Invalid("Send text frames of JSON.")
            frame = jsonbody.loads(text_data.encode("utf-8", "surrogatepass"), limit=FRAME_LIMIT)
            if not isinstance(frame, dict):
                raise Invalid("A frame is a JSON object.")
            await self._heed(frame)
        except Exception as error:
            told = problems.of(error)
            if told is None:
                log.exception("a frame broke")
                told = problems.fault()
            body = {"code": told.code, "message": told.detail, "retryable": told.status >= 500}
            await self._send(None, ("error", {**body, **told.extra, "errors": [asdict(one) for one in told.errors]}))

    async def _heed(self, frame: dict[str, Any]) -> None:
        kind = frame.pop("type", None)
        if kind == "message":
            run, watch = await bridge.in_thread(begin, self.actor, self.session.pk, frame)
            self._follow(run, 0, watch=watch)
        elif kind == "cancel":
            run = await bridge.in_thread(own_run, self.actor, frame, self.session.pk)
            await bridge.in_thread(runs.cancel, run, by=self.actor)
        elif kind == "resume":
            found, after = await bridge.in_thread(to_resume, self.session.pk, frame)
            if found is not None:
                self._follow(found, after)
        else:
            raise Invalid.field("type", "This must be message, cancel or resume.")

    def _follow(self, run: Run, after: int, **place: Any) -> None:
        """Send the run's events from here on; one follower a run, the last one asked for."""
        before = self._tasks.pop(str(run.pk), None)
        if before is not None:
            before.cancel()
        self._tasks[str(run.pk)] = asyncio.create_task(self._send_run(run, after, **place))

    async def _send_run(self, run: Run, after: int, **place: Any) -> None:
        encode = inbound.encoder(run)
        await self._send(after, encode.session())
        batches = follow(str(run.pk), after=after, wait=inbound.STREAM_WAIT, **place)
        async with contextlib.aclosing(batches):
            async for batch in batches:
                for seq, event in batch:
                    for frame in encode.frames(event):
                        await self._send(seq, frame)
        if self._tasks.get(str(run.pk)) is asyncio.current_task():
            del self._tasks[str(run.pk)]

    async def _look_for_runs(self) -> None:
        """Follow runs of this conversation that begin through other doors."""
        while True:
            if not await self._watch.wait(settings.KEEP_ALIVE_SECONDS):
                continue
            missed, self._watch.missed = self._watch.missed, False
            begun = {batch.run_id for batch in self._watch.take() if isinstance(batch.events[0], BEGINNINGS)}
            for run in await bridge.in_thread(unfollowed, self.session.pk, begun, missed, set(self._tasks)):
                self._follow(run, 0)

    async def _send(self, seq: int | None, frame: Frame) -> None:
        name, data = frame
        await self.send(json.dumps({"id": seq, "event": name, "data": data}, ensure_ascii=False))


def authenticate(scope: dict[str, Any]) -> Actor:
    """Who opens the socket: by `bearer.<token>` or `ticket.<ticket>` among the subprotocols, or by Authorization."""
    for offer in scope.get("subprotocols") or []:
        scheme, _, credential = offer.partition(".")
        if scheme == "ticket":
            return authentication.redeem_ticket(credential)
        if scheme == "bearer":
            return authentication.authenticate_token(credential, origin=_header(scope, b"origin"))
    scheme, _, credential = (_header(scope, b"authorization") or "").partition(" ")
    if scheme.lower() == "bearer" and credential:
        return authentication.authenticate_token(credential.strip(), origin=_header(scope, b"origin"))
    raise Unauthorized


def begin(actor: Actor, session_id: UUID, frame: dict[str, Any]) -> tuple[Run, Any]:
    """Start the run that answers a message frame."""
    body = MessageFrame(data=frame)
    body.is_valid(raise_exception=True)
    # Read anew: since the socket was opened the session may have been deleted.
    return inbound.begin(actor, body.validated_data, conversations.get(session_id, by=actor))


def own_run(actor: Actor, frame: dict[str, Any], session_id: UUID) -> Run:
    """The run of this session that a cancel frame names."""
    body = CancelFrame(data=frame)
    body.is_valid(raise_exception=True)
    run = runs.get(body.validated_data["run_id"], by=actor)
    if run.conversation_id != session_id:
        raise runs.UnknownRun("No such run in this session.")
    return run


def to_resume(session_id: UUID, frame: dict[str, Any]) -> tuple[Run | None, int]:
    """The run that a resume frame is about, the session's last, and the number after which it goes on."""
    body = ResumeFrame(data=frame)
    body.is_valid(raise_exception=True)
    run = Run.objects.select_related("conversation").filter(conversation=session_id).order_by("-active", "-id").first()
    after = body.validated_data["after"]
    if run is not None and after > inbound.highest_cursor(run):
        raise Invalid.field("after", "No event of this session has this number.", "bad_cursor")
    return run, after


def unfollowed(session_id: UUID, begun: set[str], missed: bool, followed: set[str]) -> list[Run]:
    """The runs that began, or after a gap in the feed the active one, without those followed already."""
    found = Run.objects.select_related("conversation").filter(conversation=session_id)
    found = found.filter(Q(pk__in=begun) | Q(active=True)) if missed else found.filter(pk__in=begun)
    return list(found.exclude(pk__in=followed)) if begun or missed else []


def _header(scope: dict[str, Any], name: bytes) -> str | None:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), None)
