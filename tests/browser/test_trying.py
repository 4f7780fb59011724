"""Trying an agent in a real Chromium: a call that waits for approval, its end, a page loaded anew, a cancel."""

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from config.bootstrap import BASE_DIR
from tests import signing_in
from tests.browser.conftest import PHONE
from tests.chat.asking import Person
from tests.servers.stack import Stack, running

pytestmark = pytest.mark.timeout(240)
IMAGES = BASE_DIR / "docs" / "images"
HOSTILE = "<img src=x onerror='document.title=\"owned\"'>\u202e"
RESTART = 'Please restart it [[rehearse: call=service_restart {"service": "web"}]]'


@pytest.fixture(scope="module")
def live() -> Iterator[Stack]:
    with running(env={"RUN_SWEEP_SECONDS": "0.5"}) as stack:
        yield stack


@pytest.fixture
def trying(live: Stack, open_page: Callable[..., Page]) -> Callable[..., Page]:
    """Makes an admin's page on which the agent is tried that looks after services."""

    def make(**options: Any) -> Page:
        login, page = live.demo["users"]["admin"], open_page(**options)
        signing_in.on_page(page, live.base_url, login, "/admin/agents/agent/")
        [agent_id] = [row[0] for row in live.sql("SELECT id FROM agents_agent WHERE slug = 'devops' LIMIT 1")]
        page.goto(f"{live.base_url}/admin/agents/agent/{agent_id}/try_it/")
        expect(page.locator("[data-try]")).to_be_visible()
        return page

    return make


def say(page: Page, text: str) -> None:
    page.get_by_label("Your message").fill(text)
    page.get_by_role("button", name="Send").click()


def test_an_agent_is_tried_with_a_call_that_somebody_else_approves(
    live: Stack, trying: Callable[..., Page], tmp_path: Path
) -> None:
    images = IMAGES if "WRITE_IMAGES" in os.environ else tmp_path
    page = trying()
    say(page, RESTART)
    call = page.locator(".call")
    expect(call).to_contain_text("waits for approval")
    link = call.get_by_role("link").get_attribute("href") or ""
    assert re.fullmatch(r"/admin/approvals/approval/[-0-9a-f]{36}/change/", link)
    page.screenshot(path=images / "try.png")
    page.reload()
    expect(call).to_contain_text("waits for approval")
    expect(page.get_by_role("button", name="Cancel")).to_be_visible()
    manager = Person(live, "manager")
    assert manager.decide(link.split("/")[4], decision="approve").status_code == 200
    manager.http.close()
    expect(call).to_contain_text("done")
    expect(page.get_by_role("button", name="Send")).to_be_enabled()
    page.reload()
    expect(page.locator(".turn")).to_have_count(2)
    expect(call).to_contain_text("done")

    say(page, f"{HOSTILE} [[rehearse: tokens=600 interval=50]]")
    expect(page.locator(".turn.mine").last).to_contain_text("⟨U+202E⟩")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".turn").last).to_contain_text("Cancelled")
    expect(page.locator("[data-status]")).to_have_text("")
    say(page, RESTART)
    turn = page.locator(".turn").last
    expect(turn.locator(".call")).to_contain_text("waits for approval")
    page.get_by_role("button", name="Cancel").press("Enter")
    expect(turn).to_contain_text("Cancelled; what was said is kept.")
    expect(turn.locator(".call summary")).to_have_text("service_restartcancelledThe run was cancelled.")
    assert turn.inner_text().index("I call service_restart.") < turn.inner_text().index("cancelled")
    expect(page.locator("[data-status]")).to_contain_text("tokens in")
    expect(page.get_by_label("Your message")).to_be_focused()
    say(page, "Well [[rehearse: fail=error]]")
    expect(page.get_by_role("alert").last).to_contain_text("provider")
    assert page.title() != "owned"
    assert page.locator(".talk img").count() == 0

    narrow = trying(size=PHONE)
    assert narrow.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    narrow.screenshot(path=tmp_path / "try-phone.png")
    narrow.get_by_role("button", name="Start anew").click()
    expect(narrow.locator("[data-empty]")).to_be_visible()

    page.goto(f"{live.base_url}/admin/agents/agent/import_file/")
    file = json.dumps(
        {"format": "countersign.agent", "format_version": 1, "agent": {"slug": "a", "name": HOSTILE, "x": 1}}
    )
    page.locator("[name=workspace]").select_option("Demo")
    page.locator("[name=file]").set_input_files(
        {"name": "a.json", "mimeType": "application/json", "buffer": file.encode()}
    )
    page.get_by_role("button", name="Import").click()
    expect(page.locator("#content")).to_contain_text("agent.x: is not known")
    page.screenshot(path=images / "agent-import.png")
    page.set_viewport_size(PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.screenshot(path=tmp_path / "import-phone.png")
