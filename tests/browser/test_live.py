"""Open pages in a real Chromium: what arrives, what a colleague decides, and what happens without the socket."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from playwright.sync_api import Page, expect

from accounts.models import Actor, Role
from approvals.models import Approval, Decision
from approvals.services import approvals
from core import valkey
from tests.approvals.desk import Desk, fresh, request
from tests.browser.conftest import NARROW
from tests.browser.talking import instead
from tests.cast import PASSWORD, person

INBOX = "/admin/approvals/inbox/"
SignedIn = Callable[..., Page]


@pytest.fixture
def colleague(workspace: Any) -> Actor:
    return person(workspace, "colleague", Role.MANAGER)


def opened(page: Page, address: str) -> Page:
    """A page whose socket is up."""
    page.goto(address)
    expect(page.locator("[data-live]")).to_have_text("Live")
    return page


def rows(page: Page) -> Any:
    return page.locator(".request")


def ask(desk: Desk, member: Actor, service: str, **changes: Any) -> Approval:
    return request(desk, member, call={"arguments": {"service": service}, **changes.pop("call", {})}, **changes)


def test_a_request_arrives_in_the_open_inbox(
    served: str, desk: Desk, member: Actor, manager: Actor, signed_in: SignedIn
) -> None:
    page = opened(signed_in(manager), served + INBOX)
    expect(page.locator("[data-empty]")).to_be_visible()
    approval = ask(desk, member, "billing")
    expect(rows(page)).to_have_count(1)
    expect(rows(page).first).to_have_class(re.compile("arrived"))
    expect(rows(page).first).to_contain_text("Restart billing.")
    expect(page.locator("[data-news]")).to_contain_text("A new request has arrived.")
    expect(page).to_have_title(re.compile(r"^\(1\) "))
    expect(page.locator('[data-count="mine"]')).to_have_text("1")
    rows(page).first.locator(".sentence").click()
    expect(page).to_have_url(re.compile(str(approval.pk)))


def test_what_a_colleague_decides_goes_and_says_who_decided(
    served: str, desk: Desk, member: Actor, manager: Actor, colleague: Actor, signed_in: SignedIn
) -> None:
    gone, stays = ask(desk, member, "gone"), ask(desk, member, "stays")
    page = signed_in(manager)
    page.clock.install()
    opened(page, served + INBOX)
    expect(rows(page)).to_have_count(2)
    approvals.decide(gone.pk, by=colleague, decision=Decision.APPROVE)
    row = page.locator(f'[data-id="{gone.pk}"]')
    expect(row).to_contain_text("Approved by Colleague")
    expect(row.locator("input")).to_have_count(0)
    expect(page.locator('[data-count="mine"]')).to_have_text("1")
    page.clock.fast_forward(10_000)
    expect(row).to_have_count(0)
    expect(rows(page)).to_have_count(1)
    expect(page.locator(f'[data-id="{stays.pk}"]')).to_be_visible()


def test_what_is_selected_stays_selected_while_others_arrive(
    served: str, desk: Desk, member: Actor, manager: Actor, signed_in: SignedIn
) -> None:
    first = ask(desk, member, "first")
    ask(desk, member, "other", call={"tool": "device_set", "arguments": {"service": "other"}})
    page = opened(signed_in(manager), served + INBOX)
    page.locator(f'[data-id="{first.pk}"] input').check()
    expect(page.locator("[data-bulk-text]")).to_have_text("1 of service_restart selected")
    expect(page.locator('[data-tool="device_set"] input')).to_be_disabled()
    ask(desk, member, "second")
    expect(rows(page)).to_have_count(3)
    expect(page.locator(f'[data-id="{first.pk}"] input')).to_be_checked()
    expect(page.locator('[data-tool="device_set"] input')).to_be_disabled()
    page.get_by_role("button", name="Approve…").click()
    page.get_by_role("button", name="Approve 1").click()
    expect(page.get_by_text("Approved: 1 of service_restart.")).to_be_visible()
    assert fresh(first).status == "approved"


def test_other_workspaces_are_not_heard_of(
    served: str, desk: Desk, member: Actor, manager: Actor, stranger: Actor, signed_in: SignedIn
) -> None:
    page = signed_in(manager)
    frames: list[str] = []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: frames.append(str(frame))))
    opened(page, served + INBOX)
    ask(desk, stranger, "yonder")
    ask(desk, member, "here")
    expect(rows(page)).to_have_count(1)
    assert len([frame for frame in frames if "changed" in frame]) == 1


def test_without_the_socket_the_page_looks_by_itself(
    served: str, desk: Desk, member: Actor, manager: Actor, signed_in: SignedIn
) -> None:
    page = signed_in(manager)
    page.clock.install()
    page.route_web_socket(re.compile("/ws/"), lambda socket: socket.close())
    page.goto(served + INBOX)
    expect(page.locator("[data-live]")).to_have_text("Looks every 10 s")
    ask(desk, member, "billing")
    page.clock.fast_forward(11_000)
    expect(rows(page)).to_have_count(1)


def test_a_page_that_cannot_be_brought_up_to_date_says_so_until_it_is(
    served: str, desk: Desk, member: Actor, manager: Actor, signed_in: SignedIn
) -> None:
    page = signed_in(manager)
    page.clock.install()
    opened(page, served + INBOX)
    state = page.locator("[data-live]")
    answers = iter([lambda one: one.abort(), lambda one: one.fulfill(status=503), lambda one: one.abort()])
    with instead(page, re.compile("fragment=1"), lambda one: next(answers)(one)):
        ask(desk, member, "billing")
        expect(state).to_have_text(re.compile(r"As it was at \d\d:\d\d.*; tries again"))
        page.clock.fast_forward(11_000)
        expect(state).not_to_have_class(re.compile(r"\bon\b"))
    page.clock.fast_forward(11_000)
    expect(rows(page)).to_have_count(1)
    expect(state).to_have_text("Live")


def test_a_page_whose_person_is_signed_out_elsewhere_says_so(
    served: str, desk: Desk, member: Actor, manager: Actor, signed_in: SignedIn
) -> None:
    page = opened(signed_in(manager), served + INBOX)
    Session.objects.all().delete()
    ask(desk, member, "billing")
    expect(page.locator("[data-live]")).to_have_text("Signed out: reload to sign in")


def test_an_open_page_tells_that_a_colleague_was_faster_and_keeps_nothing_to_press(
    served: str, desk: Desk, member: Actor, manager: Actor, colleague: Actor, signed_in: SignedIn
) -> None:
    approval = ask(desk, member, "billing", quorum_approve=2)
    page = opened(signed_in(manager), f"{served}/admin/approvals/approval/{approval.pk}/change/")
    page.get_by_label("Reason").fill("I was just writing")
    approvals.decide(approval.pk, by=colleague, decision=Decision.APPROVE)
    expect(page.locator("#standing")).to_contain_text("1 of 2 votes to approve")
    expect(page.get_by_label("Reason")).to_have_value("I was just writing")
    approvals.decide(approval.pk, by=person(manager.workspace, "third", Role.MANAGER), decision=Decision.APPROVE)
    expect(page.locator("#standing")).to_contain_text("Approved by Third (third@home.example)")
    expect(page.locator("button[name=decision]")).to_have_count(0)


def test_an_edit_by_a_colleague_makes_the_page_say_to_look_again(
    served: str, desk: Desk, member: Actor, manager: Actor, colleague: Actor, signed_in: SignedIn
) -> None:
    approval = ask(desk, member, "billing", quorum_approve=2)
    page = opened(signed_in(manager), f"{served}/admin/approvals/approval/{approval.pk}/change/")
    approvals.decide(approval.pk, by=colleague, decision=Decision.APPROVE, arguments={"service": "login"})
    expect(page.get_by_text("This request has changed while you looked at it.")).to_be_visible()
    expect(page.locator("form.decide")).to_have_attribute("inert", "")
    page.get_by_role("link", name="Look again").click()
    expect(page.locator("pre.exact").first).to_contain_text("login")
    expect(page.locator("form.decide")).not_to_have_attribute("inert", "")


def test_keys_go_to_the_buttons_and_decide_nothing(
    served: str, desk: Desk, member: Actor, workspace: Any, signed_in: SignedIn
) -> None:
    boss = person(workspace, "boss", Role.MANAGER, PASSWORD)
    approval = ask(desk, member, "billing", fresh_password=True)
    page = opened(signed_in(boss), f"{served}/admin/approvals/approval/{approval.pk}/change/")
    page.keyboard.press("a")
    expect(page.get_by_role("button", name="Approve", exact=True)).to_be_focused()
    page.keyboard.press("r")
    expect(page.get_by_label("Reason")).to_be_focused()
    page.keyboard.type("a reason with an r")
    expect(page.get_by_label("Reason")).to_have_value("a reason with an r")
    password = page.get_by_label("Your password")
    password.fill(PASSWORD)
    password.press("Enter")
    assert fresh(approval).status == "pending"
    page.get_by_role("button", name="Approve", exact=True).click()
    expect(page.get_by_text("service_restart: Approved.")).to_be_visible()
    assert fresh(approval).status == "approved"


HOSTILE = (
    '<script>document.title="owned"</script><img src=x onerror=\'document.title="owned"\'>'
    '<a href="javascript:document.title=1">x</a><style>*{display:none}</style>\u202e\u200b\x07{{ 7*7 }}</pre></div>'
)


def test_what_a_model_writes_neither_runs_nor_styles_nor_hides(
    served: str, desk: Desk, member: Actor, manager: Actor, signed_in: SignedIn
) -> None:
    approval = ask(
        desk, member, HOSTILE, call={"agent": "a-<b>x</b>", "arguments": {"service": HOSTILE, HOSTILE: [HOSTILE]}}
    )
    preview = {"sentence": HOSTILE, "amount": HOSTILE, "recipients": [HOSTILE], "details": {HOSTILE: HOSTILE}}
    preview["diff"] = [{"what": HOSTILE, "before": HOSTILE, "after": HOSTILE}]
    Approval.objects.filter(pk=approval.pk).update(preview=preview)
    page = signed_in(manager)
    addresses = [
        INBOX,
        f"/admin/approvals/approval/{approval.pk}/change/",
        f"/admin/approvals/approval/{approval.pk}/edit/",
    ]
    for address in addresses:
        page.goto(served + address)
        expect(page.get_by_text("⟨U+202E⟩").first).to_be_visible()
        assert page.title() != "owned"
        assert page.locator("#content img, #content script, #content style, #content a[href^=javascript]").count() == 0
        assert "{{ 7*7 }}" in page.locator("#content").inner_text()
    assert "49" not in page.locator("#content pre, #content .preview").first.inner_text()


@pytest.mark.parametrize("dark", [False, True])
def test_nothing_is_wider_than_a_phone(
    dark: bool, served: str, desk: Desk, member: Actor, manager: Actor, signed_in: SignedIn
) -> None:
    long = {"service": "x" * 3_000, "note": "word " * 300}
    approval = ask(desk, member, "x" * 300, call={"arguments": long, "risk": "destructive"}, may_remember=True)
    page = signed_in(manager, dark=dark, size=NARROW)
    for address in (INBOX, f"/admin/approvals/approval/{approval.pk}/change/", "/admin/"):
        page.goto(served + address)
        assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"], address
        assert page.evaluate("document.querySelector('#content').scrollWidth") <= NARROW["width"], address


def test_the_channel_lost_and_found_again_is_no_end(
    served: str, desk: Desk, member: Actor, manager: Actor, signed_in: SignedIn
) -> None:
    page = opened(signed_in(manager), served + INBOX)
    valkey.client().execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    ask(desk, member, "billing")
    expect(rows(page)).to_have_count(1)
    expect(page.locator("[data-live]")).to_have_text("Live")


def test_a_list_of_the_admin_tells_times_by_the_readers_clock_and_has_nothing_over_its_rows(
    served: str, desk: Desk, member: Actor, manager: Actor, signed_in: SignedIn
) -> None:
    approval = ask(desk, member, "billing")
    page = signed_in(manager)
    page.context.new_cdp_session(page).send("Emulation.setTimezoneOverride", {"timezoneId": "Asia/Tokyo"})
    page.goto(f"{served}/admin/approvals/approval/")
    time = page.locator("#result_list time")
    expect(time).to_have_text(re.compile(r"GMT\+9$"))
    expect(time).to_have_attribute("title", f"{approval.created_at:%-d %b %Y, %H:%M:%S} UTC")
    assert page.locator("#result_list tbody tr").bounding_box()["height"] < 60
    assert page.locator("#main > :last-child").evaluate("(foot) => getComputedStyle(foot).position") == "static"
