"""People's own keys: theirs alone, never given back, and used for their messages and nobody else's."""

import dataclasses
from contextlib import ExitStack

import pytest

from accounts.models import Role
from agents import brain, environment, ownkeys
from agents.models import Provider, ProviderKey
from agents.providers.base import ProviderSpec
from agents.services import asking
from approvals.models import AuditEvent, AuditPayload
from tests.cast import person

SECRET = "sk-own-canary-0123456789"


@pytest.fixture
def upstream(server, settings):
    """OpenAI's address, as the settings have it; the workspace has no key for it."""
    settings.OPENAI_BASE_URL = server.base_url
    server.models = ["t5-i0"]
    return server


def bring(api, provider: str = "openai", **more):
    return api.post("/v1/ai/keys", {"provider": provider, "api_key": SECRET, **more})


def stored() -> list[str]:
    return list(ProviderKey.objects.values_list("provider", flat=True))


def test_a_key_comes_back_by_its_providers_name_alone(api, upstream):
    kept = bring(api)
    assert (kept.status_code, kept.json()["provider"]) == (201, "openai")
    listed = api.get("/v1/ai/keys")
    assert [key["provider"] for key in listed.json()["keys"]] == ["openai"]
    assert set(listed.json()["providers"]) >= {"openai", "anthropic", "google", "groq", "mistral", "deepseek"}
    assert SECRET not in kept.text + listed.text


def test_a_second_key_takes_the_place_of_the_first(api, upstream):
    bring(api)
    bring(api, api_key="sk-own-second-0123456789")
    assert ProviderKey.objects.get().api_key == "sk-own-second-0123456789"


def test_a_key_is_validated_where_that_is_asked(api, upstream):
    assert bring(api, validate=True).status_code == 201
    assert f"Bearer {SECRET}" in [request.headers.get("authorization") for request in upstream.requests]


def test_nothing_is_kept_of_a_key_that_the_provider_refuses(api, upstream):
    async def refuse(wire):
        await wire.whole(401, b'{"error": {"message": "Incorrect API key", "code": "invalid_api_key"}}')

    upstream.models_script = refuse
    answer = bring(api, validate=True)
    assert (answer.status_code, answer.json()["code"]) == (400, "key_refused")
    assert [error["field"] for error in answer.json()["errors"]] == ["api_key"]
    assert SECRET not in answer.text
    assert stored() == []


def test_nothing_is_kept_where_the_provider_cannot_be_asked(api, upstream):
    upstream.stop()
    answer = bring(api, validate=True)
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert stored() == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"provider": "nobody", "api_key": SECRET}, ""),
        ({"provider": "ollama", "api_key": SECRET}, ""),
        ({"provider": "openai"}, "api_key"),
        ({"provider": "openai", "api_key": ""}, "api_key"),
        ({"provider": "openai", "api_key": "two\r\nlines"}, "api_key"),
        ({"provider": "openai", "api_key": "x" * 4_001}, "api_key"),
        ({"provider": "openai", "api_key": SECRET, "base_url": "https://evil.example"}, "base_url"),
    ],
)
def test_what_does_not_fit_is_refused(api, upstream, body, field):
    answer = api.post("/v1/ai/keys", body)
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == ([field] if field else [])
    assert stored() == []


def test_an_unknown_provider_is_told_which_are_known(api):
    problem = bring(api, "nobody").json()
    assert problem["code"] == "unknown_provider"
    assert "anthropic" in problem["detail"]


def test_a_key_is_removed_by_its_person_alone(api, upstream, client_of, manager):
    bring(api)
    assert client_of(manager).delete("/v1/ai/keys/openai").status_code == 404
    assert client_of(manager).get("/v1/ai/keys").json()["keys"] == []
    assert api.delete("/v1/ai/keys/openai").status_code == 204
    assert api.delete("/v1/ai/keys/openai").status_code == 404


def test_a_persons_messages_go_with_their_own_key_and_nobody_elses_do(api, upstream, workspace, member, manager):
    assert brain.spec(workspace.pk, "openai", member.user.pk).api_key == ""
    bring(api)
    mine = brain.choose(workspace, asked="t5-i0", user_id=member.user.pk).provider
    assert (mine.name, mine.api_key, mine.own_key) == ("openai", SECRET, True)
    assert brain.spec(workspace.pk, "openai", member.user.pk) == mine
    for other in (manager.user.pk, None):
        theirs = brain.spec(workspace.pk, "openai", other)
        assert (theirs.api_key, theirs.own_key) == ("", False)
    api.delete("/v1/ai/keys/openai")
    assert brain.spec(workspace.pk, "openai", member.user.pk).api_key == ""


def test_a_key_opens_a_provider_that_the_workspace_has_not(workspace, member, manager):
    ProviderKey.objects.create(workspace=workspace, user=member.user, provider="deepseek", api_key=SECRET)
    names = [spec.name for spec in brain.providers(workspace.pk, member.user.pk)]
    assert names[0] == "deepseek"
    assert "deepseek" not in [spec.name for spec in brain.providers(workspace.pk, manager.user.pk)]


def test_a_key_goes_to_the_providers_own_address_whatever_the_workspace_calls_so(workspace, member):
    Provider.objects.create(workspace=workspace, name="groq", base_url="https://elsewhere.example/v1", api_key="k")
    ProviderKey.objects.create(workspace=workspace, user=member.user, provider="groq", api_key=SECRET)
    (groq,) = [spec for spec in brain.providers(workspace.pk, member.user.pk) if spec.name == "groq"]
    assert (groq.base_url, groq.api_key) == ("https://api.groq.com/openai/v1", SECRET)


def test_what_the_workspace_has_switched_off_stays_off(api, upstream, workspace, member):
    bring(api)
    Provider.objects.create(workspace=workspace, name="openai", base_url=upstream.base_url, enabled=False)
    assert "openai" not in [spec.name for spec in brain.providers(workspace.pk, member.user.pk)]
    again = bring(api)
    assert (again.status_code, again.json()["code"]) == (409, "provider_off")


def test_another_workspace_of_the_same_person_knows_nothing_of_it(api, upstream, member, other_workspace):
    bring(api)
    assert brain.spec(other_workspace.pk, "openai", member.user.pk).api_key == ""


def test_who_has_no_key_costs_a_message_no_query(workspace, member, django_assert_num_queries):
    brain.providers(workspace.pk, member.user.pk)
    with django_assert_num_queries(0):
        brain.providers(workspace.pk, member.user.pk)


def test_the_log_tells_of_a_key_and_nothing_shows_it(api, upstream, member):
    bring(api)
    api.delete("/v1/ai/keys/openai")
    found = AuditEvent.objects.filter(type__startswith="provider_key.").order_by("pk")
    assert [event.type for event in found] == ["provider_key.added", "provider_key.removed"]
    assert all(SECRET not in payload.data for payload in AuditPayload.objects.all())
    assert SECRET not in repr(ownkeys.of(member.workspace.pk, member.user.pk))
    assert SECRET not in repr(environment.with_key("openai", SECRET))


def test_an_admin_of_the_workspace_sees_no_other_persons_key(upstream, workspace, api, client_of):
    bring(api)
    boss = client_of(person(workspace, "boss", Role.ADMIN))
    assert boss.get("/v1/ai/keys").json()["keys"] == []


def test_a_provider_with_another_key_is_another_one():
    one = ProviderSpec("openai", "openai", api_key="a")
    assert len({one, dataclasses.replace(one, api_key="b"), dataclasses.replace(one, own_key=True)}) == 3


def test_keys_are_validated_a_few_at_a_time(api, upstream):
    with ExitStack() as taken:
        for _ in range(asking.MOST_ASKED):
            taken.enter_context(asking.place())
        answer = bring(api, validate=True)
    assert (answer.status_code, answer.json()["code"]) == (503, "too_many_asked")
    assert stored() == []
