"""A socket whose run waits for longer than a stream does: the rest of the answer comes when people have decided."""

import asyncio
import json
from typing import Any

import pytest
from channels.routing import URLRouter
from channels.testing import WebsocketCommunicator
from django.db.models.functions import Now
from django.urls import re_path

from accounts.models import Actor, ApiKey, User
from accounts.services import keys, members
from chat import consumers, following
from chat.models import Action, Conversation, Run
from chat.services import conversations, runs, saying
from core import bridge
from tests.chat.acting import approve
from tests.chat.engines import working
from tests.servers.threads import bridged

CALL = 'Go [[rehearse: call=service_restart {"service": "web"}]]'

ALIVE = {"type": "alive"}
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def session(devops, member) -> Conversation:
    return conversations.create(devops, by=member)


class Page:
    """An open page: a socket of a session, read frame by frame."""

    def __init__(self, session: Conversation, secret: str, consumer: Any = consumers.SessionConsumer) -> None:
        routes = URLRouter([re_path(r"^ws/(?P<session_id>.+)$", consumer.as_asgi())])
        headers = [(b"authorization", f"Bearer {secret}".encode())]
        self._socket = WebsocketCommunicator(routes, f"/ws/{session.pk}", headers)
        self.numbers: list[int] = []

    async def open(self) -> None:
        accepted, _ = await self._socket.connect(timeout=20)
        assert accepted

    async def say(self, **frame) -> None:
        await self._socket.send_to(text_data=json.dumps(frame))

    async def until(self, name: str) -> list[dict]:
        """The frames up to the first of this name."""
        frames: list[dict] = []
        while not frames or frames[-1]["event"] != name:
            frame = json.loads(await self._socket.receive_from(timeout=20))
            if frame == ALIVE:
                continue
            frames.append(frame)
            self.numbers += [frame["id"]] if frame["id"] and frame["event"] != "session" else []
        return frames

    async def close(self) -> None:
        await self._socket.disconnect()


@pytest.fixture
def one(monkeypatch):
    """An engine whose loop the socket shares; a stream waits for people a fraction of a second."""
    monkeypatch.setattr(saying, "STREAM_WAIT", 0.2)
    with bridged(), working(monkeypatch) as engine:
        monkeypatch.setattr(consumers, "feed", following.feed)
        yield engine
        asyncio.run_coroutine_threadsafe(following.feed.stop(), engine._loop).result(10)


@pytest.fixture
def secret(member) -> str:
    return keys.create(workspace=member.workspace, user=member.user, name="Page")[1]


def decided(run_id: str, manager: Actor) -> None:
    approve(Action.objects.get(run=run_id), manager)


def cancelled(run_id: str, member: Actor) -> None:
    runs.cancel(Run.objects.get(pk=run_id), by=member)


def test_the_rest_comes_when_somebody_decides_after_the_stream_gave_up(one, session, secret, manager):
    async def reading() -> tuple[list[dict], list[dict], list[int]]:
        page = Page(session, secret)
        await page.open()
        await page.say(type="message", message=CALL, model="rehearsal")
        one.ring()
        waits = await page.until("done")
        await bridge.in_thread(decided, waits[-1]["data"]["run_id"], manager)
        one.ring_actions()
        one.ring()
        rest = await page.until("tool_result") + await page.until("done")
        await page.close()
        return waits, rest, page.numbers

    waits, rest, numbers = asyncio.run_coroutine_threadsafe(reading(), one._loop).result(60)
    assert waits[-1]["data"]["status"] == "awaiting_approval"
    names = [frame["event"] for frame in rest]
    assert names.count("approval_decided") == names.count("tool_result") == 1
    assert rest[-1]["data"]["status"] == "completed"
    assert "restart" not in names, "what was said before is not told again"
    assert numbers == sorted(numbers)


def test_that_it_was_stopped_meanwhile_is_told_too(one, session, secret, member):
    async def reading() -> dict:
        page = Page(session, secret)
        await page.open()
        await page.say(type="message", message=CALL, model="rehearsal")
        one.ring()
        waits = await page.until("done")
        await bridge.in_thread(cancelled, waits[-1]["data"]["run_id"], member)
        ended = await page.until("done")
        await page.close()
        return ended[-1]["data"]

    told = asyncio.run_coroutine_threadsafe(reading(), one._loop).result(60)
    assert told["status"] == "cancelled"


def test_a_page_is_told_when_to_look_again_and_nothing_of_what_was_said(one, session, secret, member):
    def begin() -> str:
        run, watch = saying.begin(member, saying.Said(text="A secret", model="rehearsal"), session)
        following.feed.unwatch(str(run.pk), watch)
        return str(run.pk)

    async def hearing() -> tuple[str, list[dict]]:
        page = Page(session, secret, consumers.ChangesConsumer)
        await page.open()
        [reached] = await page.until("changed")  # the feed was reached: what was before that is not known
        assert reached["data"]["run_id"] is None
        run_id = await bridge.in_thread(begin)
        one.ring()
        frames = await page.until("changed")
        await bridge.in_thread(lambda: conversations.change(session, title="Another"))
        while frames[-1]["data"]["run_id"] == run_id:
            frames += await page.until("changed")
        await page.close()
        return run_id, frames

    run_id, frames = asyncio.run_coroutine_threadsafe(hearing(), one._loop).result(60)
    assert {frame["event"] for frame in frames} == {"changed"}
    assert {frame["data"]["run_id"] for frame in frames[:-1]} == {run_id}
    assert "secret" not in json.dumps(frames)


def test_a_page_that_is_only_told_may_not_speak(one, session, secret):
    async def speaking() -> dict:
        page = Page(session, secret, consumers.ChangesConsumer)
        await page.open()
        await page.say(type="message", message="Hello")
        said = await page._socket.receive_output(timeout=20)
        while said["type"] != "websocket.close":
            said = await page._socket.receive_output(timeout=20)
        await page.close()
        return said

    said = asyncio.run_coroutine_threadsafe(speaking(), one._loop).result(60)
    assert (said["type"], said["code"]) == ("websocket.close", 1008)
    assert not Run.objects.exists()


def test_a_page_hears_now_and_then_that_its_line_is_sound(one, session, secret, settings):
    settings.KEEP_ALIVE_SECONDS = 0.1

    async def hearing() -> list[dict]:
        page = Page(session, secret, consumers.ChangesConsumer)
        await page.open()
        heard: list[dict] = []
        while heard.count(ALIVE) < 2:
            heard.append(json.loads(await page._socket.receive_from(timeout=20)))
        await page.close()
        return heard

    heard = asyncio.run_coroutine_threadsafe(hearing(), one._loop).result(60)
    assert {frame.get("event") for frame in heard} <= {None, "changed"}


@pytest.mark.parametrize("consumer", [consumers.SessionConsumer, consumers.ChangesConsumer])
@pytest.mark.parametrize("how", ["removed", "deactivated", "key revoked"])
def test_who_is_let_in_no_more_hears_no_more(one, session, secret, member, consumer, how, monkeypatch):
    monkeypatch.setattr(consumers, "RECHECK_SECONDS", 0.1)

    def end() -> None:
        if how == "removed":
            members.remove(member.membership)
        elif how == "deactivated":
            User.objects.filter(pk=member.user.pk).update(is_active=False)
        else:
            ApiKey.objects.update(revoked_at=Now())

    async def hearing() -> int:
        page = Page(session, secret, consumer)
        await page.open()
        await bridge.in_thread(end)
        said = await page._socket.receive_output(timeout=20)
        while said["type"] != "websocket.close":
            said = await page._socket.receive_output(timeout=20)
        await page.close()
        return said["code"]

    assert asyncio.run_coroutine_threadsafe(hearing(), one._loop).result(60) == 4401
