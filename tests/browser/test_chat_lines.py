"""The chat page's lines when nothing moves on them, and its keys: what stops an answer, where the focus goes."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from tests.browser.talking import BRIEF, LONG, RESTART, Talk, stored, until
from tests.browser.talking import live as live
from tests.browser.talking import manager as manager
from tests.browser.talking import member as member
from tests.browser.talking import talk as talk
from tests.chat.asking import Person

pytestmark = pytest.mark.timeout(300)

STREAM = """const address = document.querySelector("link[href*='chat/stream']").href;
    const { follow } = await import(address);
    const { setTimeout: later, fetch: ask } = window, waits = [], asked = [];
    const frames = (...all) => new Response(all.map(([event, data, id]) =>
        `${id === undefined ? "" : `id: ${id}\\n`}event: ${event}\\ndata: ${JSON.stringify(data)}\\n\\n`).join(""));
    window.setTimeout = (work, wait) => { waits.push(wait); return later(work, 0); };
    const abort = new AbortController();
    const done = () => { window.setTimeout = later; window.fetch = ask; };"""
AGAIN_AND_AGAIN = """async (ending) => {
    STREAM
    const waiting = ["done", {run_id: "r", status: "awaiting_tools"}, 3];
    const last = ending === "fault" ? ["error", {code: "internal_error"}] : waiting;
    const states = new Set();
    window.fetch = async () => {
        asked.push(1);
        if (asked.length === 12) abort.abort();
        const fresh = asked.length === 1;
        return frames(["session", {run_id: "r"}, fresh ? 0 : 3], ...(fresh ? [["delta", {text: "a"}, 3]] : []), last);
    };
    try {
        const onState = (how) => states.add(how);
        for await (const _ of follow({ runId: "r", signal: abort.signal, onState }));
    } catch (error) {
        return { waits, name: error.name, states: [...states] };
    } finally {
        done();
    }
}""".replace("STREAM", STREAM)
OF_THE_PAGE = """async () => {
    STREAM
    window.fetch = async () => {
        asked.push(1);
        return frames(["session", {run_id: "r"}, 0], ["delta", {text: "a"}, 1]);
    };
    try {
        for await (const { event } of follow({ runId: "r", signal: abort.signal })) {
            if (event === "delta") throw new Error("mine");
        }
    } catch (error) {
        return [error.message, asked.length];
    } finally {
        done();
    }
}""".replace("STREAM", STREAM)


@pytest.mark.parametrize("ending", ["fault", "awaiting"])
def test_a_stream_that_only_begins_again_is_asked_for_less_and_less_often(
    ending: str, talk: Callable[..., Talk]
) -> None:
    told = talk().page.evaluate(AGAIN_AND_AGAIN, ending)
    assert told["name"] == "AbortError"
    assert told["waits"][0] < 500
    assert all(wait >= 7_000 for wait in told["waits"][6:11])
    assert ("lost" in told["states"]) == (ending == "fault"), "who waits for a client has lost nothing"


def test_what_the_page_itself_does_wrong_is_no_broken_line(talk: Callable[..., Talk]) -> None:
    assert talk().page.evaluate(OF_THE_PAGE) == ["mine", 1]


def test_a_socket_that_died_without_a_word_is_opened_anew(talk: Callable[..., Talk]) -> None:
    mine = talk()
    mine.say("Begin")
    mine.idle()
    opened: list[WebSocketRoute] = []
    mine.page.route_web_socket(re.compile("/changes$"), lambda socket: opened.append(socket))  # it never speaks
    mine.page.clock.install()
    mine.page.reload()
    expect(mine.page.locator("html[data-ready]")).to_be_attached()
    until(mine.page, lambda: opened)
    mine.page.clock.fast_forward(30_000)
    assert len(opened) == 1
    mine.page.clock.fast_forward(30_000)
    until(mine.page, lambda: len(opened) > 1)


def test_escape_stops_an_answer_only_where_it_means_that(talk: Callable[..., Talk], member: Person) -> None:
    mine = talk()
    mine.say(LONG.replace("20]]", "40]]"))
    expect(mine.page.locator(".turn").last).to_contain_text("word5")
    search, box = mine.page.get_by_label("Search conversations by title"), mine.page.get_by_label("Your message")
    menu = mine.page.locator("details.menu").last
    menu.locator("summary").click()
    mine.page.keyboard.press("Escape")
    expect(menu).not_to_have_attribute("open", "")
    search.press("Escape")
    box.dispatch_event("keydown", {"key": "Escape", "isComposing": True})
    expect(mine.page.locator(".turn").last).to_contain_text("word60")
    expect(mine.page.locator("[data-state]")).to_have_text("Answering…")
    box.press("Escape")
    expect(mine.page.get_by_text("Stopped; what was said is kept.")).to_be_visible()
    mine.idle()
    assert stored(member, mine.session_id)[-1]["metadata"]["incomplete"] == "cancelled"


def focused(page: Page) -> str:
    return str(page.evaluate("document.activeElement.outerHTML"))


def test_the_focus_of_the_keyboard_is_not_thrown_away(talk: Callable[..., Talk], member: Person) -> None:
    mine = talk()
    mine.say("Focus here")
    mine.idle()
    page, list_ = mine.page, "**/v1/ai/sessions?*"
    row = page.locator(".sessions li").first
    row.get_by_role("link").focus()
    member.http.post("/v1/ai/chat", json={"message": "Another one"})  # it comes to the top
    with page.expect_response(list_):
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator(".sessions li").first).to_contain_text("Another one")
    expect(page.locator(".sessions li", has_text="Focus here").first.get_by_role("link")).to_be_focused()
    member.http.patch(f"/v1/ai/sessions/{mine.session_id}", json={"title": "Focus there"})
    with page.expect_response(list_):
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator(".sessions li", has_text="Focus there").get_by_role("link")).to_be_focused()
    page.get_by_label("More for Focus there").press("Enter")
    page.get_by_role("button", name="Archive").press("Enter")
    expect(page.locator(".sessions li", has_text="Focus there")).to_have_count(0)
    assert 'href="/c/' in focused(page) or "<summary" in focused(page)
    mine.say(LONG)
    expect(page.locator(".turn").last).to_contain_text("word5")
    page.locator("[data-stop]").press("Enter")
    expect(page.locator("[data-stop]")).to_be_hidden()
    expect(page.get_by_label("Your message")).to_be_focused()


def test_a_request_that_left_the_page_ticks_no_more_and_older_ones_tell_what_became_of_them(
    talk: Callable[..., Talk], member: Person, manager: Person
) -> None:
    mine = talk()
    page = mine.page
    page.locator("[data-companion]").select_option("devops")
    page.clock.install()
    mine.say(RESTART)
    left = page.locator(".call-card .left")
    expect(left).to_contain_text("left")
    held = left.element_handle()
    before = held.text_content()
    page.clock.fast_forward(180_000)
    expect(left).not_to_have_text(before or "")
    held.evaluate("(one) => one.closest('.turn').remove()")
    before = held.text_content()
    page.clock.fast_forward(180_000)
    assert held.text_content() == before
    page.clock.resume()
    found = member.http.get("/v1/ai/approvals", params={"session_id": mine.session_id}).json()["approvals"]
    manager.decide(found[0]["id"], decision="approve", digest=manager.approval(found[0]["id"])["digest"])
    for number in range(21):
        said = {"message": f"Number {number} {BRIEF}", "session_id": mine.session_id, "on_conflict": "queue"}
        assert member.http.post("/v1/ai/chat", json=said).status_code == 200
    with page.expect_response(re.compile("/v1/ai/approvals.*session_id=" + mine.session_id)):
        page.goto(page.url)
        page.get_by_role("button", name="Show what was said before").click()
    expect(page.locator(".call-card")).to_contain_text(re.compile("Approved by .*web: restarted"))
