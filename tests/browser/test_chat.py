"""The chat page in a real Chromium, at a stack of real processes."""

import os
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Page, expect

from config.bootstrap import BASE_DIR
from tests import pictures
from tests.browser.conftest import PHONE, WIDE
from tests.browser.talking import LONG, RESTART, Talk, cookies, shown, stored, words
from tests.browser.talking import live as live
from tests.browser.talking import member as member
from tests.browser.talking import talk as talk
from tests.chat.asking import Person
from tests.servers.stack import Stack, eventually

pytestmark = pytest.mark.timeout(300)
IMAGES = BASE_DIR / "docs" / "images"
FILE = pictures.saved(pictures.picture(40, 30))


# When it was said, as the page has it: for programs, for its reader, and as the log has it.
TIMES = """(which) => [...document.querySelectorAll(which)].map((one) =>
    ({ at: one.dateTime.slice(0, 19), text: one.textContent, title: one.title }))"""


def test_a_newcomer_is_shown_what_to_try_and_has_a_first_chat(talk: Callable[..., Talk], member: Person) -> None:
    mine = talk()
    page = mine.page
    expect(page.get_by_role("heading", name="Things to try")).to_be_visible()
    for text, name, companion in (
        ("List the devices at home.", "Hestia", "smart-home"),
        ("Please restart the web service.", "Argus", "devops"),
    ):
        page.get_by_role("button", name=f"{text} with {name}").click()
        expect(page.get_by_label("Your message")).to_have_value(text)
        expect(page.locator("[data-companion]")).to_have_value(companion)
        expect(page.locator(".person[aria-pressed=true] b")).to_have_text(name)
    page.get_by_role("button", name="Argus Helps to run services").click()
    mine.say("Who are you? [[rehearse: reason]]")
    mine.idle()
    assert re.search(r"/c/[0-9a-f-]{36}$", page.url)
    expect(page.locator(".turn")).to_have_count(2)
    expect(page.locator(".partner")).to_have_text("with Argus")
    expect(page.locator(".turn h2")).to_have_text(["You", "Argus"])
    thought = page.locator(".thought")
    expect(thought.locator(".prose")).to_be_hidden()
    thought.get_by_text("Reasoning").click()
    expect(thought).to_contain_text("I shall say what was asked")
    expect(page.locator("h1")).to_contain_text("Who are you?")
    expect(page.locator(".sessions [aria-current=page]")).to_contain_text("Who are you?")
    expect(page.locator("[data-announce]")).to_have_text("The answer is complete.")
    expect(page.locator(".turn .foot").last.get_by_role("button", name="Copy")).to_be_visible()  # all of it is drawn
    first = shown(page)
    expect(page.locator(".turn time")).to_have_count(2)
    page.context.new_cdp_session(page).send("Emulation.setTimezoneOverride", {"timezoneId": "Asia/Kathmandu"})
    page.reload()
    expect(page.locator(".turn")).to_have_count(2)
    assert shown(page) == first
    said = page.evaluate(TIMES, ".turn time")
    assert [one["at"] for one in said] == [one["created_at"][:19] for one in stored(member, mine.session_id)]
    [listed] = page.evaluate(TIMES, ".sessions [aria-current=page] time")
    for one in (*said, listed):
        there = datetime.fromisoformat(f"{one['at']}+00:00").astimezone(ZoneInfo("Asia/Kathmandu"))
        assert words(one["text"]) == f"{there:%b} {there.day}, {there:%Y}, {there.hour % 12 or 12}:{there:%M %p}"
        assert one["title"] == f"{datetime.fromisoformat(one['at']):%-d %b %Y, %H:%M} UTC"


def test_the_page_can_be_read_before_any_script_has_run(talk: Callable[..., Talk], live: Stack, chromium: Any) -> None:
    mine = talk()
    mine.say("Is this text in the page?")
    mine.idle()
    context = chromium.new_context(java_script_enabled=False)
    context.add_cookies(cookies(live, "member"))
    plain = context.new_page()
    plain.goto(mine.page.url)
    expect(plain.locator(".turn")).to_have_count(2)
    expect(plain.locator(".turn").first).to_contain_text("Is this text in the page?")
    context.close()


def test_an_answer_is_stopped_and_what_was_said_is_kept(talk: Callable[..., Talk], member: Person) -> None:
    mine = talk()
    mine.say(LONG)
    expect(mine.page.locator(".turn").last).to_contain_text("word5")
    mine.page.keyboard.press("Escape")
    expect(mine.page.get_by_text("Stopped; what was said is kept.")).to_be_visible()
    expect(mine.page.locator("[data-announce]")).to_have_text("The answer was stopped.")
    mine.idle()
    answer = stored(member, mine.session_id)[-1]
    assert answer["metadata"]["incomplete"] == "cancelled"
    assert shown(mine.page) == words(answer["content"])


def test_what_was_said_last_is_edited_and_answered_anew(talk: Callable[..., Talk], member: Person) -> None:
    mine = talk()
    for text in ("One", "Two"):
        mine.say(text)
        mine.idle()
    box = mine.page.get_by_label("Your message")
    box.press("ArrowUp")
    expect(box).to_have_value("Two")
    expect(mine.page.get_by_text("What is remembered of both stays in memory.")).to_be_visible()
    mine.page.keyboard.press("Escape")
    expect(box).to_have_value("")
    mine.page.get_by_role("button", name="Edit", exact=True).click()
    box.fill("Three")
    mine.page.get_by_role("button", name="Send instead").click()
    expect(mine.page.locator(".turn.mine")).to_have_text([re.compile("YouOne"), re.compile("YouThree")])
    mine.idle()
    assert [one["content"] for one in stored(member, mine.session_id) if one["role"] == "user"] == ["One", "Three"]
    before = stored(member, mine.session_id)[-1]["id"]
    mine.page.get_by_role("button", name="Answer again").click()
    expect(mine.page.locator(f"#m-{before}")).to_have_count(0)
    told = mine.page.locator("[data-notices] .notice")
    expect(told).to_contain_text("What is remembered of the answer before stays in memory.")
    told.get_by_role("button", name="Memory").click()
    expect(mine.page.get_by_role("complementary", name="What is remembered")).to_be_visible()
    mine.idle()
    said = stored(member, mine.session_id)
    assert [one["content"] for one in said if one["role"] == "user"] == ["One", "Three"]
    assert said[-1]["id"] != before
    expect(mine.page.locator(".turn")).to_have_count(4)


def test_a_failed_answer_says_why_and_is_tried_again(talk: Callable[..., Talk]) -> None:
    mine = talk()
    mine.say("Well [[rehearse: fail=error]]")
    unanswered = mine.page.locator("[data-unanswered]")
    expect(unanswered).to_contain_text("The rehearsal failed")
    mine.page.reload()
    expect(unanswered).to_contain_text("The rehearsal failed")
    unanswered.get_by_role("button", name="Try again").click()
    expect(mine.page.locator("[data-stop]")).to_be_hidden()
    expect(unanswered).to_contain_text("The rehearsal failed")
    expect(mine.page.locator(".turn.mine")).to_have_count(1)


def test_conversations_are_searched_and_archived(talk: Callable[..., Talk]) -> None:
    mine = talk()
    mine.say("Marmalade for breakfast")
    mine.idle()
    page, side = mine.page, mine.page.locator("#side")
    page.keyboard.press("Control+k")
    expect(page.get_by_label("Search conversations by title")).to_be_focused()
    page.keyboard.type("marmalade")
    expect(side.locator(".sessions li")).to_have_count(1)
    page.get_by_label("More for Marmalade for breakfast").click()
    page.get_by_role("button", name="Archive").click()
    found = side.locator(".sessions li", has=page.get_by_role("link", name="Marmalade for breakfast"))
    expect(found).to_contain_text("archived")
    page.get_by_label("Search conversations by title").fill("")
    expect(found).to_have_count(0)
    side.get_by_label("Only archived").check()
    expect(found).to_be_visible()
    page.get_by_label("More for Marmalade for breakfast").click()
    page.get_by_role("button", name="Bring back").click()
    expect(found).to_have_count(0)
    page.get_by_label("Search conversations by title").fill("no such words")
    expect(side.locator(".sessions")).to_contain_text("No title has these words.")


def test_images_are_pasted_dropped_and_shown(talk: Callable[..., Talk], tmp_path: Path, member: Person) -> None:
    mine = talk()
    image = tmp_path / "a.png"
    image.write_bytes(FILE)
    paste = """async (data) => {
        const bytes = Uint8Array.from(atob(data), (one) => one.charCodeAt(0));
        const files = new DataTransfer();
        files.items.add(new File([bytes], "<img src=x onerror=alert(1)>.png", {type: "image/png"}));
        document.querySelector("textarea").dispatchEvent(
            new ClipboardEvent("paste", {clipboardData: files, bubbles: true, cancelable: true}));
    }"""
    mine.page.evaluate(paste, pictures.encoded(FILE))
    mine.page.locator("[data-files]").set_input_files(image)
    expect(mine.page.locator(".pictures img")).to_have_count(2)
    mine.page.get_by_label("Remove a.png").click()
    expect(mine.page.locator(".pictures img")).to_have_count(1)
    wrong = tmp_path / "a.svg"
    wrong.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    mine.page.locator("[data-files]").set_input_files(wrong)
    expect(mine.page.locator("[data-notices]")).to_contain_text("a.svg is no PNG, JPEG, WebP or GIF")
    mine.say("What is this?")
    mine.idle()
    image_shown = mine.page.locator(".turn.mine img")
    expect(image_shown).to_have_count(1)
    mine.page.reload()
    eventually(lambda: image_shown.evaluate("(one) => one.complete && one.naturalWidth === 40"), "the image is shown")
    [part] = [one for one in stored(member, mine.session_id)[0]["parts"] if one["type"] == "image"]
    assert (part["width"], part["height"]) == (40, 30)


def test_a_memory_that_was_used_is_shown_in_the_drawer(talk: Callable[..., Talk], member: Person) -> None:
    body = {"layer": "preferences", "content": "I drink Assam tea in the morning.", "companion_type": "smart-home"}
    assert member.http.post("/v1/ai/memory", json=body).status_code in (200, 201)
    mine = talk()
    mine.page.locator("[data-companion]").select_option("smart-home")
    mine.say("Which tea do I drink in the morning?")
    mine.idle()
    mine.page.get_by_role("button", name=re.compile(r"Used \d+ memor")).click()
    drawer = mine.page.get_by_role("complementary", name="What is remembered")
    expect(drawer.locator(".entry", has_text="Assam")).to_be_visible()
    mine.page.keyboard.press("Escape")
    expect(drawer).to_be_hidden()


@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_nothing_serious(dark: bool, talk: Callable[..., Talk], axe: Callable[[Page], list[str]]) -> None:
    mine = talk(dark=dark)
    assert axe(mine.page) == []
    mine.page.set_viewport_size(PHONE)
    mine.page.locator("[data-wishes] summary").click()
    assert mine.page.evaluate("document.querySelector('.talk').scrollWidth") <= PHONE["width"]
    box = mine.page.locator("[data-wishes] .card").bounding_box()
    assert box
    assert 0 <= box["x"] <= PHONE["width"] - box["width"]
    mine.page.keyboard.press("Escape")
    mine.page.set_viewport_size(WIDE)
    mine.page.locator("[data-companion]").select_option("devops")
    mine.say(RESTART.replace("]]", " reason]]"))
    expect(mine.page.locator(".call-card .left")).to_contain_text("left")
    mine.page.locator(".thought summary").first.click()
    mine.page.get_by_role("button", name="Memory").click()
    expect(mine.page.locator("[data-memory-list] h3").first).to_be_visible()
    expect(mine.page.locator(".memory [aria-busy=true]")).to_have_count(0)
    assert axe(mine.page) == []
    mine.page.locator("[data-stop]").click()
    mine.idle()
    small = talk(path=f"/c/{mine.session_id}", dark=dark, size=PHONE)
    assert small.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    small.page.get_by_role("button", name="Conversations").click()
    expect(small.page.get_by_role("link", name="New conversation")).to_be_visible()
    assert axe(small.page) == []


@pytest.mark.skipif("SCREENSHOTS" not in os.environ, reason="pictures for the documentation, made when asked")
def test_screenshots(talk: Callable[..., Talk], tmp_path: Path) -> None:
    looks: list[tuple[str, Path, dict[str, Any]]] = [
        ("chat", IMAGES, {}),
        ("chat-dark", tmp_path, {"dark": True}),
        ("chat-phone", tmp_path, {"size": PHONE}),
    ]
    for name, folder, options in looks:
        mine = talk(**options)
        mine.page.screenshot(path=folder / f"{name}-empty.png")
        mine.page.locator("[data-companion]").select_option("devops")
        mine.say("Please restart the web service.")
        expect(mine.page.locator(".call-card")).to_contain_text("May decide")
        mine.page.screenshot(path=folder / f"{name}.png")
        mine.page.locator("[data-stop]").click()
        mine.idle()
