"""A session over a WebSocket: the same events as SSE, as JSON frames; messages, cancels and resumes come in.

The consumer watches the whole conversation, so every run that begins is seen, whoever started it and through whichever
door, and one that waits for people is followed again when it goes on, however long they took.
It asks the database through `core.bridge` only and holds no connection of its own.
"""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any
from uuid import UUID

from channels.generic.websocket import AsyncWebsocketConsumer
from channels.security.websocket import OriginValidator, WebsocketDenier
from django.conf import settings
from django.db import Error as DbError
from django.db.models import Q

from accounts import authentication, limits, permissions
from accounts.authentication import Ticket
from accounts.models import Actor
from agents.events import (
    RESETS,
    TERMINAL,
    ApprovalDecided,
    ApprovalRequested,
    Event,
    RunRestarted,
    RunStarted,
    RunWaiting,
    Status,
)
from chat import eventlog
from chat.dialects.native import client_tools, inbound
from chat.dialects.native.client_tools import ResultsFrame
from chat.dialects.native.encoder import Frame
from chat.dialects.native.serializers import CancelFrame, MessageFrame, ResumeFrame
from chat.eventlog import Watch, feed
from chat.following import follow
from chat.models import Run
from chat.services import continuing, conversations, runs, saying
from core import bridge, jsonbody, ledger, problems
from core.errors import DomainError, Forbidden, Invalid, RateLimited, Unauthorized

log = logging.getLogger(__name__)

UNAUTHORIZED, FORBIDDEN, NOT_FOUND, TOO_BIG, NOT_HERE = 4401, 4403, 4404, 1009, 1008
AGAIN_SECONDS = 0.5
RECHECK_SECONDS = 60.0
PROTOCOL = "countersign"
FRAME_LIMIT = settings.BODY_LIMIT_IMAGES
BEGINNINGS = (RunStarted, RunRestarted)


class Left(Exception):
    """The client has left; there is nobody to tell anything."""


class SameOrigin(OriginValidator):  # type: ignore[misc]  # Channels is not typed
    """Refuses a page of another origin; a program sends no Origin, and no cookie is read that it could abuse."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
        """Judge the handshake; an Origin that is none is a foreign one."""
        try:
            return await super().__call__(scope, receive, send)
        except ValueError:
            return await WebsocketDenier()(scope, receive, send)

    def valid_origin(self, parsed_origin: Any) -> bool:
        """Whether the handshake may go on."""
        return parsed_origin is None or super().valid_origin(parsed_origin)


class Nowhere(AsyncWebsocketConsumer):  # type: ignore[misc]
    """Every other path."""

    async def connect(self) -> None:
        """Say that there is nothing."""
        await self.accept()
        await self.close(NOT_FOUND)


class SessionConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]
    """/ws/ai/sessions/{id}."""

    async def connect(self) -> None:
        """Let in whoever brings a key or a ticket of the session's owner; else close with a code that says why."""
        ledger.arrive(ip=(self.scope.get("client") or ("",))[0] or "")
        self._followers: dict[str, asyncio.Task[None]] = {}
        self._waits: dict[str, int] = {}  # runs whose follower ended because they wait, with the last number sent
        self._looking: asyncio.Task[None] | None = None
        self._rechecking: asyncio.Task[None] | None = None
        self._beginning = asyncio.Lock()  # a run that begins here is not to be found by `_look_for_runs` as well
        offered = self.scope.get("subprotocols") or []
        protocol = PROTOCOL if PROTOCOL in offered else None
        try:
            self.who_is_it = await bridge.in_thread(credential, self.scope)
            actor = await bridge.in_thread(self.who_is_it)
            session_id = UUID(self.scope["url_route"]["kwargs"]["session_id"])
            self.session = await bridge.in_thread(conversations.get, session_id, by=actor)
        except (DomainError, ValueError) as error:
            # Accepted first: a page is told the code of a close, but nothing of a handshake that was refused.
            await self.accept(protocol)
            await self.close(code_of(error))
            return
        feed.start()
        self._watch = feed.watch(str(self.session.pk))
        self._watch.missed = False
        self._looking = asyncio.create_task(self._look_for_runs())
        self._rechecking = asyncio.create_task(self._recheck())
        await self.accept(protocol)  # only now: who is let in misses no run that begins

    async def disconnect(self, code: int) -> None:
        """Leave nothing behind."""
        if self._looking is None or self._rechecking is None:
            return
        tasks = [self._looking, self._rechecking, *self._followers.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        feed.unwatch(str(self.session.pk), self._watch)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """A message, a cancel or a resume; anything else is answered with an error frame."""
        if self._looking is None:
            return
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
        except (Unauthorized, Forbidden) as error:
            await self.close(code_of(error))
        except Exception as error:  # noqa: BLE001  a frame's outermost loop: the socket answers, whatever it was
            await self._refuse(error)

    async def _heed(self, frame: dict[str, Any]) -> None:
        actor = await bridge.in_thread(self._let_pass)
        kind = frame.pop("type", None)
        if kind == "message":
            async with self._beginning:
                run, watch = await bridge.in_thread(begin, actor, self.session.pk, frame)
                self._follow(run, 0, watch)
        elif kind == "cancel":
            run = await bridge.in_thread(own_run, actor, frame, self.session.pk)
            await bridge.in_thread(runs.cancel, run, by=actor)
        elif kind == "tool_results":
            run = await bridge.in_thread(bring, actor, frame, self.session.pk)
            if str(run.pk) not in self._followers:
                self._follow(run, self._waits.get(str(run.pk), run.seq))
        elif kind == "resume":
            found, after = await bridge.in_thread(to_resume, self.session.pk, frame)
            if found is not None:
                self._follow(found, after)
        else:
            raise Invalid.field("type", "This must be message, cancel, tool_results or resume.")

    def _let_pass(self) -> Actor:
        """Who sends a frame: a credential that has ended ends the socket, and frames count as requests do."""
        actor: Actor = self.who_is_it()
        verdict = limits.hit("chat", limit=settings.LIMITS["chat"], who=limits.name_of(actor), fail_closed=False)
        if not verdict.allowed:
            raise RateLimited(f"Try again in {verdict.reset} seconds.")
        return actor

    def _follow(self, run: Run, after: int, watch: Watch | None = None) -> None:
        """Send the run's events from here on; one follower a run, the last one asked for."""
        run_id = str(run.pk)
        self._waits.pop(run_id, None)
        before = self._followers.pop(run_id, None)
        if before is not None:
            before.cancel()
        task = asyncio.create_task(self._send_run(run, after, watch))
        self._followers[run_id] = task

        def forget(_: object) -> None:
            if self._followers.get(run_id) is task:
                del self._followers[run_id]
            if watch is not None:
                feed.unwatch(run_id, watch)  # also where the task was cancelled before its first step

        task.add_done_callback(forget)

    async def _send_run(self, run: Run, after: int, watch: Watch | None) -> None:
        encode = inbound.encoder(run)
        try:
            await self._send(after, encode.session())
            batches = follow(
                str(run.pk), after=after, watch=watch, wait=saying.STREAM_WAIT, wait_for_client=saying.STREAM_WAIT
            )
            async with contextlib.aclosing(batches):
                async for batch in batches:
                    for seq, event in batch:
                        if isinstance(event, RunWaiting):
                            self._waits[str(run.pk)] = seq  # before it is sent: what comes meanwhile is not missed
                        frames = encode.frames(event)
                        for frame in frames:
                            await self._send(seq if frame is frames[-1] else None, frame)
        except Left:
            return
        except Exception as error:  # noqa: BLE001  the outermost loop of what is sent
            await self._refuse(error)

    async def _look_for_runs(self) -> None:
        """Follow runs of this conversation that begin through other doors, and those that waited and are heard of."""
        missed, begun = False, set[str]()
        while True:
            await self._watch.wait(settings.KEEP_ALIVE_SECONDS)
            missed, self._watch.missed = missed or self._watch.missed, False
            news = self._watch.take()
            begun |= {one.run_id for one in news if isinstance(one.events[0], BEGINNINGS) or one.run_id in self._waits}
            if not (begun or missed):
                continue
            async with self._beginning:
                try:
                    followed = {*self._followers} - {*self._waits}
                    found = await bridge.in_thread(unfollowed, self.session.pk, begun, missed, followed)
                except DbError as error:
                    log.warning("a socket cannot look for runs; it tries again", extra={"error": str(error)})
                    await asyncio.sleep(AGAIN_SECONDS)
                    self._watch.missed = True
                    continue
                for run in found:
                    self._follow(run, self._waits.get(str(run.pk), 0))
            missed, begun = False, set()

    async def _recheck(self) -> None:
        """Close once the credential has ended: who only listens sends no frame with which that would be seen."""
        with contextlib.suppress(OSError, RuntimeError):  # what servers raise for a client that has left
            while True:
                await asyncio.sleep(RECHECK_SECONDS)
                try:
                    await bridge.in_thread(self.who_is_it)
                except (Unauthorized, Forbidden) as error:
                    await self.close(code_of(error))
                    return
                except (DomainError, DbError) as error:
                    log.warning("a socket's credential cannot be looked at; it is later", extra={"error": str(error)})

    async def _refuse(self, error: Exception) -> None:
        told = problems.of(error)
        if told is None:
            log.error("a socket broke", exc_info=error)
            told = problems.fault()
        errors = [asdict(one) for one in told.errors]
        body = {"code": told.code, "message": told.detail, "retryable": told.status >= 500, "errors": errors}
        with contextlib.suppress(Left):
            await self._send(None, ("error", {**body, **told.extra}))

    async def _send(self, seq: int | None, frame: Frame) -> None:
        name, data = frame
        await self._tell({"id": seq, "event": name, "data": data})

    async def _tell(self, told: dict[str, Any]) -> None:
        try:
            await self.send(json.dumps(told, ensure_ascii=False))
        except (OSError, RuntimeError) as error:  # what servers raise for a client that has left
            raise Left from error


class ChangesConsumer(SessionConsumer):
    """/ws/ai/sessions/{id}/changes: tells an open page when to look at the session again, and nothing of what it holds.

    A page reads answers over HTTP, of which a browser keeps few connections open; of sockets it keeps many.
    """

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Nothing is heard here: who speaks took another address for this one."""
        await self.close(NOT_HERE)

    async def _look_for_runs(self) -> None:
        """Tell of each run that begins, waits, goes on or ends; of a gap in the feed, in which any of that may be.

        Now and then a word says that the line is sound: a browser is not told of one that died.
        """
        alive = time.monotonic()
        with contextlib.suppress(Left):
            while True:
                await self._watch.wait(max(0.0, alive + settings.KEEP_ALIVE_SECONDS - time.monotonic()))
                missed, self._watch.missed = self._watch.missed, False
                news = self._watch.take()
                told = dict.fromkeys(one.run_id for one in news if any(map(is_change, one.events)))
                for run_id in [None] if missed else told:
                    await self._send(None, ("changed", {"run_id": run_id}))
                if time.monotonic() - alive >= settings.KEEP_ALIVE_SECONDS:
                    alive = time.monotonic()
                    await self._tell({"type": "alive"})


def is_change(event: Event) -> bool:
    """Whether after this event a session reads otherwise than before, beside the text of an answer under way."""
    if isinstance(event, Status):
        return event.code == eventlog.CHANGED
    return isinstance(event, (*RESETS, *TERMINAL, RunWaiting, ApprovalRequested, ApprovalDecided))


def credential(scope: dict[str, Any]) -> Callable[[], Actor]:
    """What tells at any time who holds the socket: from `bearer.<token>`, `ticket.<ticket>` or Authorization."""
    origin = _header(scope, b"origin")
    for offer in scope.get("subprotocols") or []:
        scheme, _, text = offer.partition(".")
        if scheme == "ticket":
            return partial(still, authentication.redeem_ticket(text))
        if scheme == "bearer":
            return partial(bearer, text, origin)
    scheme, _, text = (_header(scope, b"authorization") or "").partition(" ")
    if scheme.lower() == "bearer" and text:
        return partial(bearer, text.strip(), origin)
    raise Unauthorized


def bearer(text: str, origin: str | None) -> Actor:
    """The holder of a token that holds now and goes as far as chat."""
    actor = authentication.authenticate_token(text, origin=origin)
    permissions.admit(actor, "chat")
    return actor


def still(ticket: Ticket) -> Actor:
    """Who redeemed a ticket, if they are still let in."""
    found = ticket.holder()
    permissions.admit(found, "chat")
    return found


def code_of(error: Exception) -> int:
    """The code that a socket is closed with."""
    return UNAUTHORIZED if isinstance(error, Unauthorized) else FORBIDDEN if isinstance(error, Forbidden) else NOT_FOUND


def begin(actor: Actor, session_id: UUID, frame: dict[str, Any]) -> tuple[Run, Any]:
    """Start the run that answers a message frame."""
    body = MessageFrame.read(frame)
    # Read anew: since the socket was opened the session may have been deleted.
    return saying.begin(actor, inbound.said_of(body), conversations.get(session_id, by=actor))


def own_run(actor: Actor, frame: dict[str, Any], session_id: UUID) -> Run:
    """The run of this session that a cancel frame names."""
    return in_session(actor, CancelFrame.read(frame)["run_id"], session_id)


def in_session(actor: Actor, run_id: UUID, session_id: UUID) -> Run:
    """The caller's run, where it is of this session; raises UnknownRun."""
    run = runs.get(run_id, by=actor)
    if run.conversation_id != session_id:
        raise runs.UnknownRun("No such run in this session.")
    return run


def bring(actor: Actor, frame: dict[str, Any], session_id: UUID) -> Run:
    """Store what a tool_results frame brings for a run of this session."""
    body = ResultsFrame.read(frame)
    in_session(actor, body["run_id"], session_id)
    return client_tools.bring(body["run_id"], body, actor)


def to_resume(session_id: UUID, frame: dict[str, Any]) -> tuple[Run | None, int]:
    """The run that a resume frame is about, the session's last, and the number after which it goes on."""
    body = ResumeFrame.read(frame)
    run = continuing.last(session_id)
    after = body["after"]
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
