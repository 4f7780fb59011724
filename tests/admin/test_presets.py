"""Well-known services, chosen when a provider is made in the admin."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from accounts.models import Role, Workspace
from agents.models import Provider
from tests.admin.conftest import Home, url

Staff = Callable[[Role], Client]


def form_of(here: Home, **changes: object) -> dict[str, Any]:
    base = {"workspace": here[Workspace].pk, "name": "mine", "kind": "openai", "base_url": "", "priority": "5"}
    return {**base, "enabled": "on", "api_key": "k-0123456789", **changes}


@pytest.mark.parametrize(
    ("preset", "stored"),
    [
        ("mistral", ("https://api.mistral.ai/v1", "mistral-small-latest", False)),
        ("openrouter", ("https://openrouter.ai/api/v1", "openrouter/auto", True)),
        ("lm-studio", ("http://127.0.0.1:1234/v1", "", False)),
    ],
)
def test_a_preset_fills_in_what_was_left_empty(here: Home, staff: Staff, preset: str, stored: tuple) -> None:
    assert staff(Role.ADMIN).post(url(Provider, "add"), form_of(here, preset=preset)).status_code == 302
    row = Provider.objects.get(name="mine")
    assert (row.base_url, row.default_model, row.any_model) == stored


def test_what_was_filled_in_holds_against_the_preset(here: Home, staff: Staff) -> None:
    form = form_of(here, preset="openrouter", base_url="http://proxy.lan/v1", default_model="own")
    assert staff(Role.ADMIN).post(url(Provider, "add"), form).status_code == 302
    row = Provider.objects.get(name="mine")
    assert (row.base_url, row.default_model, row.any_model) == ("http://proxy.lan/v1", "own", False)


@pytest.mark.parametrize("changes", [{"preset": "nobody"}, {"preset": "groq", "kind": "anthropic"}, {"preset": ""}])
def test_a_preset_that_does_not_fit_is_refused(here: Home, staff: Staff, changes: dict[str, str]) -> None:
    assert staff(Role.ADMIN).post(url(Provider, "add"), form_of(here, **changes)).status_code == 200
    assert not Provider.objects.filter(name="mine").exists()


def test_ollama_needs_no_address(here: Home, staff: Staff) -> None:
    assert staff(Role.ADMIN).post(url(Provider, "add"), form_of(here, kind="ollama")).status_code == 302
    assert Provider.objects.get(name="mine").kind == "ollama"


def test_it_is_chosen_when_the_provider_is_made_and_not_later(here: Home, staff: Staff) -> None:
    client = staff(Role.ADMIN)
    assert 'name="preset"' in client.get(url(Provider, "add")).text
    assert 'name="preset"' not in client.get(url(Provider, "change", here[Provider].pk)).text
    assert staff(Role.MANAGER).get(url(Provider, "change", here[Provider].pk)).status_code == 200
