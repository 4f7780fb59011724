"""An identity provider that fails, and strangers at its door: what is told, what is counted, how long it may take."""

from typing import Any

import httpx
import pytest
from django.test import Client

from approvals.models import AuditEvent
from tests.accounts.at_provider import BEGIN, FAILED, claims, go, signed_in

CONFIGURATION = "/.well-known/openid-configuration"


def back_of(client: Client) -> str:
    begun = client.get(BEGIN)
    there: str = httpx.get(begun["Location"], trust_env=False).headers["Location"]
    return there.removeprefix("http://testserver")


def test_a_provider_that_is_away_on_the_way_back_is_told_in_words_and_in_the_log(provider, member):
    provider.person = claims(member.user.email)
    client = Client()
    back = back_of(client)
    provider.down = frozenset({CONFIGURATION})
    answer = client.get(back)
    assert (answer.status_code, FAILED in answer.text) == (401, True)
    assert signed_in(client) is None
    assert AuditEvent.objects.filter(type="login.failed").count() == 1


@pytest.mark.parametrize("amount", ["", "?code=1&state=2", "?error=access_denied"])
def test_who_comes_back_from_nowhere_leaves_nothing_in_the_log(provider, db, amount):
    assert Client().get(f"{BEGIN}callback/{amount}").status_code == 401
    provider.down = frozenset({CONFIGURATION})
    assert Client().get(BEGIN).status_code == 401
    assert not AuditEvent.objects.exists()


def test_one_address_asks_the_provider_so_often_and_no_more(provider, member, settings):
    settings.LIMITS = {**settings.LIMITS, "login": 1}
    provider.person = claims(member.user.email)
    told = [Client().get(f"{BEGIN}callback/").status_code for _ in range(10)]
    assert told == [401] * 10
    refused = Client().get(BEGIN, headers={"Accept": "text/html"})
    assert refused.status_code == 429
    assert 0 < int(refused["Retry-After"]) <= 60
    assert Client().get(BEGIN, REMOTE_ADDR="10.1.2.3").status_code == 302


@pytest.mark.parametrize("path", [CONFIGURATION, "/token", "/keys"])
def test_an_answer_that_trickles_is_not_waited_for(provider, member, settings, path):
    settings.SOCIALACCOUNT_REQUESTS_TIMEOUT = 1
    provider.person, provider.slow = claims(member.user.email), frozenset({path})
    client = Client()
    answer = client.get(BEGIN) if path == CONFIGURATION else go(client)
    assert (answer.status_code, FAILED in answer.text) == (401, True)
    assert signed_in(client) is None


def test_an_answer_that_is_too_large_is_not_read(provider, member):
    def huge(told: dict[str, Any]) -> None:
        told["more"] = "x" * 1_100_000

    provider.person, provider.amend = claims(member.user.email), huge
    assert go(Client()).status_code == 401
