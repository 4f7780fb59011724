"""The page of the API in a real Chromium: a dialect is picked, a key given, an operation tried."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from accounts.models import Actor
from accounts.services import keys
from companions.models import Companion
from config.documents import DIALECTS

pytestmark = pytest.mark.timeout(240)


def test_a_person_picks_a_dialect_and_tries_it_with_a_key(
    served: str, open_page: Callable[..., Page], member: Actor, smart_home: Companion
):
    _, secret = keys.create(workspace=member.workspace, user=member.user, name="Docs", scopes=["chat"])
    page = open_page()
    page.goto(f"{served}/api/docs/")
    expect(page.locator("h1")).to_contain_text("Countersign")
    picker = page.locator(".topbar select")
    assert picker.locator("option").all_inner_texts() == ["All dialects", *(one.title for one in DIALECTS)]
    picker.select_option(label="OpenAI")
    expect(page.locator("h1")).to_contain_text("Countersign: OpenAI")
    page.get_by_role("button", name="Authorize").first.click()
    page.locator(".dialog-ux input[type=text], .dialog-ux input[type=password]").first.fill(secret)
    page.locator(".dialog-ux button.authorize").first.click()
    page.locator(".dialog-ux button.btn-done").first.click()
    models = page.locator("#operations-openai-openai_models_list")
    models.locator("button.opblock-summary-control").click()
    models.get_by_role("button", name="Try it out").click()
    models.get_by_role("button", name="Execute").click()
    expect(models.locator(".live-responses-table tr.response .response-col_status")).to_contain_text("200")
    expect(models.locator(".live-responses-table")).to_contain_text(f"companion/{smart_home.type}")
