"""An agent as one JSON file, from one workspace into another."""

import pytest

from accounts.models import Role
from agents.models import Agent, Skill

AGENTS = "/v1/ai/agents"


@pytest.fixture
def admin(owner, client_of):
    return client_of(owner)


@pytest.fixture
def file(admin):
    made = admin.post(AGENTS, {"name": "Iris", "instructions": "Help.", "tools": ["device_list"], "tone": "dry"}).json()
    admin.patch(f"{AGENTS}/{made['id']}", {"autonomy": "autonomous"})
    return admin.get(f"{AGENTS}/{made['id']}/export").json()


def test_an_agent_goes_from_one_workspace_into_another_and_is_trusted_anew(file, stranger, client_of):
    stranger.membership.role = Role.ADMIN
    stranger.membership.save()
    theirs = client_of(stranger)
    made = theirs.post(f"{AGENTS}/import", {"file": file})
    assert made.status_code == 201, made.content
    assert (made.json()["slug"], made.json()["autonomy"], made.json()["tone"]) == ("iris", "advisor", "dry")
    assert theirs.get(f"{AGENTS}/{made.json()['id']}/export").json() == file


def test_a_slug_that_is_taken_is_told_and_another_may_be_sent(admin, file):
    taken = admin.post(f"{AGENTS}/import", {"file": file})
    assert (taken.status_code, taken.json()["code"]) == (409, "agent_exists")
    assert admin.post(f"{AGENTS}/import", {"file": file, "rename": "iris-2"}).json()["slug"] == "iris-2"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"format": "other"}, "format"),
        ({"format_version": 2}, "format_version"),
        ({"more": 1}, "more"),
        ({"agent": []}, "agent"),
        ({"agent": {"autonomy": "autonomous"}}, "agent.autonomy"),
        ({"agent": {"slug": "a b", "name": "A"}}, "agent.slug"),
        ({"agent": {"slug": "a"}}, "agent.name"),
        ({"agent": {"slug": "a", "name": "A", "tools": ["no_such"]}}, "tools"),
        ({"agent": {"slug": "a", "name": "A", "tools": 5}}, "tools"),
        ({"agent": {"slug": "a", "name": "A", "tools": [5]}}, "tools"),
        ({"agent": {"slug": "a", "name": "A", "skills": [["x"]]}}, "skills"),
        ({"agent": {"slug": "a", "name": "A", "skills": ["no-such"]}}, "skills"),
        ({"agent": {"slug": "a", "name": "A", "kind": "king"}}, "kind"),
        ({"agent": {"slug": "a", "name": "A", "kind": ["king"]}}, "kind"),
        ({"agent": {"slug": "a", "name": "A", "schedule": "x"}}, "schedule"),
        ({"agent": {"slug": "a", "name": "A", "instructions": 5}}, "instructions"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_by_the_field(admin, file, change, field):
    answer = admin.post(
        f"{AGENTS}/import",
        {"file": {**file, **change}, "rename": "a"} if "slug" not in str(field) else {"file": {**file, **change}},
    )
    assert answer.status_code == 400, answer.content
    assert answer.json()["errors"][0]["field"] == field
    assert Agent.objects.count() == 1


def test_only_managers_export_and_only_admins_import(file, api, manager, client_of):
    agent = Agent.objects.get()
    assert api.get(f"{AGENTS}/{agent.pk}/export").status_code == 403
    assert client_of(manager).get(f"{AGENTS}/{agent.pk}/export").status_code == 200
    assert client_of(manager).post(f"{AGENTS}/import", {"file": file, "rename": "b"}).status_code == 403


def test_what_another_workspace_has_is_not_to_be_named(admin, file, other_workspace):
    Skill.objects.create(workspace=other_workspace, slug="theirs", name="Theirs")
    file["agent"]["skills"] = ["theirs"]
    answer = admin.post(f"{AGENTS}/import", {"file": file, "rename": "b"})
    assert answer.json()["errors"][0]["code"] == "unknown_skill"
