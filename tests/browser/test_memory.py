"""The memory panel in a real Chromium: what is known, why, corrected, accepted, forgotten, exported."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PHONE
from tests.browser.talking import HOSTILE, Talk, cookies, instead, until
from tests.chat.asking import Person
from tests.servers.stack import Stack, eventually, running

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def live() -> Iterator[Stack]:
    with running(env={"EXTRACTION": "0"}) as stack:
        yield stack


@pytest.fixture(scope="module")
def member(live: Stack) -> Iterator[Person]:
    person = Person(live, "member")
    yield person
    person.http.close()


@pytest.fixture
def panel(live: Stack, open_page: Callable[..., Page]) -> Callable[..., Talk]:
    """Opens a page as the demo's member."""

    def make(path: str = "/memory/", **options: Any) -> Talk:
        return Talk(open_page(cookies=cookies(live, "member"), **options), live.base_url).open(path)

    return make


def remember(member: Person, content: str, **more: Any) -> str:
    """Write a memory down and give its id."""
    body = {"layer": "preferences", "content": content, "companion_type": "smart-home", **more}
    return str(member.http.post("/v1/ai/memory", json=body).json()["id"])


def entry(page: Page, text: str) -> Any:
    return page.locator(".entry", has_text=text)


def test_a_memory_is_corrected_pinned_and_forgotten(panel: Callable[..., Talk], member: Person) -> None:
    id_ = remember(member, "Likes oolong.")
    page = panel().page
    expect(page.get_by_role("heading", name="What you like")).to_be_visible()
    entry(page, "oolong").get_by_role("button", name="Edit").click()
    page.get_by_label("It should say").fill("Likes sencha.")
    page.get_by_role("button", name="Save").click()
    expect(entry(page, "sencha")).to_be_visible()
    expect(entry(page, "oolong")).to_have_count(0)
    entry(page, "sencha").get_by_role("button", name="Pin").click()
    expect(entry(page, "sencha")).to_contain_text("Pinned")
    entry(page, "sencha").get_by_text("Why is this known?").click()
    expect(entry(page, "sencha")).to_contain_text("You wrote it.")
    expect(entry(page, "sencha")).to_contain_text("Likes oolong. until")
    entry(page, "sencha").get_by_role("button", name="Forget…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Nothing brings it back.")
    expect(dialog).to_contain_text("No message in your conversations tells of it.")
    dialog.get_by_role("button", name="Cancel").click()
    assert member.http.get(f"/v1/ai/memory/{id_}").json()["content"] == "Likes sencha."
    entry(page, "sencha").get_by_role("button", name="Forget…").click()
    dialog.get_by_role("button", name="Forget it").click()
    expect(entry(page, "sencha")).to_have_count(0)
    assert member.http.get(f"/v1/ai/memory/{id_}").status_code == 404


def test_a_memory_leads_to_the_message_that_it_comes_from(panel: Callable[..., Talk]) -> None:
    talk = panel("/")
    talk.say("The green kettle stands in the cellar.")
    talk.idle()
    session_id = talk.session_id
    page = talk.open("/memory/").page
    page.get_by_label("Search what is remembered").fill("green kettle")
    expect(page.get_by_role("heading", name="With these words")).to_be_visible()
    found = page.locator(".entry", has=page.get_by_text("The green kettle stands in the cellar.", exact=True))
    expect(found.get_by_role("button", name="Edit")).to_have_count(0)
    expect(found.locator(".tag").first).to_have_text(re.compile("^You, .*20"))
    found.get_by_role("button", name="Forget…").click()
    going = page.get_by_role("dialog").get_by_role("listitem")
    expect(going).to_have_count(2)
    expect(going.first.locator(".content")).to_have_text("You asked: “The green kettle stands in the cellar.”")
    expect(going.first).to_contain_text("An answer, ")
    expect(going.last.locator(".content")).to_have_text("The green kettle stands in the cellar.")
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    found.get_by_text("Why is this known?").click()
    link = found.get_by_role("link")
    expect(link).to_contain_text("The green kettle stands in the cellar.")
    link.click()
    expect(page).to_have_url(re.compile(rf"/c/{session_id}#m-"))
    expect(page.locator(".turn.found")).to_contain_text("The green kettle")


def test_a_search_narrows_as_it_is_written_and_is_seen_to_work(panel: Callable[..., Talk], member: Person) -> None:
    for text in ("Collects posters of cafés.", "Collects stamps of Chile."):
        remember(member, text)
    page, held = panel().page, []
    box, state = page.get_by_label("Search what is remembered"), page.locator("[data-memory-state]")
    fit = page.locator("[data-memory-list] section", has_text="With these words").locator(".entry")
    expect(page.locator("[data-memory-list]")).to_have_attribute("aria-busy", "false")
    with instead(page, "**/v1/ai/memory?*", held.append):
        box.fill("COLL post")
        expect(state).to_have_text("Searching…")
        expect(page.locator("[data-memory-list]")).to_have_attribute("aria-busy", "true")
        until(page, lambda: len(held) == 2)
    for route in held:
        route.continue_()
    expect(fit).to_have_count(1)
    expect(fit).to_contain_text("posters")
    expect(state).to_have_text("One memory has these words.")
    expect(page.locator("[data-memory-list]")).to_have_attribute("aria-busy", "false")
    box.fill("collects")
    expect(state).to_have_text("2 memories have these words.")
    box.fill("xyzzy")
    expect(state).to_have_text("No memory has these words.")
    expect(fit).to_have_count(0)
    assert page.locator("[data-memory-list] .entry").count() <= 5
    box.fill("")
    expect(page.get_by_role("heading", name="What you like")).to_be_visible()
    expect(state).to_be_empty()


def test_where_a_memory_comes_from_is_told_later_where_it_cannot_be_told_now(panel: Callable[..., Talk]) -> None:
    talk = panel("/")
    talk.say("The blue kettle stands on the roof.")
    talk.idle()
    page = talk.open("/memory/").page
    with instead(page, "**/v1/ai/sessions/**", lambda route: route.fulfill(status=503, body="{}")):
        page.get_by_label("Search what is remembered").fill("blue kettle")
        expect(page.get_by_role("heading", name="With these words")).to_be_visible()
        found = page.locator(".entry", has=page.get_by_text("The blue kettle stands on the roof.", exact=True))
        why = found.get_by_text("Why is this known?")
        why.click()
        expect(page.locator("[data-memory-notices]")).to_contain_text("Try again")
        expect(found).not_to_contain_text("gone")
    why.click()
    why.click()
    expect(found.get_by_role("link")).to_contain_text("The blue kettle stands on the roof.")


def test_the_drawer_says_so_where_it_cannot_be_loaded_and_takes_no_focus_later(panel: Callable[..., Talk]) -> None:
    page = panel("/").page
    with instead(page, "**/chat/memory.*js", lambda route: route.abort()):
        page.get_by_role("button", name="Memory").click()
        expect(page.locator("[data-notices] .notice")).to_contain_text("Something on this page went wrong.")
        expect(page.locator("[data-drawer]")).to_be_hidden()
    page.reload()
    held: list[Any] = []
    free: list[bool] = []
    page.route("**/v1/ai/memory?*", lambda route: route.continue_() if free else held.append(route))
    page.get_by_role("button", name="Memory").click()
    expect(page.get_by_role("complementary").get_by_role("button", name="Close")).to_be_focused()
    page.get_by_label("Your message").focus()
    eventually(lambda: page.wait_for_timeout(50) or held, "memories are asked for")
    free.append(True)
    for route in held:
        route.continue_()
    expect(page.locator("[data-memory-list]")).to_have_attribute("aria-busy", "false")
    expect(page.get_by_label("Your message")).to_be_focused()


def test_what_waits_is_kept_or_refused(panel: Callable[..., Talk], live: Stack, member: Person) -> None:
    ids = [remember(member, text) for text in ("Has a cat.", "Has a dog.")]
    for id_ in ids:
        live.sql("UPDATE memory_entry SET status = 'pending', author = 'extractor' WHERE id = %s", id_)
    page = panel().page
    expect(page.get_by_text("Is this right? 2 wait for you")).to_be_visible()
    entry(page, "cat").get_by_role("button", name="Yes, keep it").click()
    expect(page.get_by_text("Is this right? One waits for you")).to_be_visible()
    entry(page, "dog").get_by_role("button", name="No, forget it").click()
    expect(page.locator("[data-memory-pending] .entry")).to_have_count(0)
    assert member.http.get(f"/v1/ai/memory/{ids[0]}").json()["status"] == "active"
    assert member.http.get(f"/v1/ai/memory/{ids[1]}").status_code == 404


def test_memory_is_paused_exported_and_wiped(panel: Callable[..., Talk], member: Person) -> None:
    remember(member, "Sings in a choir.", layer="identity")
    page = panel().page
    page.get_by_text("Pause, export, forget everything").click()
    page.get_by_label("Rest with Hestia").check()
    expect(page.locator("[data-memory-said]")).to_have_text("Memory rests: Hestia.")
    paused = member.http.get("/v1/ai/memory/pause").json()["pauses"]
    assert [one["paused"] for one in paused if one["companion_type"] == "smart-home"] == [True]
    page.get_by_label("Rest with Hestia").uncheck()
    expect(page.locator("[data-memory-said]")).to_have_text("Memory goes on: Hestia.")
    with page.expect_download() as download:
        page.get_by_role("link", name="Export as JSON lines").click()
    lines = [json.loads(line) for line in download.value.path().read_text().splitlines()]
    assert "Sings in a choir." in [one["content"] for one in lines]
    page.get_by_label("Companion", exact=True).select_option("smart-home")
    page.get_by_role("button", name="Forget everything…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Forget for good").click()
    expect(dialog).to_be_visible()  # the word is missing
    dialog.get_by_label("Write “forget” to go on").fill("forget")
    dialog.get_by_role("button", name="Forget for good").click()
    expect(page.locator("[data-memory-notices]")).to_contain_text("memories are forgotten")
    assert member.http.get("/v1/ai/memory?companion_type=smart-home").json()["total"] == 0


@pytest.mark.parametrize("dark", [False, True])
def test_what_is_remembered_neither_runs_nor_misleads_and_axe_is_content(
    dark: bool, panel: Callable[..., Talk], member: Person, axe: Callable[[Page], list[str]]
) -> None:
    id_ = remember(member, HOSTILE)
    page = panel(dark=dark).page
    shown = page.locator(f"[data-memory='{id_}']")
    expect(shown).to_contain_text("onerror")
    shown.get_by_text("Why is this known?").click()
    expect(shown).to_contain_text("It comes from no message.")
    assert page.title() == "Memory · Countersign"
    assert page.locator("main img, main svg, main a[href^=javascript]").count() == 0
    assert axe(page) == []
    page.set_viewport_size(PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    member.http.delete(f"/v1/ai/memory/{id_}")
