"""Policies in the admin: written through the service, tried before that, and every version to be seen."""

import datetime
from collections.abc import Callable
from typing import Any

import pytest
from django import forms
from django.test import Client

from accounts.models import Actor, Group, Role, Workspace
from approvals.admin.policies import SpanField
from approvals.models import AuditEvent, Policy, PolicyVersion
from approvals.services import policies
from tests.approvals.desk import Desk, fresh, request
from tests.cast import person

LIST = "/admin/approvals/policy/"
Browser = Callable[[Actor], Client]
Committed = Callable[..., Any]


def form_of(workspace: Workspace, **changes: Any) -> dict[str, Any]:
    """What an admin fills in."""
    return {
        "workspace": str(workspace.pk), "name": "Restarts", "description": "", "enabled": "on", "effect": "ask",
        "priority": "10", "tool": "service_*", "agent": "*", "companion": "*", "condition": "",
        "quorum_approve": "2", "quorum_reject": "1", "approver_roles": ["manager"], "request_lasts": "2 h",
        "approval_lasts": "1 h 30 min", "most_per_run": "10", "editable": "on", **changes,
    }  # fmt: skip


def test_an_admin_makes_changes_and_deletes_a_policy_and_each_is_a_version(
    owner: Actor, workspace: Workspace, browser: Browser
) -> None:
    client = browser(owner)
    group = Group.objects.create(workspace=workspace, name="On call")
    form = form_of(workspace, approver_groups=[group.pk], approver_people=[owner.user.pk], risks=["write"])
    assert client.post(f"{LIST}add/", form).status_code == 302
    policy = Policy.objects.get()
    assert (policy.request_lasts, policy.approval_lasts) == (
        datetime.timedelta(hours=2),
        datetime.timedelta(minutes=90),
    )
    assert list(policy.approver_groups.all()) == [group]
    rules = policies.current(workspace.pk)
    assert (rules.version, rules.rules[0].ask.quorum_approve, rules.rules[0].ask.groups) == (1, 2, (group.pk,))
    page = client.get(f"{LIST}{policy.pk}/change/").text
    assert 'value="2 h"' in page
    assert 'value="1 h 30 min"' in page
    del form["approver_groups"]
    assert client.post(f"{LIST}{policy.pk}/change/", {**form, "quorum_approve": "3"}).status_code == 302
    assert policies.current(workspace.pk).rules[0].ask.quorum_approve == 3
    assert not policy.approver_groups.exists()
    assert client.post(f"{LIST}{policy.pk}/delete/", {"post": "yes"}).status_code == 302
    assert policies.current(workspace.pk).rules == ()
    assert PolicyVersion.objects.count() == 3
    told = AuditEvent.objects.filter(type__startswith="policy.").order_by("pk").values_list("type", flat=True)
    assert list(told) == ["policy.changed", "policy.changed", "policy.deleted"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [({"condition": "args.service =="}, "condition"), ({"quorum_approve": "0"}, "quorum"),
     ({"request_lasts": "soon"}, "A time such as"), ({"request_lasts": ""}, "required"),
     ({"escalate_after": "5 min"}, "escalate"), ({"effect": "maybe"}, "valid choice"),
     ({"risks": ["none"]}, "valid choice"), ({"priority": "-1"}, "greater than or equal")],
)  # fmt: skip
def test_a_rule_that_could_not_hold_is_refused_in_the_form(
    changes: dict[str, Any], told: str, owner: Actor, workspace: Workspace, browser: Browser
) -> None:
    for more in ({}, {"_simulate": "1"}):
        page = browser(owner).post(f"{LIST}add/", form_of(workspace, **changes, **more))
        assert page.status_code == 200
        assert told in page.text
    assert not Policy.objects.exists()


def test_groups_and_people_of_another_workspace_are_refused(
    owner: Actor, workspace: Workspace, stranger: Actor, other_workspace: Workspace, browser: Browser
) -> None:
    foreign = Group.objects.create(workspace=other_workspace, name="Theirs")
    client = browser(owner)
    for changes in ({"approver_groups": [foreign.pk]}, {"approver_people": [stranger.user.pk]}):
        assert client.post(f"{LIST}add/", form_of(workspace, **changes)).status_code == 200
    assert "Theirs" not in client.get(f"{LIST}add/").text
    assert stranger.user.email not in client.get(f"{LIST}add/").text
    assert client.post(f"{LIST}add/", form_of(other_workspace)).status_code == 200
    assert not Policy.objects.exists()


def test_two_policies_of_one_name_are_refused(owner: Actor, workspace: Workspace, browser: Browser) -> None:
    client = browser(owner)
    client.post(f"{LIST}add/", form_of(workspace))
    assert client.post(f"{LIST}add/", form_of(workspace)).status_code == 200
    assert Policy.objects.count() == 1


def test_managers_and_auditors_read_and_change_nothing(
    owner: Actor, manager: Actor, auditor: Actor, workspace: Workspace, browser: Browser
) -> None:
    browser(owner).post(f"{LIST}add/", form_of(workspace))
    policy = Policy.objects.get()
    for actor in (manager, auditor):
        client = browser(actor)
        page = client.get(f"{LIST}{policy.pk}/change/")
        assert page.status_code == 200
        assert "_simulate" not in page.text
        for more in ({}, {"_simulate": "1"}, {"_again": "1"}):
            for address in (f"{LIST}add/", f"{LIST}{policy.pk}/change/", f"{LIST}{policy.pk}/delete/"):
                sent = {**form_of(workspace, name="Mine"), "post": "yes", **more}
                assert client.post(address, sent).status_code == 403
    assert Policy.objects.get().name == "Restarts"


def test_a_change_supersedes_what_waits_and_would_be_judged_otherwise(
    desk: Desk,
    owner: Actor,
    member: Actor,
    workspace: Workspace,
    browser: Browser,
    django_capture_on_commit_callbacks: Committed,
) -> None:
    approval = request(desk, member)
    with django_capture_on_commit_callbacks(execute=True):
        browser(owner).post(f"{LIST}add/", form_of(workspace, effect="deny"))
    assert fresh(approval).status == "superseded"


def test_a_simulation_tells_what_would_change_and_stores_nothing(
    owner: Actor, workspace: Workspace, browser: Browser
) -> None:
    client = browser(owner)
    page = client.post(f"{LIST}add/", form_of(workspace, _simulate="1", _days="30"))
    assert page.status_code == 200
    assert "of 0 calls would be judged otherwise" in " ".join(page.text.replace("</b>", "").split())
    assert "the last 30 days" in " ".join(page.text.split())
    assert not Policy.objects.exists()
    again = client.post(f"{LIST}add/", form_of(workspace, _again="1"))
    assert 'value="Restarts"' in again.text
    assert not Policy.objects.exists()
    saved = client.post(f"{LIST}add/", form_of(workspace, _save="1"))
    assert (saved.status_code, Policy.objects.count()) == (302, 1)


def test_a_version_shows_its_rules_and_what_changed(owner: Actor, workspace: Workspace, browser: Browser) -> None:
    client = browser(owner)
    client.post(f"{LIST}add/", form_of(workspace))
    client.post(f"{LIST}{Policy.objects.get().pk}/change/", form_of(workspace, quorum_approve="3"))
    listed = client.get("/admin/approvals/policyversion/").text
    assert "version 2" in listed
    version = PolicyVersion.objects.get(version=2)
    page = client.get(f"/admin/approvals/policyversion/{version.pk}/change/").text
    assert 'class="plus"' in page
    assert page.count('class="minus"') == 1


def test_policies_of_other_workspaces_are_not_seen(
    owner: Actor, workspace: Workspace, other_workspace: Workspace, browser: Browser
) -> None:
    boss = person(other_workspace, "boss", Role.ADMIN)
    browser(boss).post(f"{LIST}add/", form_of(other_workspace, name="Theirs"))
    policy, version = Policy.objects.get(), PolicyVersion.objects.get()
    client = browser(owner)
    assert "Theirs" not in client.get(LIST).text
    for address in (f"{LIST}{policy.pk}/change/", f"/admin/approvals/policyversion/{version.pk}/change/"):
        assert client.get(address).status_code == 302
    for more in ({}, {"_simulate": "1"}):
        assert client.post(f"{LIST}{policy.pk}/change/", form_of(workspace, **more)).status_code in (302, 403)
    assert Policy.objects.get().name == "Theirs"


@pytest.mark.parametrize(
    ("text", "seconds"), [("24 h", 86_400), ("1 d 2 h", 93_600), (" 90 min ", 5_400), ("1h 30min", 5_400), ("", None)]
)
def test_times_are_read_as_people_write_them(text: str, seconds: int | None) -> None:
    wanted = None if seconds is None else datetime.timedelta(seconds=seconds)
    assert SpanField(required=False).clean(text) == wanted


@pytest.mark.parametrize("text", ["x", "5", "5 hours", "-1 h", "1 h x", "999999999 d", "1,5 h"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(forms.ValidationError):
        SpanField().clean(text)
