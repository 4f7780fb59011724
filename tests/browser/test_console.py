"""The console in Chromium: somebody is invited and talks, a key works, a provider is tried, a webhook is told."""

import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx
import pytest
from playwright.sync_api import Page, expect

from config.bootstrap import BASE_DIR
from tests.browser.conftest import PHONE, WIDE
from tests.browser.talking import Talk, cookies
from tests.servers.openai_server import OpenAIServer
from tests.servers.receiver import Receiver, Reply, receiving
from tests.servers.stack import Stack, running

pytestmark = pytest.mark.timeout(300)
IMAGES = BASE_DIR / "docs" / "images"
LOOPBACK = {"WEBHOOK_PRIVATE_ADDRESSES": "127.0.0.0/8", "PROVIDER_PRIVATE_ADDRESSES": "127.0.0.0/8"}
SECTIONS = (
    "Overview", "Members", "API keys", "Providers", "Companions", "Agents", "Tools", "MCP servers", "Policies",
    "Budgets", "Usage", "Webhooks",
)  # fmt: skip
PICTURED = ("Overview", "Members", "Tools")
FORMS = (
    "members/invite", "keys/new", "providers/new", "companions/new", "budgets/new", "webhooks/change",
    "policies/try", "tools/service_restart/switch",
)  # fmt: skip
USED = """
INSERT INTO accounts_usageentry (id, workspace_id, user_id, session_id, run_id, provider, model, input_tokens,
    output_tokens, cost_usd, own_key, estimated, created_at)
SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7'
    || substring(md5(random()::text) FROM 1 FOR 3) || '8' || substring(md5(random()::text) FROM 1 FOR 15))::uuid,
    m.workspace_id, m.user_id, gen_random_uuid(), gen_random_uuid(), 'openai', model, 900 * day, 120 * day,
    0.004 * day, false, false, at
FROM accounts_membership AS m, generate_series(0, 27) AS day, unnest(ARRAY['gpt-4o-mini', 'gpt-4o']) AS model,
LATERAL (SELECT now() - make_interval(days => day) AS at) AS moment WHERE m.workspace_id = %s RETURNING id
"""


@pytest.fixture(scope="module")
def live() -> Iterator[Stack]:
    with running(env=LOOPBACK) as stack:
        stack.sql("UPDATE accounts_user SET is_staff = false, is_superuser = false RETURNING id")
        yield stack


@pytest.fixture
def console(live: Stack, open_page: Callable[..., Page]) -> Callable[..., Page]:
    """Opens a page of the console as the demo's admin, who is not of the staff."""

    def make(path: str = "/console/", *, who: str = "admin", **options: Any) -> Page:
        page = open_page(cookies=cookies(live, who), **options)
        page.goto(live.base_url + path)
        return page

    return make


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Where pictures go: into the documentation where that is asked for."""
    return IMAGES if "SCREENSHOTS" in os.environ else tmp_path


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving(Reply(500), Reply(204)) as server:
        yield server


@pytest.fixture
def provider() -> Iterator[OpenAIServer]:
    server = OpenAIServer(["t3-i0"]).start()
    yield server
    with ThreadPoolExecutor(1) as other:  # the browser's driver has a loop of its own in this thread
        other.submit(server.close).result(20)


def secret(page: Page) -> str:
    return page.locator("#secret").inner_text()


def test_somebody_is_invited_joins_in_another_browser_and_talks(
    live: Stack, console: Callable[..., Page], open_page: Callable[..., Page], axe: Callable[[Page], list[str]]
) -> None:
    page = console("/console/members/")
    page.get_by_role("link", name="Invite somebody").click()
    page.get_by_label("E-mail address").fill("nia@people.example")
    page.get_by_label("Manager").check()
    page.get_by_role("button", name="Send the invitation").click()
    link = urlsplit(secret(page)).path
    page.get_by_role("link", name="Done").click()
    expect(page.get_by_role("region", name="Invitations")).to_contain_text("nia@people.example")

    theirs = open_page()
    theirs.goto(live.base_url + link)
    expect(theirs.get_by_role("heading", level=1)).to_contain_text("Join Demo")
    assert axe(theirs) == []
    theirs.get_by_label("Your name").fill("Nia")
    theirs.get_by_label("Password").fill("short")
    theirs.get_by_role("button", name="Join").click()
    expect(theirs.get_by_role("alert")).to_contain_text("Nothing was stored yet.")
    theirs.get_by_label("Password").fill("a long enough phrase 7")
    theirs.get_by_role("button", name="Join").click()
    expect(theirs.get_by_label("Your message")).to_be_visible()
    talk = Talk(theirs, live.base_url).open()
    talk.say("Hello there")
    talk.idle()
    page.reload()
    expect(page.get_by_role("region", name="Members")).to_contain_text("Nia")
    again = open_page()
    again.goto(live.base_url + link)
    expect(again.locator("main")).to_contain_text("This invitation cannot be used")


def test_a_key_is_made_copied_and_works(live: Stack, console: Callable[..., Page]) -> None:
    page = console("/console/keys/new/")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("textbox", name="Name").fill("Billing server")
    page.get_by_label("chat: talk").check()
    page.get_by_role("button", name="Make the key").click()
    key = secret(page)
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("status")).to_have_text("Copied.")
    assert page.evaluate("navigator.clipboard.readText()") == key
    with httpx.Client(base_url=live.base_url, headers={"Authorization": f"Bearer {key}"}) as program:
        assert program.get("/v1/ai/models").status_code == 200
        page.get_by_role("link", name="Done").click()
        page.get_by_role("row", name="Billing server").get_by_role("link", name="Revoke").click()
        page.get_by_role("button", name="Revoke the key").click()
        expect(page.get_by_role("row", name="Billing server")).to_contain_text("revoked")
        assert program.get("/v1/ai/models").status_code == 401


def test_a_provider_is_set_up_and_tried(
    console: Callable[..., Page], provider: OpenAIServer, axe: Callable[[Page], list[str]]
) -> None:
    page = console("/console/providers/new/")
    page.get_by_label("Name").fill("ours")
    page.get_by_label("Address").fill(provider.base_url)
    page.get_by_label("Key").fill("sk-of-the-test-0123456789")
    assert axe(page) == []
    page.get_by_role("button", name="Set it up").click()
    page.get_by_role("button", name="Test now").click()
    expect(page.locator("main")).to_contain_text("It works.")
    expect(page.locator("main")).to_contain_text("t3-i0 answered")
    assert axe(page) == []
    provider.stop()
    page.get_by_role("button", name="Test again").click()
    expect(page.get_by_role("alert")).to_contain_text("It does not work yet.")
    page.goto(page.url.replace("/test/", "/remove/"))
    page.get_by_role("button", name="Delete it").click()
    expect(page.locator("main")).not_to_contain_text("ours")


def test_a_webhook_is_tried_fails_and_is_delivered_again(
    live: Stack, console: Callable[..., Page], receiver: Receiver, axe: Callable[[Page], list[str]]
) -> None:
    page = console("/console/webhooks/")
    page.get_by_role("link", name="Set a webhook").click()
    page.get_by_label("Address").fill("http://10.0.0.1/hook")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_label("Address")).to_have_accessible_description(re.compile("not public|public"))
    page.get_by_label("Address").fill(f"http://127.0.0.1:{receiver.port}/hook")
    page.get_by_role("button", name="Save").click()
    assert secret(page).startswith("whsec_")
    page.get_by_role("link", name="Done").click()
    page.get_by_role("link", name="Send a test").click()
    page.get_by_role("button", name="Send it now").click()
    expect(page.locator("[data-live]")).to_contain_text("The receiver answered 500.")
    page.get_by_role("link", name="Deliver it again").click()
    page.get_by_role("button", name="Deliver it again").click()
    expect(page.locator("[data-live]")).to_contain_text("delivered")
    assert axe(page) == []
    assert len(receiver.received) == 2


def test_a_budget_stops_at_what_the_chart_shows(live: Stack, console: Callable[..., Page], images: Path) -> None:
    workspace_id = live.demo["workspace_id"]
    live.sql(USED, workspace_id)
    page = console("/console/budgets/new/")
    whose = [page.get_by_label("The person"), page.get_by_label("The agent")]
    for scope, shown in (("One person", [True, False]), ("One agent", [False, True]), ("The whole", [False, False])):
        page.get_by_label(scope).check()
        assert [field.is_visible() for field in whose] == shown
    page.get_by_label("Tokens").fill("3500000")
    page.get_by_role("button", name="Set the budget").click()
    expect(page.get_by_role("region", name="Budgets")).to_contain_text("of 3,500,000")
    page.goto(f"{live.base_url}/console/usage/?period=30&in=tokens")
    expect(page.get_by_role("img", name=re.compile("tokens by day: the most is"))).to_be_visible()
    page.screenshot(path=images / "console-usage.png", full_page=True)
    page.set_viewport_size(PHONE)
    expect(page.locator("svg.chart rect").last).to_be_in_viewport()
    page.set_viewport_size(WIDE)
    page.get_by_text("The same as a table").click()
    expect(page.get_by_role("region", name="as a table")).to_be_visible()


def test_a_call_is_judged_that_nobody_makes(console: Callable[..., Page], axe: Callable[[Page], list[str]]) -> None:
    page = console("/console/policies/try/")
    page.get_by_label("Tool").select_option("service_restart")
    page.get_by_label("Arguments").fill('{"service": "web"}')
    page.get_by_role("button", name="Judge it").click()
    expect(page.locator(".verdict")).to_contain_text("It would")
    assert axe(page) == []


def test_every_section_can_be_used_by_everybody_and_on_a_phone(
    console: Callable[..., Page], images: Path, axe: Callable[[Page], list[str]], tmp_path: Path
) -> None:
    page = console()
    for name in SECTIONS:
        page.get_by_role("navigation", name="Console").get_by_role("link", name=name, exact=True).click()
        expect(page.locator("[aria-current=page]", has_text=name)).to_be_visible()
        assert axe(page) == [], name
        folder = images if name in PICTURED else tmp_path
        page.screenshot(path=folder / f"console-{name.lower().replace(' ', '-')}.png")
    dark = console("/console/", dark=True)
    phone = console("/console/", size=PHONE)
    for name in SECTIONS:
        for one, kind in ((dark, "dark"), (phone, "phone")):
            one.get_by_role("navigation", name="Console").get_by_role("link", name=name, exact=True).click()
            expect(one.locator("[aria-current=page]", has_text=name)).to_be_visible()
            assert axe(one) == [], (name, kind)
            assert one.evaluate("document.documentElement.scrollWidth") <= one.viewport_size["width"]
            one.screenshot(path=tmp_path / f"{name.lower().replace(' ', '-')}-{kind}.png")


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_every_form_can_be_filled_in_by_everybody(
    console: Callable[..., Page], axe: Callable[[Page], list[str]], tmp_path: Path, size: Any
) -> None:
    page = console(size=size)
    for path in FORMS:
        page.goto(urljoin(page.url, f"/console/{path}/"))
        assert axe(page) == [], path
        assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"], path
        page.screenshot(path=tmp_path / f"{path.replace('/', '-')}.png", full_page=True)
    page.goto(urljoin(page.url, "/console/agents/"))
    page.get_by_role("link", name="Change Hestia").click()
    assert axe(page) == []
    page.screenshot(path=tmp_path / "agent.png", full_page=True)


def test_a_manager_looks_and_has_no_button_that_is_not_theirs(console: Callable[..., Page]) -> None:
    page = console("/console/members/", who="manager")
    expect(page.get_by_role("heading", level=1)).to_have_text("Members")
    expect(page.get_by_role("link", name="Invite somebody")).to_have_count(0)
    expect(page.get_by_role("link", name="Remove")).to_have_count(0)
    page = console("/console/", who="member")
    expect(page.locator("main")).to_contain_text("Ask an admin of the workspace.")
