"""The inbox in a real Chromium: what comes and goes, deciding on a phone and by keys, notifications."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from playwright.sync_api import Page, expect

from accounts.models import Actor, Role, Workspace
from approvals.models import Approval, Decision, Vote
from approvals.services import approvals
from config.bootstrap import BASE_DIR
from tests.approvals.desk import Desk, Matter, fresh, request
from tests.browser.conftest import PHONE
from tests.browser.talking import until
from tests.cast import PASSWORD, person
from tests.servers.stack import eventually

pytestmark = pytest.mark.timeout(240)
INBOX = "/approvals/"
At = Callable[..., Page]
LONG = {"service": "billing", "note": "\n".join(f"line {number} of what would be written" for number in range(200))}
# In place of the system's: keeps what was shown, and lets a test click on it.
NOTIFICATION = """
window.shown = [];
window.opened = [];
window.open = (...where) => { window.opened.push(where); return null; };
class Shown {
  static permission = "default";
  static requestPermission() { Shown.permission = "granted"; return Promise.resolve("granted"); }
  constructor(title, options) { this.title = title; this.options = options; window.shown.push(this); }
  close() {}
}
window.Notification = Shown;
if (localStorage.getItem("countersign.notify")) Shown.permission = "granted";
"""


@pytest.fixture
def colleague(workspace: Workspace) -> Actor:
    return person(workspace, "colleague", Role.MANAGER)


@pytest.fixture
def at(served: str, open_page: Callable[..., Page]) -> At:
    """Makes the page of a person who has signed in, at an address, with its socket up."""

    def make(actor: Actor, path: str = INBOX, *, live: bool = True, notes: bool = False, **options: Any) -> Page:
        client = Client()
        client.force_login(actor.user)
        value = client.cookies[settings.SESSION_COOKIE_NAME].value
        page = open_page(cookies=[{"name": settings.SESSION_COOKIE_NAME, "value": value, "url": served}], **options)
        if notes:
            page.context.add_init_script(NOTIFICATION)
        page.goto(served + path)
        if live:
            expect(page.locator("html")).to_have_attribute("data-socket", "on")
        return page

    return make


def ask(desk: Desk, member: Actor, service: str, **changes: Any) -> Approval:
    return request(desk, member, call={"arguments": {"service": service}, **changes.pop("call", {})}, **changes)


def page_of(approval: Approval) -> str:
    return f"{INBOX}{approval.pk}/"


def rows(page: Page) -> Any:
    return page.locator(".request")


def bar(page: Page, name: str) -> Any:
    return page.locator("[data-bar]").get_by_role("button", name=name, exact=True)


def for_good(page: Page) -> None:
    """Approve what cannot be taken back, from its page."""
    page.locator("[data-bar]").get_by_role("link", name="Approve…").click()
    page.get_by_label(re.compile("I have read the arguments")).check()
    bar(page, "Approve now").click()


def test_a_request_arrives_and_is_counted_in_the_list_the_bar_and_the_title(
    desk: Desk, member: Actor, manager: Actor, at: At
) -> None:
    page = at(manager)
    expect(page.locator("[data-empty]")).to_be_visible()
    expect(page.locator("[data-waiting]")).to_be_hidden()
    ask(desk, member, "billing")
    expect(rows(page)).to_have_count(1)
    expect(rows(page).first).to_have_class(re.compile("arrived"))
    expect(page).to_have_title("(1) Approvals · Countersign")
    expect(page.locator("[data-waiting]")).to_have_text("1 waiting")
    expect(page.locator("[data-mine]")).to_have_text("1")
    expect(page.locator("[data-news]")).to_have_text("A new request has arrived.")


def test_what_a_colleague_decides_goes_and_says_who_decided(
    desk: Desk, member: Actor, manager: Actor, colleague: Actor, at: At
) -> None:
    gone, stays = ask(desk, member, "gone"), ask(desk, member, "stays")
    page = at(manager)
    page.locator(f'[data-id="{stays.pk}"] a').focus()
    approvals.decide(gone.pk, by=colleague, decision=Decision.APPROVE)
    expect(page.locator(f'[data-id="{gone.pk}"]')).to_contain_text("Approved by Colleague")
    expect(page.locator(f'[data-id="{stays.pk}"] a')).to_be_focused()
    expect(page.locator("[data-waiting]")).to_have_text("1 waiting")


def test_a_member_hears_of_their_own_request_alone(desk: Desk, member: Actor, manager: Actor, at: At) -> None:
    own = ask(desk, member, "own")
    page = at(member, page_of(own), live=False)
    frames: list[str] = []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: frames.append(str(frame))))
    page.reload()
    expect(page.locator("[data-live]")).to_have_text("Live")
    ask(desk, manager, "of others")
    approvals.decide(own.pk, by=manager, decision=Decision.REJECT, reason="Not today.")
    expect(page.locator("#standing")).to_contain_text("Rejected by Manager (manager@home.example)")
    assert len([frame for frame in frames if "changed" in frame]) == 1


def test_what_is_typed_stays_until_somebody_else_has_decided(
    desk: Desk, member: Actor, manager: Actor, colleague: Actor, workspace: Workspace, at: At
) -> None:
    approval = ask(desk, member, "billing", quorum_approve=2)
    page = at(manager, page_of(approval))
    page.get_by_label("Reason").fill("I was just writing")
    approvals.decide(approval.pk, by=colleague, decision=Decision.APPROVE)
    expect(page.locator("#standing")).to_contain_text("1 of 2 votes to approve")
    expect(page.get_by_label("Reason")).to_have_value("I was just writing")
    third = person(workspace, "third", Role.MANAGER)
    approvals.decide(approval.pk, by=third, decision=Decision.APPROVE)
    expect(page.locator("#standing")).to_contain_text("Approved by Third (third@home.example)")
    expect(page.locator("[data-bar]")).to_have_count(0)
    expect(page.get_by_text("This request has changed while you looked at it.")).to_be_hidden()


def test_an_edit_by_a_colleague_makes_the_page_say_to_look_again(
    desk: Desk, member: Actor, manager: Actor, colleague: Actor, at: At
) -> None:
    approval = ask(desk, member, "billing", quorum_approve=2)
    page = at(manager, page_of(approval))
    approvals.decide(approval.pk, by=colleague, decision=Decision.APPROVE, arguments={"service": "login"})
    expect(page.get_by_text("This request has changed while you looked at it.")).to_be_visible()
    expect(page.locator("[data-bar]")).to_have_attribute("inert", "")
    page.get_by_role("link", name="Look again").click()
    expect(page.locator("[data-exact]")).to_contain_text("login")
    expect(bar(page, "Approve")).to_be_enabled()


def test_long_arguments_are_read_to_their_end_before_they_can_be_approved(
    desk: Desk, member: Actor, manager: Actor, at: At
) -> None:
    approval = ask(desk, member, "billing", call={"arguments": LONG})
    for way in ("scroll", "show"):
        page = at(manager, page_of(approval), size=PHONE)
        text = page.locator("[data-exact] > pre.exact")
        expect(text).to_have_class(re.compile("clamped"))
        expect(bar(page, "Approve")).to_be_disabled()
        expect(bar(page, "Reject")).to_be_enabled()
        expect(page.locator("[data-gate]")).to_be_visible()
        if way == "show":
            page.get_by_role("button", name="Show all of it").click()
            expect(bar(page, "Approve")).to_be_disabled()
            page.keyboard.press("End")
        else:
            text.evaluate("one => one.scrollTo(0, one.scrollHeight)")
            text.evaluate("one => one.scrollIntoView(false)")
        expect(bar(page, "Approve")).to_be_enabled()
        expect(page.locator("[data-gate]")).to_be_hidden()


def test_two_clicks_decide_once(desk: Desk, member: Actor, manager: Actor, at: At) -> None:
    approval = ask(desk, member, "billing")
    page = at(manager, page_of(approval))
    bar(page, "Approve").dblclick()
    expect(page.get_by_text("Approved. Restart billing.")).to_be_visible()
    assert (fresh(approval).status, Vote.objects.count()) == ("approved", 1)


def test_a_rejection_asks_for_its_reason_where_it_is_to_be_written(
    desk: Desk, member: Actor, manager: Actor, at: At
) -> None:
    approval = ask(desk, member, "billing")
    page = at(manager, page_of(approval), size=PHONE)
    bar(page, "Reject").click()
    expect(page.get_by_label("Reason")).to_be_focused()
    assert fresh(approval).status == "pending"
    page.get_by_label("Reason").fill("Not during the day.")
    bar(page, "Reject").click()
    expect(page.get_by_text("Rejected. Restart billing.")).to_be_visible()
    assert (fresh(approval).status, fresh(approval).reason) == ("rejected", "Not during the day.")


def test_by_keys_alone_a_request_is_found_and_decided_and_enter_in_a_field_decides_nothing(
    desk: Desk, member: Actor, workspace: Workspace, at: At
) -> None:
    boss = person(workspace, "boss", Role.MANAGER, PASSWORD)
    approval = ask(desk, member, "billing", fresh_password=True)
    page = at(boss)

    def tab_to(target: Any) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            if target.evaluate("one => one === document.activeElement"):
                return
        pytest.fail("the Tab key never comes there")

    tab_to(rows(page).first.locator("a"))
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(str(approval.pk)))
    expect(bar(page, "Approve")).to_be_enabled()
    tab_to(page.get_by_label("Your password"))
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    tab_to(bar(page, "Approve"))
    assert fresh(approval).status == "pending"
    page.keyboard.press("Enter")
    expect(page.get_by_text("Approved. Restart billing.")).to_be_visible()
    assert fresh(approval).status == "approved"


def test_what_cannot_be_taken_back_is_said_in_words_and_takes_a_second_step(
    desk: Desk, member: Actor, manager: Actor, at: At
) -> None:
    approval = ask(desk, member, "billing", call={"risk": "destructive"})
    page = at(manager, page_of(approval), size=PHONE)
    page.locator("[data-bar]").get_by_role("link", name="Approve…").dblclick()
    expect(page.get_by_role("heading", name="This cannot be taken back")).to_be_visible()
    bar(page, "Approve now").dblclick()
    assert fresh(approval).status == "pending", "the box is not ticked"
    page.get_by_label(re.compile("I have read the arguments")).check()
    bar(page, "Approve now").click()
    expect(page.get_by_text("Approved. Restart billing.")).to_be_visible()


def test_requests_of_one_tool_are_ticked_and_decided_together(
    desk: Desk, member: Actor, manager: Actor, at: At
) -> None:
    wanted = [ask(desk, member, f"s{number}") for number in range(3)]
    page = at(manager, size=PHONE)
    page.get_by_role("link", name="Look at 3 of service_restart together").click()
    expect(bar(page, "Approve 0")).to_be_disabled()
    expect(page.get_by_label("I have read request 3")).to_be_disabled()
    for number in (1, 3):
        box = page.get_by_label(f"I have read request {number}")
        box.scroll_into_view_if_needed()
        box.check()
    bar(page, "Approve 2").click()
    expect(page.get_by_text("Approved: 2 of service_restart.")).to_be_visible()
    assert [fresh(row).status for row in wanted] == ["approved", "pending", "approved"]


def test_notifications_are_asked_for_by_the_button_and_shown_once_for_each_request(
    desk: Desk, member: Actor, manager: Actor, at: At
) -> None:
    ask(desk, member, "before")
    page = at(manager, notes=True)
    ask(desk, member, "unasked")
    expect(rows(page)).to_have_count(2)
    assert page.evaluate("window.shown.length") == 0
    assert page.evaluate("Notification.permission") == "default"
    with page.expect_response(re.compile("/approvals/waiting/")):
        page.get_by_role("button", name="Turn on notifications").click()
    expect(page.get_by_role("button", name="Turn off")).to_be_visible()
    other = page.context.new_page()
    with other.expect_response(re.compile("/approvals/waiting/")):
        other.goto(page.url.replace("show=mine", "") + "?show=decided")
    for one in (page, other):
        one.evaluate("document.hasFocus = () => false")
    approval = ask(desk, member, "billing")
    for one in (page, other):
        eventually(lambda one=one: one.evaluate("window.shown.length") == 1, "it is told once")
        told = one.evaluate("[shown[0].title, shown[0].options]")
        assert told == [
            "service_restart waits for your decision",
            {"body": "Write: Restart billing.", "tag": f"approval-{approval.pk}", "silent": True},
        ]
    page.evaluate("shown[0].onclick()")
    assert page.evaluate("opened") == [[page_of(approval), f"approval-{approval.pk}"]]
    page.get_by_role("button", name="Turn off").click()
    with page.expect_response(re.compile("fragment=1")):
        ask(desk, member, "quiet")
    expect(rows(page)).to_have_count(4)
    assert page.evaluate("window.shown.length") == 1


def test_without_the_socket_the_page_looks_by_itself(desk: Desk, member: Actor, manager: Actor, at: At) -> None:
    page = at(manager)
    page.clock.install()
    page.route_web_socket(re.compile("/ws/"), lambda socket: socket.close())
    page.reload()
    expect(page.locator("[data-live]")).to_have_text("Looks every 10 s")
    ask(desk, member, "billing")
    page.clock.fast_forward(31_000)
    expect(rows(page)).to_have_count(1)
    expect(page.locator("[data-waiting]")).to_have_text("1 waiting")


HOSTILE = (
    '<script>document.title="owned"</script><img src=x onerror=\'document.title="owned"\'>'
    '<a href="javascript:document.title=1">x</a><style>*{display:none}</style>\u202e\u200b\x07{{ 7*7 }}</pre></div>'
)


def test_what_a_model_writes_neither_runs_nor_hides(desk: Desk, member: Actor, manager: Actor, at: At) -> None:
    approval = ask(desk, member, HOSTILE, call={"agent": "a-<b>x</b>", "arguments": {"service": HOSTILE}})
    told = {"sentence": HOSTILE, "amount": HOSTILE, "recipients": [HOSTILE], "details": {HOSTILE: HOSTILE}}
    Approval.objects.filter(pk=approval.pk).update(preview=told, risk="destructive")
    for path in (INBOX, page_of(approval), f"{page_of(approval)}approve/", f"{page_of(approval)}edit/"):
        page = at(manager, path, live=False, notes=True)
        mark = page.get_by_text("⟨U+202E⟩").first
        expect(mark).to_be_visible()
        # It is not hidden as what only screen readers read; a row may be put anew while it is looked at.
        until(page, lambda mark=mark: mark.evaluate("(one) => one.getBoundingClientRect().width") > 20)
        assert "owned" not in page.title()
        assert page.locator("#content img, #content script, #content style").count() == 0


def test_a_change_is_seen_before_it_is_approved_and_again_where_it_is_another_by_then(
    desk: Desk, member: Actor, manager: Actor, at: At
) -> None:
    approval = ask(desk, member, "billing")
    page = at(manager, f"{page_of(approval)}edit/", size=PHONE, live=False)
    box, approve = page.get_by_role("textbox", name="Arguments"), bar(page, "Approve the change")
    box.fill('{"service": "login"}')
    expect(bar(page, "Show the change")).to_be_in_viewport()
    bar(page, "Show the change").click()
    expect(page.locator(".changes .plus")).to_be_in_viewport()
    expect(approve).to_be_enabled()
    box.fill('{"service": "search"}')
    expect(approve).to_be_hidden()
    desk.matters[approval.subject_id] = Matter(approval.arguments)  # the desk is no database: it rolls nothing back
    bar(page, "Show the change").click()
    expect(page.locator(".changes .plus")).to_contain_text("search")
    desk.matters[approval.subject_id] = Matter(approval.arguments)
    approve.click()
    expect(page.get_by_text("Approved. Restart search.")).to_be_visible()


def test_why_nothing_was_decided_stays_in_view(desk: Desk, member: Actor, manager: Actor, at: At) -> None:
    """A time among the details is told in the reader's own."""
    approval = ask(desk, member, "billing", call={"arguments": LONG}, fresh_password=True)
    Approval.objects.filter(pk=approval.pk).update(
        preview={"sentence": "Restart.", "details": {"since": "2026-01-02T03:04:05Z", "word": "2026"}}
    )
    page = at(manager, page_of(approval), size=PHONE, live=False)
    expect(page.locator(".details time")).to_have_attribute("title", "2 Jan 2026, 03:04:05 UTC")
    expect(page.locator(".details time")).to_have_text(re.compile("2026.*:04:05"))
    page.get_by_label("Reason").fill("Not now.")
    bar(page, "Reject").click()
    expect(page.locator(".refused")).to_be_in_viewport()
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    expect(page.locator(".preview")).not_to_be_in_viewport()
    expect(page.locator(".refused")).to_be_in_viewport()


@pytest.mark.parametrize("dark", [False, True])
def test_each_page_fits_a_phone_and_is_for_everybody(
    dark: bool, desk: Desk, member: Actor, manager: Actor, at: At, axe: Callable[[Page], list[str]], tmp_path: Path
) -> None:
    grave = ask(desk, member, "x" * 300, call={"risk": "destructive", "arguments": LONG}, may_remember=True)
    mild = ask(desk, member, "billing", quorum_approve=2)
    ask(desk, member, "login")
    over = ask(desk, member, "search")
    approvals.decide(over.pk, by=manager, decision=Decision.REJECT, reason="Not during the day.")
    paths = {
        "list": INBOX,
        "decided": f"{INBOX}?show=decided",
        "one": page_of(mild),
        "grave": page_of(grave),
        "approve": f"{page_of(grave)}approve/",
        "edit": f"{page_of(mild)}edit/",
        "over": page_of(over),
        "together": f"{INBOX}together/?tool=service_restart",
    }
    page = at(manager, size=PHONE, dark=dark)
    for name, path in paths.items():
        page.goto(page.url.split("/approvals/")[0] + path)
        expect(page.locator("html")).to_have_attribute("data-socket", "on")
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], name
        assert page.locator(".bar").evaluate("one => one.offsetHeight") == 52, name
        assert page.locator(".places").evaluate("one => one.scrollWidth - one.clientWidth") == 0, name
        if name in ("one", "grave"):  # neither is in the way of the other, or louder
            looks = "ones => ones.map(getComputedStyle).map(is => [is.backgroundColor, is.borderWidth, is.height])"
            assert len(set(map(tuple, page.locator(".choice").evaluate_all(looks)))) == 1, name
            expect(page.locator(".decide-bar .choice.grave")).to_have_count(int(name == "grave"))
        assert axe(page) == [], name
        for_docs = "SCREENSHOTS" in os.environ and name in ("list", "one") and not dark
        images = BASE_DIR / "docs" / "images" if for_docs else tmp_path
        page.screenshot(path=images / f"inbox-{name}.png", full_page=not for_docs)
