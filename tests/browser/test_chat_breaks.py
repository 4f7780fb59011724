"""The chat page when lines break, servers die, sessions end and other pages change what it shows."""

import json
import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Route, expect

from tests.browser.talking import LONG, Talk, cookies, instead, shown, stored, words
from tests.browser.talking import live as live
from tests.browser.talking import member as member
from tests.browser.talking import talk as talk
from tests.chat.asking import Person
from tests.servers.stack import Stack

pytestmark = pytest.mark.timeout(300)
ELSEWHERE = """
from accounts.models import Membership, User, Workspace
Membership.objects.create(
    workspace=Workspace.objects.create(name="Elsewhere", slug="elsewhere"),
    user=User.objects.get(email="manager@demo.example"),
)
"""


@pytest.mark.parametrize("how", ["restart", "reload"])
def test_an_answer_survives_without_losing_or_doubling_a_word(
    how: str, live: Stack, talk: Callable[..., Talk], member: Person
) -> None:
    mine = talk()
    mine.say(LONG.replace("20]]", "40]]"))
    expect(mine.page.locator(".turn").last).to_contain_text("word20")
    if how == "reload":
        mine.page.reload()
    else:
        live.kill("web1")
        expect(mine.page.locator("[data-state]")).to_have_text("Reconnecting…")
        live.start("web1")
        live.wait("web1")
    expect(mine.page.locator(".turn").last).to_contain_text("word250")
    expect(mine.page.locator("[data-stop]")).to_be_visible()
    halfway = shown(mine.page)  # not yet set right by the stored answer, with which the page compares its own
    mine.idle()
    answer = stored(member, mine.session_id)[-1]["content"]
    assert words(answer).startswith(halfway)
    assert shown(mine.page) == words(answer)
    assert words(answer).endswith("word392")


def test_a_message_that_could_not_be_sent_stays(live: Stack, talk: Callable[..., Talk], member: Person) -> None:
    mine = talk()
    mine.say("Begin")
    mine.idle()
    with instead(mine.page, "**/v1/ai/chat", lambda route: route.abort()):
        mine.say("Is this lost?")
        notice = mine.page.locator("[data-notices] .notice")
        expect(notice).to_contain_text("does not answer")
        box = mine.page.get_by_label("Your message")
        expect(box).to_have_value("Is this lost?")
        expect(mine.page.locator(".turn.mine")).to_have_count(1)
        mine.page.reload()
        expect(box).to_have_value("Is this lost?")
    expect(mine.page.locator("html[data-ready]")).to_be_attached()
    mine.page.get_by_role("button", name="Send").click()
    expect(mine.page.locator(".turn.mine")).to_have_count(2)
    mine.idle()
    assert [one["content"] for one in stored(member, mine.session_id) if one["role"] == "user"][1:] == ["Is this lost?"]


def test_who_was_signed_out_signs_in_again_without_losing_the_draft(live: Stack, talk: Callable[..., Talk]) -> None:
    mine = talk()
    mine.page.context.clear_cookies()
    mine.say("A draft of mine")
    notice = mine.page.locator("[data-notices] .notice")
    expect(notice).to_contain_text("You are signed out")
    expect(notice.get_by_role("link", name="Sign in")).to_have_attribute("href", "/account/login/?next=%2F")
    mine.page.context.add_cookies(cookies(live, "member"))
    mine.open("/")
    expect(mine.page.get_by_label("Your message")).to_have_value("A draft of mine")


def test_a_limit_says_how_long_to_wait(talk: Callable[..., Talk]) -> None:
    mine = talk()
    problem = {"code": "rate_limited", "detail": "Too many messages.", "status": 429, "title": "Too many"}
    headers = {"Retry-After": "7", "Content-Type": "application/problem+json"}
    mine.page.route("**/v1/ai/chat", lambda route: route.fulfill(status=429, headers=headers, body=json.dumps(problem)))
    mine.say("Once more")
    expect(mine.page.locator("[data-notices] .notice")).to_contain_text("Too many messages. Try again in 7 s.")
    expect(mine.page.get_by_label("Your message")).to_have_value("Once more")


def test_two_tabs_and_another_browser_stay_in_step(talk: Callable[..., Talk], member: Person) -> None:
    mine = talk()
    mine.say("Begin")
    mine.idle()
    other = talk(path=f"/c/{mine.session_id}")
    mine.say("Tell [[rehearse: tokens=80 interval=30]]")
    expect(other.page.locator(".turn.mine")).to_have_count(2)
    expect(other.page.locator(".turn").last).to_contain_text("word30")
    other.idle()
    mine.idle()
    assert shown(other.page) == shown(mine.page) == words(stored(member, mine.session_id)[-1]["content"])
    mine.page.get_by_label("More for Begin").first.click()
    mine.page.get_by_role("button", name="Rename").click()
    mine.page.get_by_role("textbox", name="Title").fill("Another name")
    mine.page.get_by_role("textbox", name="Title").press("Enter")
    for page in (mine.page, other.page):
        expect(page.locator("h1")).to_have_text("Another name")
    other.page.get_by_label("More for Another name").first.click()
    other.page.get_by_role("button", name="Delete…").click()
    dialog = other.page.get_by_role("dialog")
    expect(dialog).to_contain_text("What is remembered of it, word for word, stays in your memory unless you tick this")
    lost: list[str] = []
    other.page.on("response", lambda answer: lost.append(answer.url) if answer.status == 404 else None)

    def late(route: Route) -> None:  # the socket's word of it is there before
        answer = route.fetch()
        expect(mine.page.locator("[data-notices]")).to_contain_text("This conversation was deleted")
        route.fulfill(response=answer)

    with instead(other.page, "**/v1/ai/sessions/*?forget=false", late):
        dialog.get_by_role("button", name="Delete").click()
        expect(other.page).to_have_url(re.compile(r"/$"))
    assert lost == []
    other.page.go_back()
    assert mine.session_id not in other.page.url, "nothing is there to go back to"


def test_a_page_of_another_workspace_sends_nothing_to_the_one_chosen_since(
    live: Stack, talk: Callable[..., Talk]
) -> None:
    live.manage("shell", "-c", ELSEWHERE)
    mine, other = talk("manager"), talk("manager")
    for place, answered in (("Elsewhere", False), ("Demo", True)):
        other.page.get_by_label("Account and appearance").click()
        other.page.get_by_label("Workspace").select_option(label=place)
        other.page.get_by_role("button", name="Switch").click()
        expect(other.page.locator("html[data-ready]")).to_be_attached()
        if mine.page.get_by_label("Your message").input_value() == "":
            mine.say("For whom is this?")
        else:
            mine.page.get_by_role("button", name="Send", exact=True).click()
        notice = mine.page.locator("[data-notices] .notice")
        if answered:
            expect(mine.page.locator(".turn")).to_have_count(2)
            expect(notice).to_have_count(0)
        else:
            expect(notice).to_contain_text("this page was of another workspace")
            expect(mine.page.get_by_label("Your message")).to_have_value("For whom is this?")
    mine.idle()
    assert live.sql(
        "SELECT count(*) FROM chat_conversation AS c JOIN accounts_workspace AS w ON w.id = c.workspace_id"
        " WHERE w.slug = 'elsewhere'"
    ) == [(0,)]
