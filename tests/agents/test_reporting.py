"""To whom an agent reports: said by admins, kept with its versions, and nobody of another workspace."""

import pytest

from accounts.models import Group
from agents.models import Agent
from agents.services import reporting
from approvals.models import AuditEvent
from core.errors import Invalid

AGENTS = "/v1/ai/agents"
UNKNOWN = "neither the e-mail address of a member of this workspace nor a group's name"


@pytest.fixture
def admin(owner, client_of):
    return client_of(owner)


@pytest.fixture
def made(admin):
    """An agent as the API gives it."""
    answer = admin.post(AGENTS, {"name": "Guard", "kind": "manager", "task": "Look."})
    assert answer.status_code == 201, answer.content
    return answer.json()


@pytest.fixture
def ops(workspace, member) -> Group:
    group = Group.objects.create(workspace=workspace, name="Ops")
    group.members.set([member.user])
    return group


def test_an_agent_reports_to_a_member_or_a_group(admin, made, member, ops):
    at = f"{AGENTS}/{made['id']}"
    assert made["reports_to"] == ""
    assert admin.patch(at, {"reports_to": " Member@HOME.example"}).json()["reports_to"] == "member@home.example"
    changed = admin.patch(at, {"reports_to": "Ops"}).json()
    assert (changed["reports_to"], changed["version"]) == ("Ops", 3)
    assert AuditEvent.objects.filter(type="agent.changed", target_id=made["id"]).count() == 3
    assert admin.patch(at, {"reports_to": ""}).json()["reports_to"] == ""


@pytest.mark.parametrize("name", ["stranger@elsewhere.example", "nobody@home.example", "Elsewhere", "ops"])
def test_who_is_not_there_and_who_is_elsewhere_are_refused_alike(admin, made, stranger, ops, name):
    Group.objects.create(workspace=stranger.workspace, name="Elsewhere")
    answer = admin.patch(f"{AGENTS}/{made['id']}", {"reports_to": name})
    assert answer.status_code == 400
    assert answer.json()["errors"] == [{"field": "reports_to", "code": "unknown_person", "message": UNKNOWN}]
    assert Agent.objects.get(pk=made["id"]).reports_to == ""


def test_an_older_version_is_said_again_while_its_group_is_there(admin, made, ops):
    at = f"{AGENTS}/{made['id']}"
    admin.patch(at, {"reports_to": "Ops"})
    admin.patch(at, {"reports_to": ""})
    assert admin.post(f"{at}/restore", {"number": 2}).json()["reports_to"] == "Ops"
    admin.patch(at, {"reports_to": ""})
    ops.delete()
    assert admin.post(f"{at}/restore", {"number": 2}).status_code == 400


def test_a_group_that_is_gone_keeps_nobody_from_another_change(admin, made, ops):
    at = f"{AGENTS}/{made['id']}"
    admin.patch(at, {"reports_to": "Ops"})
    ops.delete()
    assert admin.patch(at, {"task": "Look again."}).json()["reports_to"] == "Ops"


def test_a_file_names_nobody_of_the_workspace_that_it_comes_from(admin, made, ops):
    at = f"{AGENTS}/{made['id']}"
    admin.patch(at, {"reports_to": "Ops"})
    file = admin.get(f"{at}/export").json()
    assert "reports_to" not in file["agent"]
    assert admin.post(f"{AGENTS}/import", {"file": file, "rename": "other"}).json()["reports_to"] == ""


def test_managers_and_members_do_not_say_it(made, member, manager, client_of):
    for one in (member, manager):
        answer = client_of(one).patch(f"{AGENTS}/{made['id']}", {"reports_to": one.user.email})
        assert answer.status_code == 403


def test_who_left_or_is_switched_off_is_not_written_to(workspace, member, manager, ops):
    ops.members.add(manager.user)
    assert reporting.people(workspace.pk, "Ops") == [member.user, manager.user]
    member.membership.delete()
    manager.user.is_active = False
    manager.user.save()
    assert reporting.people(workspace.pk, "Ops") == reporting.people(workspace.pk, manager.user.email) == []


def test_a_group_that_is_too_large_is_refused(workspace, member, manager, ops, monkeypatch):
    ops.members.add(manager.user)
    monkeypatch.setattr(reporting, "MOST", 1)
    with pytest.raises(Invalid, match="more than 1 members"):
        reporting.people(workspace.pk, "Ops")
