"""Groups of approvers, in the admin and through their service."""

from collections.abc import Callable

import pytest
from django.test import Client

from accounts.models import Actor, Group, Role, User, Workspace
from accounts.services import groups
from approvals.models import AuditEvent, Policy
from tests.cast import person

LIST = "/admin/accounts/group/"


@pytest.fixture
def browser() -> Callable[[Actor], Client]:
    def make(actor: Actor) -> Client:
        User.objects.filter(pk=actor.user.pk).update(is_staff=True)
        client = Client()
        client.force_login(actor.user)
        return client

    return make


def told() -> list[str]:
    return list(AuditEvent.objects.order_by("pk").values_list("type", flat=True))


def test_an_admin_makes_changes_and_deletes_a_group_and_the_log_is_told(
    owner: Actor, manager: Actor, workspace: Workspace, browser: Callable[[Actor], Client]
) -> None:
    client = browser(owner)
    form = {"workspace": workspace.pk, "name": "On call", "members": [manager.user.pk]}
    assert client.post(f"{LIST}add/", form).status_code == 302
    group = Group.objects.get()
    assert list(group.members.all()) == [manager.user]
    assert client.post(f"{LIST}{group.pk}/change/", {"name": "Nights", "members": []}).status_code == 302
    assert (Group.objects.get().name, group.members.count()) == ("Nights", 0)
    assert client.post(f"{LIST}{group.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not Group.objects.exists()
    assert told() == ["group.changed"] * 3


def test_people_of_another_workspace_are_no_choice(
    owner: Actor, stranger: Actor, workspace: Workspace, browser: Callable[[Actor], Client]
) -> None:
    client = browser(owner)
    assert stranger.user.email not in client.get(f"{LIST}add/").text
    form = {"workspace": workspace.pk, "name": "On call", "members": [stranger.user.pk]}
    assert client.post(f"{LIST}add/", form).status_code == 200
    with pytest.raises(groups.Invalid):
        groups.save(Group(workspace=workspace, name="On call"), members=[stranger.user.pk], by=owner)
    assert not Group.objects.exists()


def test_only_an_admin_of_the_workspace_changes_its_groups(
    owner: Actor, manager: Actor, workspace: Workspace, other_workspace: Workspace, browser: Callable[[Actor], Client]
) -> None:
    group = groups.save(Group(workspace=workspace, name="On call"), members=[], by=owner)
    boss = person(other_workspace, "boss", Role.ADMIN)
    for actor in (manager, boss):
        with pytest.raises(groups.MayNotGroup):
            groups.save(group, members=[], by=actor)
        with pytest.raises(groups.MayNotGroup):
            groups.delete(group, by=actor)
    assert browser(manager).post(f"{LIST}{group.pk}/change/", {"name": "Mine"}).status_code == 403
    assert Group.objects.get().name == "On call"


def test_a_group_that_a_policy_escalates_to_stays(owner: Actor, workspace: Workspace) -> None:
    group = groups.save(Group(workspace=workspace, name="On call"), members=[], by=owner)
    Policy.objects.create(workspace=workspace, name="Restarts", escalate_to=group)
    with pytest.raises(groups.GroupInUse):
        groups.delete(group, by=owner)
    assert Group.objects.exists()
    assert told() == ["group.changed"]
