"""A real Chromium, and the shipped ASGI application served to it from this process or from a stack of its own."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from django.conf import settings
from django.db import connections
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, expect, sync_playwright

from accounts.models import Actor, User
from approvals import kinds
from core import bridge
from tests.approvals.desk import KIND, Desk
from tests.browser.axe import axe as axe
from tests.servers.stack import eventually

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run",
]  # fmt: skip
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 375, "height": 800}
PHONE = {"width": 390, "height": 844}
PATIENCE_MS = 20_000

collect_ignore = [] if Path(CHROMIUM).exists() else [
    "test_chat.py", "test_chat_approvals.py", "test_chat_breaks.py", "test_chat_lines.py", "test_chat_sending.py",
    "test_chat_texts.py", "test_console.py", "test_demo.py", "test_docs.py", "test_inbox.py", "test_inbox_run.py",
    "test_live.py", "test_memory.py", "test_signin.py", "test_trying.py"
]  # fmt: skip


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    """The driver of browsers: its event loop sleeps in this thread while a test works, and Django takes fright."""
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as driver:
        expect.set_options(timeout=PATIENCE_MS)
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        yield driver


@pytest.fixture(scope="module")
def chromium(playwright: Playwright) -> Iterator[Browser]:
    """One Chromium for the tests of a file; each has contexts of its own."""
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
    yield browser
    browser.close()


def _leave_the_database() -> None:
    """Close the connections that the application's threads keep, for the database is about to be dropped."""
    together = threading.Barrier(settings.WEB_THREADS)

    def leave(_: int) -> None:
        together.wait(20)  # so that each thread has one of these
        connections.close_all()

    list(bridge.pool().map(leave, range(settings.WEB_THREADS)))


@pytest.fixture(scope="session")
def _served(django_db_setup: None) -> Iterator[str]:
    """The address of the application in this process, WebSockets and static files included."""
    settings.WHITENOISE_USE_FINDERS = settings.WHITENOISE_AUTOREFRESH = True
    from config.asgi import application  # noqa: PLC0415  its middleware is made when it is loaded, as settings say

    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(application, lifespan="off", ws="websockets-sansio", log_level="error", loop="asyncio")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        eventually(lambda: server.started, "the application listens")
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join(20)
        _leave_the_database()


@pytest.fixture
def served(_served: str, transactional_db: None) -> str:
    """The address; what tests store is seen by the application."""
    return _served


@pytest.fixture
def desk() -> Desk:
    """A kind of approvals that needs no tables; each test has its own."""
    made = Desk()
    kinds.register(KIND, made)
    return made


@pytest.fixture
def open_page(chromium: Browser) -> Iterator[Callable[..., Page]]:
    """Makes pages of new, empty browsers; what breaks in one fails the test."""
    contexts: list[BrowserContext] = []
    broken: list[str] = []

    def make(*, cookies: list[Any] = (), dark: bool = False, size: Any = WIDE) -> Page:  # type: ignore[assignment]
        scheme = "dark" if dark else "light"
        context = chromium.new_context(viewport=size, color_scheme=scheme, reduced_motion="reduce")
        context.set_default_timeout(PATIENCE_MS)
        context.add_cookies(list(cookies))
        page = context.new_page()
        page.on("pageerror", lambda error: broken.append(str(error)))
        page.on("console", lambda said: broken.append(said.text) if "Content Security Policy" in said.text else None)
        contexts.append(context)
        return page

    yield make
    for context in contexts:
        context.close()
    assert not broken


@pytest.fixture
def signed_in(served: str, open_page: Callable[..., Page]) -> Callable[..., Page]:
    """Makes the page of a person who has signed in to the admin."""

    def make(actor: Actor, **options: Any) -> Page:
        User.objects.filter(pk=actor.user.pk).update(is_staff=True)
        client = Client()
        client.force_login(actor.user)
        value = client.cookies[settings.SESSION_COOKIE_NAME].value
        cookie = {"name": settings.SESSION_COOKIE_NAME, "value": value, "url": served}
        return open_page(cookies=[cookie], **options)

    return make
