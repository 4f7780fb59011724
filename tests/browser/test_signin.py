"""Signing in, in a real Chromium: a password, a passkey of a virtual key, an app's codes, and how it looks."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.contrib.auth.hashers import make_password
from playwright.sync_api import Page, expect

from accounts.models import Actor, User, Workspace
from config.bootstrap import BASE_DIR
from tests import signing_in
from tests.accounts.test_second_factor import code_of
from tests.cast import PASSWORD

pytestmark = pytest.mark.timeout(240)
PHONE = {"width": 390, "height": 844}
# A key that is built in, and asks for a finger that is always the right one.
VIRTUAL_KEY = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


@pytest.fixture
def at(served: str) -> str:
    """The address by name: keys belong to names, not to numbers."""
    return served.replace("127.0.0.1", "localhost")


@pytest.fixture
def somebody(member: Actor) -> dict[str, str]:
    """The member's login."""
    User.objects.filter(pk=member.user.pk).update(password=make_password(PASSWORD))
    return {"email": member.user.email, "password": PASSWORD}


def with_key(page: Page) -> Any:
    """Plug a virtual key into the browser."""
    session = page.context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    session.send("WebAuthn.addVirtualAuthenticator", {"options": VIRTUAL_KEY})
    return session


def sign_in(page: Page, at: str, somebody: dict[str, str], target: str = "/account/") -> None:
    signing_in.on_page(page, at, somebody, target)


def confirm(page: Page) -> None:
    """Type the password again where it is asked for."""
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Confirm").click()


def test_a_wrong_password_is_told_and_the_right_one_leads_on(at, open_page: Callable[..., Page], somebody):
    page = open_page()
    sign_in(page, at, {**somebody, "password": "wrong"})
    expect(page.get_by_role("alert")).to_contain_text("are not correct")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_label("Password").press("Enter")
    expect(page).to_have_url(f"{at}/account/")
    expect(page.get_by_role("heading", name="Sign-in and security")).to_be_visible()
    expect(page.locator("main")).to_contain_text(somebody["email"])


def test_somebody_adds_a_passkey_and_signs_in_with_nothing_else(at, open_page: Callable[..., Page], somebody):
    page = open_page()
    key = with_key(page)
    sign_in(page, at, somebody, "/account/2fa/webauthn/add/")
    confirm(page)
    page.get_by_label("Passwordless").check()
    page.get_by_role("button", name="Add the key").click()
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    assert Authenticator.objects.filter(type=Authenticator.Type.WEBAUTHN).count() == 1
    page.goto(f"{at}/account/logout/")
    page.get_by_role("main").get_by_role("button", name="Sign out").click()
    page.goto(f"{at}/account/login/?next=/account/sessions/")
    page.get_by_role("button", name="Sign in with a passkey").click()
    expect(page).to_have_url(f"{at}/account/sessions/")
    key.send("WebAuthn.disable")


def test_a_workspace_that_requires_it_leads_there_and_then_lets_go_on(
    at, open_page: Callable[..., Page], somebody, member: Actor
):
    Workspace.objects.update(require_mfa=True)
    page = open_page()
    sign_in(page, at, somebody, "/admin/")
    expect(page).to_have_url(f"{at}/account/2fa/")
    expect(page.get_by_role("status")).to_contain_text("requires two-factor sign-in")
    page.get_by_role("link", name="Set up an app").click()
    confirm(page)
    secret = page.get_by_label("Authenticator secret").input_value()
    page.get_by_label("Authenticator code").fill(code_of(secret))
    page.get_by_role("button", name="Set up the app").click()
    expect(page.get_by_label("Unused codes")).to_be_visible()
    assert member.user.email
    page.get_by_label("I have saved my recovery codes").check()
    page.get_by_role("link", name="Done").click()
    expect(page).to_have_url(f"{at}/account/2fa/")
    page.goto(f"{at}/admin/")
    assert "/account/2fa/" not in page.url


PICTURES = {
    "login": ("/account/login/", False),
    "reset": ("/account/password/reset/", False),
    "overview": ("/account/", True),
    "password": ("/account/password/change/", True),
    "2fa": ("/account/2fa/", True),
    "totp": ("/account/2fa/totp/activate/", True),
    "sessions": ("/account/sessions/", True),
    "webauthn": ("/account/2fa/webauthn/add/", True),
}


@pytest.mark.skipif("SCREENSHOTS" not in os.environ, reason="pictures for the documentation, made when asked for")
@pytest.mark.parametrize("look", ["light", "dark", "phone"])
def test_pictures(at, open_page: Callable[..., Page], somebody, member: Actor, look: str):
    folder = Path(os.environ["SCREENSHOTS"]) if "/" in os.environ["SCREENSHOTS"] else BASE_DIR / "docs" / "images"
    page = open_page(dark=look == "dark", size=PHONE if look == "phone" else {"width": 1280, "height": 800})
    for name in [name for name, (_, inside) in PICTURES.items() if not inside]:
        page.goto(at + PICTURES[name][0])
        page.screenshot(path=folder / f"signin-{name}-{look}.png")
    sign_in(page, at, {**somebody, "password": "wrong"})
    page.screenshot(path=folder / f"signin-wrong-{look}.png")
    sign_in(page, at, somebody, "/account/2fa/totp/activate/")
    page.screenshot(path=folder / f"signin-confirm-{look}.png")
    confirm(page)
    for name in [name for name, (_, inside) in PICTURES.items() if inside]:
        page.goto(at + PICTURES[name][0])
        page.screenshot(path=folder / f"signin-{name}-{look}.png", full_page=True)
    TOTP.activate(member.user, generate_totp_secret())
    page.goto(f"{at}/account/2fa/")
    page.screenshot(path=folder / f"signin-2fa-on-{look}.png", full_page=True)
    page.context.clear_cookies()
    sign_in(page, at, somebody)
    page.screenshot(path=folder / f"signin-code-{look}.png")
