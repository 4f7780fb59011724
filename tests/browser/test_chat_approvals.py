"""What waits for a decision, on the chat page in a real Chromium."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.talking import HOSTILE, RESTART, Talk
from tests.browser.talking import live as live
from tests.browser.talking import manager as manager
from tests.browser.talking import member as member
from tests.browser.talking import talk as talk
from tests.chat.asking import Person
from tests.servers.stack import Stack

pytestmark = pytest.mark.timeout(300)


def test_an_approval_is_shown_where_it_happened_and_decided_live(
    talk: Callable[..., Talk], manager: Person, member: Person
) -> None:
    mine = talk()
    mine.page.locator("[data-companion]").select_option("devops")
    mine.say(RESTART)
    card = mine.page.locator(".call-card")
    expect(card).to_contain_text("waits for approval")
    expect(card).to_contain_text("May decide: Admin, Manager, Manager2. You asked for it, so somebody else decides.")
    expect(card.locator("pre")).to_have_text(re.compile(r'"service": "web"'))
    expect(card.locator(".left")).to_contain_text(re.compile(r"\d+ (h|min|s).* left"))
    expect(card.get_by_role("link")).to_have_count(0)
    other = talk(path=f"/c/{mine.session_id}")
    expect(other.page.locator(".call-card")).to_contain_text("Waits for approval")
    [request] = [
        one for one in member.http.get("/v1/ai/approvals").json()["approvals"] if one["session_id"] == mine.session_id
    ]
    digest = manager.approval(request["id"])["digest"]
    assert manager.decide(request["id"], decision="approve", digest=digest).status_code == 200
    for page in (mine.page, other.page):
        expect(page.locator(".call-card")).to_contain_text(re.compile("Approved by Manager.*web: restarted"))
        expect(page.locator(".call-card")).to_have_attribute("data-state", "done")
    mine.idle()
    mine.page.reload()
    expect(card).to_contain_text("Approved by Manager")
    expect(card).to_have_attribute("data-state", "done")


def test_what_a_manager_changed_stands_beside_what_was_asked_for(
    talk: Callable[..., Talk], manager: Person, member: Person
) -> None:
    mine = talk()
    mine.page.locator("[data-companion]").select_option("devops")
    mine.say(RESTART)
    card = mine.page.locator(".call-card")
    expect(card).to_contain_text("You asked for it")
    found = member.http.get("/v1/ai/approvals", params={"session_id": mine.session_id}).json()["approvals"]
    assert manager.decide(found[0]["id"], decision="approve", arguments={"service": "api"}).status_code == 200
    for _ in range(2):
        expect(card).to_contain_text(re.compile("Changed and approved by Manager.*api: restarted", re.DOTALL))
        expect(card.locator("summary")).to_have_text("service_restart done")
        expect(card).to_contain_text(
            re.compile("What ran, changed by Manager:.*api.*What the agent asked for:.*web", re.DOTALL)
        )
        expect(card.locator("pre")).to_have_text([re.compile('"service": "api"'), re.compile('"service": "web"')])
        expect(card.locator("pre").last).to_be_visible()
        mine.idle()
        mine.page.reload()
    assert (
        mine.page.evaluate(DRAWN, {"status": "approve", "by": ["Ada", "Bo"], "reason": ""}) == "Approved by Ada and Bo"
    )
    changed = {"status": "approve", "by": ["Ada", "Bo"], "reason": "", "edited": {"by": "Ada", "arguments": {}}}
    assert mine.page.evaluate(DRAWN, changed) == "Changed by Ada and approved by Ada and Bo"


# What a card says of a decision.
DRAWN = """async (approval) => {
    const { callCard } = await import(document.querySelector("link[href*='chat/cards']").href);
    const card = callCard({ name: "x" });
    card.update({ name: "x", state: "done", summary: "", arguments: {}, approval }, true);
    return card.node.querySelector(".asked").textContent;
}"""


def test_a_manager_is_led_to_what_they_may_decide(talk: Callable[..., Talk], live: Stack, manager: Person) -> None:
    """A manager who asks for it themselves is led nowhere, and told of a rejection with its reason."""
    asked = talk("manager")
    asked.page.locator("[data-companion]").select_option("devops")
    asked.say(RESTART)
    card = asked.page.locator(".call-card")
    expect(card).to_contain_text("You asked for it, so somebody else decides.")
    admin = Person(live, "admin")
    found = admin.http.get("/v1/ai/approvals").json()["approvals"]
    [request] = [one for one in found if one["session_id"] == asked.session_id]
    assert admin.decide(request["id"], decision="reject", reason=HOSTILE).status_code == 200
    admin.http.close()
    expect(card).to_contain_text("Rejected by")
    expect(card).to_contain_text("⟨U+202E⟩")
    asked.idle()
    for _ in range(2):
        expect(card.locator("summary")).to_have_text("service_restart was rejected, did not run")
        assert card.inner_text().count("⟨U+202E⟩") == 1, "the reason is told once"
        asked.page.reload()
    assert asked.page.title() != "owned"
