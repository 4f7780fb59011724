"""Signing in as people do: on the page, with Django's test client, over HTTP, or in a real browser."""

from typing import Any

import httpx
from django.test import Client
from playwright.sync_api import Page

LOGIN = "/account/login/"


def post(email: str, password: str, *, client: Client | None = None, **more: Any) -> Any:
    """What the page answers; its browser is the answer's `client`."""
    return (client or Client()).post(LOGIN, {"login": email, "password": password}, **more)


def browser(email: str, password: str) -> Client:
    """A browser in which that was tried."""
    client = Client()
    post(email, password, client=client)
    return client


def over_http(http: httpx.Client, base_url: str, login: dict[str, str]) -> bool:
    """Sign in over HTTP; whether it worked."""
    http.get(base_url + LOGIN)
    data = {"login": login["email"], "password": login["password"]}
    data["csrfmiddlewaretoken"] = http.cookies.get("csrftoken", "")
    return http.post(base_url + LOGIN, data=data).status_code == 302


def on_page(page: Page, base_url: str, login: dict[str, str], target: str = "/") -> None:
    """Sign in by hand, and go on to the target."""
    page.goto(f"{base_url}{LOGIN}?next={target}")
    page.get_by_label("E-mail address").fill(login["email"])
    page.get_by_label("Password").fill(login["password"])
    page.get_by_role("button", name="Sign in", exact=True).click()
