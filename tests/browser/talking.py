"""People of the demo in browsers of their own, at a stack of real processes."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, Route, expect

from tests import signing_in
from tests.chat.asking import Person
from tests.servers.stack import Stack, running

RESTART = 'Please restart it [[rehearse: call=service_restart {"service": "web"}]]'
BRIEF = "[[rehearse: tokens=1]]"
LONG = "Tell me [[rehearse: tokens=400 interval=20]]"
HOSTILE = (
    "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    "[x](javascript:alert(1)) ![p](https://example.org/p.png) <svg onload=alert(1)>\u202e\u200b"
)

_ID = re.compile(r"m-[0-9a-f-]{36}")


@cache
def _session_key(stack: Stack, name: str) -> str:
    with httpx.Client(trust_env=False) as http:
        assert signing_in.over_http(http, stack.base_url, stack.demo["users"][name])
        return http.cookies["sessionid"]


def cookies(stack: Stack, name: str) -> list[Any]:
    """What a browser has in which this person signed in."""
    return [{"name": "sessionid", "value": _session_key(stack, name), "url": stack.base_url}]


def until(page: Page, condition: Callable[[], Any]) -> None:
    """Wait for what this process is told of a page, which works meanwhile."""
    for _ in range(400):
        if condition():
            return
        page.wait_for_timeout(50)
    raise AssertionError("not within 20 s")


@contextmanager
def instead(page: Page, url: str | re.Pattern[str], meet: Callable[[Route], Any]) -> Iterator[list[Route]]:
    """Inside, what a page asks for at `url` is met by `meet`, and is in the list; afterwards it goes through.

    The route stays: requests in flight while a page's last route is taken off are left without any answer.
    """
    met: list[Route] = []
    over = False

    def route(one: Route) -> None:
        if over:
            one.continue_()
        else:
            met.append(one)
            meet(one)

    page.route(url, route)
    yield met
    over = True


class Talk:
    """The chat page of a person."""

    def __init__(self, page: Page, base_url: str) -> None:
        self.page, self.base_url = page, base_url

    def open(self, path: str = "/") -> "Talk":
        """Load a page of chat, and wait until its modules have worked."""
        self.page.goto(self.base_url + path)
        expect(self.page.locator("html[data-ready]")).to_be_attached()
        return self

    def say(self, text: str) -> None:
        """Write a message and send it by Enter."""
        self.page.get_by_label("Your message").fill(text)
        self.page.get_by_label("Your message").press("Enter")

    def idle(self) -> None:
        """Wait until nothing is being answered any more, and the server's word of it was taken in."""
        expect(self.page.locator("[data-stop]")).to_be_hidden()
        expect(self.page.locator(".turn.mine").last).to_have_attribute("id", _ID)

    @property
    def session_id(self) -> str:
        """Of the conversation that is open."""
        return self.page.url.split("/c/")[1].split("#")[0]


@pytest.fixture(scope="module")
def live() -> Iterator[Stack]:
    with running(env={"RUN_SWEEP_SECONDS": "0.5", "KEEP_ALIVE_SECONDS": "2"}) as stack:
        yield stack


@pytest.fixture
def talk(live: Stack, open_page: Callable[..., Page]) -> Callable[..., Talk]:
    """Opens the chat page as somebody of the demo; a dialog of the browser's own fails the test."""
    dialogs: list[str] = []

    def make(name: str = "member", path: str = "/", **options: Any) -> Talk:
        page = open_page(cookies=cookies(live, name), **options)
        page.on("dialog", lambda dialog: dialogs.append(dialog.message))
        return Talk(page, live.base_url).open(path)

    yield make
    assert not dialogs


@pytest.fixture(scope="module")
def member(live: Stack) -> Iterator[Person]:
    person = Person(live, "member")
    yield person
    person.http.close()


@pytest.fixture(scope="module")
def manager(live: Stack) -> Iterator[Person]:
    person = Person(live, "manager")
    yield person
    person.http.close()


def stored(member: Person, session_id: str) -> list[dict[str, Any]]:
    """The messages of a session as the API has them."""
    return member.http.get(f"/v1/ai/sessions/{session_id}").json()["messages"]


def shown(page: Page) -> str:
    """The words of the last answer, as its page has them."""
    return words(" ".join(page.locator(".turn:not(.mine)").last.locator(".body > .prose").all_inner_texts()))


def words(text: str) -> str:
    return " ".join(text.split())
