"""The inbox with a stack of real processes: a run that goes on after a manager's click, and a server started again."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import PHONE, WIDE
from tests.browser.talking import cookies
from tests.browser.test_inbox import INBOX, for_good, rows
from tests.chat.asking import RESTART, Asking, effects
from tests.servers.stack import Stack, running

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def live() -> Iterator[Stack]:
    with running(env={"RUN_SWEEP_SECONDS": "0.5"}) as stack:
        yield stack


@pytest.fixture
def of_demo(live: Stack, chromium: Browser, open_page: Callable[..., Page]) -> Callable[..., Page]:
    """Makes a page of somebody of the demo."""

    def make(name: str, path: str, **options: Any) -> Page:
        page = open_page(cookies=cookies(live, name), **options)
        page.goto(live.base_url + path)
        return page

    return make


def test_a_run_goes_on_once_the_manager_has_clicked_and_the_requester_sees_it(
    live: Stack, of_demo: Callable[..., Page]
) -> None:
    boss = of_demo("manager", INBOX, size=PHONE)
    expect(boss.locator("[data-live]")).to_have_text("Live")
    for one in boss.get_by_role("navigation", name="Lists").get_by_role("link").all():
        expect(one).to_be_in_viewport(ratio=1)
    asking = Asking(live, f'{RESTART} [[rehearse: call=service_restart {{"service": "web"}}]]')
    asked = asking.wait_for("approval_required")
    mine = of_demo("member", f"{INBOX}?show=asked", size=WIDE)
    expect(rows(mine).first).to_contain_text("left")
    row = boss.locator(f'[data-id="{asked["approval_id"]}"]')
    expect(row).to_be_visible()
    row.get_by_role("link").click()
    expect(boss.locator(".conversation")).to_contain_text(RESTART)
    for_good(boss)
    expect(boss.get_by_text("See what becomes of it")).to_be_visible()
    expect(rows(mine).first).to_contain_text("Approved")
    assert asking.end().end.name == "done"
    assert [tool for tool, _, _ in effects(live)] == ["service_restart"]
    boss.get_by_role("link", name="See what becomes of it").click()
    expect(boss.locator(".deed")).to_contain_text("It ran and succeeded.")


def test_an_open_page_finds_a_server_that_was_started_again(live: Stack, of_demo: Callable[..., Page]) -> None:
    page = of_demo("manager", INBOX)
    expect(page.locator("html")).to_have_attribute("data-socket", "on")
    live.kill("web1")
    expect(page.locator("html")).to_have_attribute("data-socket", "off")
    live.start("web1")
    live.wait("web1")
    expect(page.locator("html")).to_have_attribute("data-socket", "on")
    before = rows(page).count()
    asking = Asking(live, f'{RESTART} [[rehearse: call=service_restart {{"service": "api"}}]]')
    asked = asking.wait_for("approval_required")
    expect(rows(page)).to_have_count(before + 1)
    page.locator(f'[data-id="{asked["approval_id"]}"] a').click()
    for_good(page)
    assert asking.end().end.name == "done"
