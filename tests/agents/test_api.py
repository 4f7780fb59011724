"""GET /agents, /models and /preferences, PUT /preferences/model."""

import pytest

from agents.models import Agent


@pytest.mark.parametrize("path", ["agents", "models", "preferences"])
@pytest.mark.parametrize("slash", ["", "/"])
def test_each_path_needs_a_caller_and_works_with_and_without_a_slash(api, client, path, slash):
    assert client.get(f"/v1/ai/{path}{slash}").status_code == 401
    assert api.get(f"/v1/ai/{path}{slash}").status_code == 200


def test_agents_are_those_of_the_workspace(api, smart_home, other_workspace):
    Agent.objects.create(workspace=other_workspace, slug="theirs", name="Theirs")
    assert api.get("/v1/ai/agents").json() == {
        "agents": [
            {
                "id": str(smart_home.agent_id),
                "slug": "smart-home",
                "name": "Hestia",
                "description": "",
                "kind": "companion",
                "capabilities": [],
                "tools": [],
                "autonomy": "advisor",
                "status": "active",
            }
        ]
    }


def test_agents_need_the_brain(api, settings):
    settings.REHEARSAL = False
    answer = api.get("/v1/ai/agents")
    assert (answer.status_code, answer.json()["code"]) == (503, "brain_unavailable")


def test_models_are_those_of_providers_that_answer(api, server, settings):
    settings.OPENAI_BASE_URL = server.base_url
    server.models = ["gpt-4o"]
    models = api.get("/v1/ai/models").json()["models"]
    assert models[0] == {
        "id": "gpt-4o",
        "provider": "openai",
        "capabilities": ["chat", "tools", "vision"],
        "tier": "free",
        "context_window": 128000,
        "price": None,
    }
    assert models[1]["price"] == {"input": 0.0, "output": 0.0}


def test_a_preferred_model_is_kept_and_can_be_dropped(api, member):
    kept = api.put("/v1/ai/preferences/model", {"model": "rehearsal-reasoning"})
    assert (kept.status_code, kept.json()) == (200, {"model": "rehearsal-reasoning", "budget": None})
    assert api.get("/v1/ai/preferences").json()["model"] == "rehearsal-reasoning"
    assert api.put("/v1/ai/preferences/model", {"model": None}).json()["model"] is None
    member.membership.refresh_from_db()
    assert member.membership.preferred_model == ""


def test_a_model_that_nobody_has_cannot_be_preferred(api, member, workspace):
    workspace.allow_fallback = True
    workspace.save()
    answer = api.put("/v1/ai/preferences/model", {"model": "gpt-4o"})
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_model")
    member.membership.refresh_from_db()
    assert member.membership.preferred_model == ""


@pytest.mark.parametrize(
    "body", [{}, {"model": 5}, {"model": ["a"]}, {"model": "x" * 201}, {"model": "rehearsal", "more": 1}, [], "x", None]
)
def test_what_is_no_preference_is_refused(api, body):
    answer = api.put("/v1/ai/preferences/model", body)
    assert answer.status_code == 400, answer.content


def test_a_preference_is_one_persons(api, client_of, manager):
    api.put("/v1/ai/preferences/model", {"model": "rehearsal-reasoning"})
    assert client_of(manager).get("/v1/ai/preferences").json()["model"] is None
