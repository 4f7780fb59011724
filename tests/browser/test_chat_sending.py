"""What the chat page sends and shows when lines break between the two: nothing is lost, nothing stands there twice."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Route, expect

from tests import pictures
from tests.browser.talking import BRIEF, LONG, Talk, instead, shown, stored, until, words
from tests.browser.talking import live as live
from tests.browser.talking import member as member
from tests.browser.talking import talk as talk
from tests.chat.asking import Person

pytestmark = pytest.mark.timeout(300)
SOME = LONG.replace("400", "150")
CHAT = "**/v1/ai/chat"
SESSION = re.compile(r"/v1/ai/sessions/[-0-9a-f]{36}\?")
IN_FLIGHT = {"code": "idempotency_in_flight", "title": "Conflict", "status": 409, "detail": "It is under way."}


def begun(talk: Callable[..., Talk], *said: str) -> Talk:
    mine = talk()
    for text in said or ("Begin",):
        mine.say(text)
        mine.idle()
    return mine


def asked(member: Person, mine: Talk) -> list[str]:
    return [one["content"] for one in stored(member, mine.session_id) if one["role"] == "user"]


def post(member: Person, route: Route) -> None:
    """Bring a page's message to the server under its key, and leave before the answer."""
    request = route.request
    headers = {"Idempotency-Key": request.headers["idempotency-key"], "Content-Type": "application/json"}
    with member.http.stream("POST", "/v1/ai/chat", content=request.post_data, headers=headers) as answer:
        assert answer.status_code == 200


def lost(member: Person, tries: list[Route], then: Callable[[Route], None]) -> Callable[[Route], None]:
    """Meets a page's message: at the first try it is taken, and its page is not told; then as `then` does."""

    def meet(route: Route) -> None:
        tries.append(route)
        if len(tries) == 1:
            post(member, route)
            route.abort()
        else:
            then(route)

    return meet


def together(mine: Talk, member: Person) -> None:
    """The page has what the server has, in its order and once."""
    kept = stored(member, mine.session_id)
    expect(mine.page.locator(".turn")).to_have_count(len(kept))
    assert mine.page.locator(".turn").evaluate_all("(all) => all.map((one) => one.id)") == [
        f"m-{one['id']}" for one in kept
    ]


@pytest.mark.parametrize("first", [False, True])
def test_a_message_that_was_taken_though_its_line_broke_is_said_and_answered_once(
    first: bool, talk: Callable[..., Talk], member: Person
) -> None:
    mine = talk() if first else begun(talk)
    tries: list[Route] = []
    words_heard: list[str] = []
    mine.page.on("websocket", lambda one: one.on("framereceived", lambda frame: words_heard.append(str(frame))))
    if not first:
        mine.page.reload()
        until(mine.page, lambda: words_heard)

    # The second try is held back until the page has heard of the run otherwise.
    mine.page.route(CHAT, lost(member, tries, lambda route: None))
    mine.say(SOME)
    until(mine.page, lambda: len(tries) == 2)
    if not first:
        until(mine.page, lambda: any("changed" in one for one in words_heard))
        mine.page.wait_for_timeout(500)  # for what it must not do: show the run that it does not know to be its own
    expect(mine.page.locator(".turn.mine.sending")).to_have_count(1)
    assert tries[0].request.headers["idempotency-key"] == tries[1].request.headers["idempotency-key"]
    tries[1].continue_()
    expect(mine.page.locator(".turn").last).to_contain_text("word20")
    expect(mine.page.locator(".turn")).to_have_count(2 if first else 4)
    mine.idle()
    assert asked(member, mine)[-1:] == [SOME]
    assert len(asked(member, mine)) == (1 if first else 2)
    together(mine, member)
    assert shown(mine.page) == words(stored(member, mine.session_id)[-1]["content"])


def test_a_message_that_was_shown_before_its_page_knew_it_was_taken_is_not_doubled_by_sending_it_again(
    talk: Callable[..., Talk], member: Person
) -> None:
    mine = begun(talk)
    with instead(mine.page, CHAT, lost(member, [], lambda route: route.abort())):
        mine.say("Twice?")
        again = mine.page.get_by_role("button", name="Send again")
        expect(again).to_be_visible()
        expect(mine.page.locator("[data-state]")).to_have_text("")
        expect(mine.page.locator(".turn.mine")).to_have_text([re.compile("YouBegin"), re.compile("YouTwice")])
        mine.idle()
    again.click()
    expect(mine.page.get_by_label("Your message")).to_have_value("")
    mine.idle()
    assert asked(member, mine) == ["Begin", "Twice?"]
    together(mine, member)


def test_a_message_whose_first_request_is_still_at_work_is_sent_again_under_its_key(
    talk: Callable[..., Talk], member: Person
) -> None:
    mine = begun(talk)
    keys: list[str] = []

    def busy(route: Route) -> None:
        keys.append(route.request.headers["idempotency-key"])
        if len(keys) == 1:
            headers = {"Content-Type": "application/problem+json", "Retry-After": "1"}
            route.fulfill(status=409, headers=headers, body=json.dumps(IN_FLIGHT))
        else:
            route.continue_()

    mine.page.route(CHAT, busy)
    mine.say("Patience")
    expect(mine.page.locator(".turn")).to_have_count(4)
    mine.idle()
    assert len(keys) == 2
    assert len(set(keys)) == 1
    expect(mine.page.locator("[data-notices] .notice")).to_have_count(0)


@pytest.mark.parametrize("how", [{"status": 429, "headers": {"Retry-After": "1"}}, None])
def test_an_answer_whose_end_the_server_could_not_tell_is_looked_at_again(
    how: dict[str, Any] | None, talk: Callable[..., Talk], member: Person
) -> None:
    mine = begun(talk)
    with instead(mine.page, SESSION, lambda route: route.fulfill(**how) if how else route.abort()) as met:
        mine.say("One")
        until(mine.page, lambda: met)
        expect(mine.page.locator(".turn")).to_have_count(4)
        expect(mine.page.locator("[data-stop]")).to_be_hidden()
    mine.idle()
    together(mine, member)
    expect(mine.page.locator("[data-notices] .notice")).to_have_count(0)


@pytest.mark.parametrize("held", ["the answer's end", "a look from elsewhere"])
def test_what_the_server_was_asked_before_a_message_is_not_shown_after_it(
    held: str, talk: Callable[..., Talk], member: Person
) -> None:
    """The page's question is held back until the next message was sent: its answer is of another time."""
    mine = begun(talk)
    waiting: list[Route] = []
    late = False
    mine.page.route(SESSION, lambda route: route.continue_() if late else waiting.append(route))
    if held == "the answer's end":
        mine.say("One")
    else:
        member.http.post("/v1/ai/chat", json={"message": "One", "session_id": mine.session_id})
    until(mine.page, lambda: waiting)
    expect(mine.page.locator("[data-stop]")).to_be_hidden()
    told = waiting[0].fetch()
    mine.say(SOME)
    expect(mine.page.locator(".turn").last).to_contain_text("word5")
    late = True
    waiting[0].fulfill(response=told)
    for route in waiting[1:]:
        route.continue_()
    expect(mine.page.locator(".turn").last).to_contain_text("word100")
    assert mine.page.locator(".turn").last.inner_text().count("word100 ") == 1
    mine.idle()
    assert asked(member, mine) == ["Begin", "One", SOME]
    together(mine, member)


def test_what_is_focused_opened_and_loaded_stays_while_others_speak(talk: Callable[..., Talk], member: Person) -> None:
    mine = begun(talk, "Think [[rehearse: reason]]")
    for number in range(20):
        member.http.post("/v1/ai/chat", json={"message": f"Number {number} {BRIEF}", "session_id": mine.session_id})
    mine.page.reload()
    turns = mine.page.locator(".turn")
    expect(turns).to_have_count(40)
    # Two clicks, one page: it is asked for once, and stands there once.
    mine.page.locator(".older").evaluate("(button) => { button.click(); button.click(); }")
    expect(turns).to_have_count(42)
    expect(mine.page.locator(".older")).to_have_count(0)
    mine.page.locator(".thought summary").click()
    copy = turns.last.get_by_role("button", name="Copy")
    copy.focus()
    member.http.post("/v1/ai/chat", json={"message": "From elsewhere", "session_id": mine.session_id})
    expect(turns).to_have_count(44)
    mine.idle()
    expect(turns.nth(41).get_by_role("button", name="Copy")).to_be_focused()
    mine.say("From here")
    mine.idle()
    expect(turns).to_have_count(46)
    expect(mine.page.locator(".thought")).to_have_attribute("open", "")
    assert turns.evaluate_all("(all) => new Set(all.map((one) => one.id)).size") == 46


def test_two_clicks_ask_for_one_answer(talk: Callable[..., Talk], member: Person) -> None:
    mine = begun(talk)
    sent: list[str] = []
    mine.page.on("request", lambda request: sent.append(request.url) if request.url.endswith("/v1/ai/chat") else None)
    mine.page.get_by_role("button", name="Answer again").evaluate("(button) => { button.click(); button.click(); }")
    until(mine.page, lambda: sent)
    mine.idle()
    expect(mine.page.get_by_role("button", name="Answer again")).to_be_visible()
    assert len(sent) == 1
    expect(mine.page.locator("[data-notices] .notice.error")).to_have_count(0)
    assert asked(member, mine) == ["Begin"]


def test_editing_costs_no_draft_and_images_stay_with_what_is_sent(
    talk: Callable[..., Talk], member: Person, tmp_path: Path
) -> None:
    image = tmp_path / "a.png"
    image.write_bytes(pictures.saved(pictures.picture(40, 30)))
    mine = talk()
    files, box = mine.page.locator("[data-files]"), mine.page.get_by_label("Your message")
    sent, attached = mine.page.locator(".turn.mine img"), mine.page.locator("[data-pictures] img")
    files.set_input_files(image)
    mine.say("What is this?")
    mine.idle()
    expect(sent).to_have_attribute("src", re.compile("^/v1/ai/|^http"))
    before = stored(member, mine.session_id)[-1]["id"]
    mine.page.get_by_role("button", name="Answer again").click()
    expect(mine.page.locator(f"#m-{before}")).to_have_count(0)
    mine.idle()
    expect(sent).to_have_count(1)
    expect(sent).to_have_attribute("src", re.compile("^/v1/ai/|^http"))
    box.fill("Half a mess")
    files.set_input_files(image)
    mine.page.get_by_role("button", name="Edit", exact=True).click()
    expect(box).to_have_value("What is this?")
    expect(attached).to_have_count(1)
    box.fill("What was that?")
    mine.page.get_by_role("button", name="Send instead").click()
    expect(box).to_have_value("Half a mess")
    expect(attached).to_have_count(1)
    mine.idle()
    assert asked(member, mine) == ["What was that?"]
    mine.page.reload()
    expect(box).to_have_value("Half a mess")
