"""The demo as its people see it: real processes, real Chromium pages that nobody reloads, and one effect."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from config.bootstrap import BASE_DIR
from tests import signing_in
from tests.chat.asking import RESTART, Asking, Person, effects
from tests.servers.stack import Stack, running

pytestmark = pytest.mark.timeout(240)
INBOX = "/admin/approvals/inbox/"
IMAGES = BASE_DIR / "docs" / "images"


@pytest.fixture(scope="module")
def live() -> Iterator[Stack]:
    with running(env={"RUN_SWEEP_SECONDS": "0.5"}) as stack:
        yield stack


@pytest.fixture(autouse=True)
def _fresh(live: Stack) -> Iterator[None]:
    live.sql("DELETE FROM agents_sandboxeffect")
    yield
    live.sql("UPDATE approvals_approval SET expires_at = now() WHERE status = 'pending'")


@pytest.fixture
def inbox_of(live: Stack, open_page: Callable[..., Page]) -> Callable[..., Page]:
    """Makes the open inbox of somebody who has signed in by password."""

    def make(name: str, **options: Any) -> Page:
        login, page = live.demo["users"][name], open_page(**options)
        signing_in.on_page(page, live.base_url, login, INBOX)
        expect(page).to_have_url(live.base_url + INBOX)
        expect(page.locator("[data-live]")).to_have_text("Live")
        return page

    return make


def row(page: Page, asked: dict[str, Any]) -> Locator:
    return page.locator(f'[data-id="{asked["approval_id"]}"]')


def open_one(page: Page, asked: dict[str, Any]) -> Page:
    """Go from the inbox to the request that has arrived there."""
    row(page, asked).locator(".sentence").click()
    expect(page.locator("[data-live]")).to_have_text("Live")
    return page


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


def approve(page: Page, name: str = "Approve") -> None:
    """Press the button, once what cannot be taken back is said to be known."""
    page.get_by_label("I have read the arguments").check()
    button(page, name).click()


def test_a_restart_is_approved_in_the_open_page_and_the_same_stream_goes_on(
    live: Stack, inbox_of: Callable[..., Page]
) -> None:
    page = inbox_of("manager")
    expect(page.locator("[data-empty]")).to_be_visible()
    asking = Asking(live, RESTART)
    asked = asking.wait_for("approval_required")
    member = Person(live, "member")
    assert member.decide(asked["approval_id"], decision="approve").status_code == 403
    member.http.close()
    expect(row(page, asked)).to_contain_text("service_restart")
    expect(row(page, asked)).to_contain_text("for Member")
    open_one(page, asked)
    expect(page.locator("pre.exact").first).to_contain_text('"service": "web"')
    expect(page.locator(".conversation")).to_contain_text(RESTART)
    approve(page)
    expect(page.get_by_text("service_restart: Approved.")).to_be_visible()
    reader = asking.end()
    names = [event.name for event in reader.events]
    assert names.index("approval_required") < names.index("approval_decided") < names.index("tool_result")
    assert reader.end.data["status"] == "completed"
    assert [(tool, calls) for tool, _, calls in effects(live)] == [("service_restart", 1)]


def test_a_rejection_takes_its_reason_to_the_answer(live: Stack, inbox_of: Callable[..., Page]) -> None:
    page, asking = inbox_of("manager"), Asking(live, RESTART)
    open_one(page, asking.wait_for("approval_required"))
    button(page, "Reject").click()
    expect(page.get_by_role("alert")).to_contain_text("say why")
    page.get_by_label("Reason").fill("Not in office hours")
    button(page, "Reject").click()
    expect(page.get_by_text("service_restart: Rejected.")).to_be_visible()
    assert "Not in office hours" in asking.end().text
    assert effects(live) == []


def test_what_is_edited_is_shown_beside_the_proposal_and_runs(live: Stack, inbox_of: Callable[..., Page]) -> None:
    page, asking = inbox_of("manager"), Asking(live, RESTART)
    open_one(page, asking.wait_for("approval_required"))
    page.get_by_role("link", name="Edit…").click()
    page.get_by_label("Arguments").fill('{"service": "nothing"}')
    button(page, "Check and show the change").click()
    expect(page.get_by_role("alert")).to_be_visible()
    page.get_by_label("Arguments").fill('{"service": "api"}')
    button(page, "Check and show the change").click()
    expect(page.locator(".changes .minus")).to_contain_text("web")
    expect(page.locator(".changes .plus")).to_contain_text("api")
    approve(page, "Approve with these arguments")
    expect(page.get_by_text("service_restart: Approved.")).to_be_visible()
    assert "api" in asking.end().text
    assert [arguments for _, arguments, _ in effects(live)] == [{"service": "api"}]


def test_an_answer_takes_the_place_of_the_tools_result(live: Stack, inbox_of: Callable[..., Page]) -> None:
    page, asking = inbox_of("manager"), Asking(live, RESTART)
    open_one(page, asking.wait_for("approval_required"))
    page.get_by_text("Answer instead of running it").click()
    page.get_by_label("Your answer").fill("I restarted it by hand already.")
    button(page, "Answer").click()
    expect(page.get_by_text("service_restart: Approved.")).to_be_visible()
    assert "I restarted it by hand already." in asking.end().text
    assert effects(live) == []


def test_what_nobody_decides_expires_before_their_eyes(live: Stack, inbox_of: Callable[..., Page]) -> None:
    page, asking = inbox_of("manager"), Asking(live, RESTART)
    asked = asking.wait_for("approval_required")
    open_one(page, asked)
    live.sql("UPDATE approvals_approval SET expires_at = now() WHERE id = %s", asked["approval_id"])
    expect(page.locator("#standing")).to_contain_text("Expired")
    expect(page.locator("button[name=decision]")).to_have_count(0)
    assert asking.end().end.data["status"] == "completed"
    assert effects(live) == []


def test_of_two_managers_at_once_one_decides_and_the_other_is_told(live: Stack, inbox_of: Callable[..., Page]) -> None:
    first, second, asking = inbox_of("manager"), inbox_of("manager2"), Asking(live, RESTART)
    asked = asking.wait_for("approval_required")
    for page in (first, second):
        open_one(page, asked)
    # The second one's page does not hear of it: the two press at the same time, as far as each can see.
    second.route(re.compile("/standing/"), lambda route: route.abort())
    approve(first)
    expect(first.get_by_text("service_restart: Approved.")).to_be_visible()
    second.get_by_label("Reason").fill("No.")
    button(second, "Reject").click()
    told = re.compile(r"Manager approved this \d+ s ago; it may be running or have run\.")
    expect(second.get_by_role("alert")).to_contain_text(told)
    asking.end()
    assert [calls for _, _, calls in effects(live)] == [1]


def test_where_two_must_approve_two_do(live: Stack, inbox_of: Callable[..., Page]) -> None:
    admin = inbox_of("admin")
    admin.goto(f"{live.base_url}/admin/approvals/policy/add/")
    admin.locator("[name=workspace]").select_option("Demo")
    admin.locator("[name=name]").fill("Two for a restart")
    admin.locator("[name=tool]").fill("service_restart")
    admin.locator("[name=quorum_approve]").fill("2")
    button(admin, "Simulate").click()
    expect(admin.locator(".outcome")).to_contain_text("calls would be judged otherwise")
    button(admin, "Save it").click()
    expect(admin.get_by_text("was added successfully")).to_be_visible()
    asking = Asking(live, RESTART)
    asked = asking.wait_for("approval_required")
    first, second = inbox_of("manager"), inbox_of("manager2")
    open_one(second, asked)
    open_one(first, asked)
    approve(first)
    expect(first.get_by_text("Your vote is counted: 1 of 2 votes.")).to_be_visible()
    assert effects(live) == []
    expect(second.locator("#standing")).to_contain_text("1 of 2 votes to approve")
    approve(second)
    expect(second.get_by_text("service_restart: Approved.")).to_be_visible()
    asking.end()
    assert [calls for _, _, calls in effects(live)] == [1]
    admin.goto(f"{live.base_url}/admin/approvals/policy/")
    admin.get_by_role("link", name="Two for a restart").click()
    admin.get_by_role("link", name="Delete policy").click()
    admin.locator("form input[type=submit], form button[type=submit]").last.click()
    expect(admin.get_by_text("was deleted successfully")).to_be_visible()


WANTED = (
    ("devops", RESTART, "service_restart"),
    ("devops", 'No mails go out [[rehearse: call=service_start {"service": "mailer"}]]', "service_start"),
    (
        "smart-home",
        "A little light, please [[rehearse: call=device_control "
        '{"device": "light.living_room", "command": "set", "value": 40}]]',
        "device_control",
    ),
    ("smart-home", 'The parcel is here [[rehearse: call=door_unlock {"door": "lock.front_door"}]]', "door_unlock"),
)


def test_the_pages_are_as_the_documentation_shows_them(
    live: Stack, inbox_of: Callable[..., Page], tmp_path: Path
) -> None:
    images = IMAGES if "WRITE_IMAGES" in os.environ else tmp_path
    askings = [Asking(live, message, companion) for companion, message, _ in WANTED]
    waiting = [asking.wait_for("approval_required") for asking in askings]
    page = inbox_of("manager")
    expect(page.locator(".request")).to_have_count(len(WANTED))
    page.screenshot(path=images / "inbox.png")
    open_one(page, waiting[0])
    page.screenshot(path=images / "approval.png", full_page=True)
    for name, address in (("audit", "/admin/approvals/auditevent/"), ("overview", "/admin/")):
        page.goto(live.base_url + address)
        page.screenshot(path=images / f"{name}.png")
    assert {"approval.png", "audit.png", "inbox.png"} <= {one.name for one in images.glob("*.png")}
    live.sql("UPDATE approvals_approval SET expires_at = now() WHERE status = 'pending'")
    for asking in askings:
        asking.end()
