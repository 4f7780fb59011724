"""In the console policies are put in order and switched, as they stand by then."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection, transaction

from accounts.models import Workspace
from accounts.services import members
from approvals.models import AuditEvent, Effect, Policy, PolicyVersion
from approvals.services import policies

pytestmark = pytest.mark.django_db


@pytest.fixture
def three(owner, workspace):
    """Three policies, in this order."""
    made = [Policy(workspace=workspace, name=name, priority=100, tool=f"{name}_*") for name in ("a", "b", "c")]
    for policy in made:
        policies.save(policy, by=owner)
    return made


def names() -> list[str]:
    return list(Policy.objects.order_by("priority", "name").values_list("name", flat=True))


def test_policies_stand_in_plain_words(console, owner, workspace):
    policies.save(
        Policy(workspace=workspace, name="Big sums", tool="pay", agent="bank", risks=["external"],
               condition="args.sum > 100.0", quorum_approve=2), by=owner,
    )  # fmt: skip
    text = console.get("/console/policies/").content.decode()
    assert (
        "Ask managers for 2 votes within 1 d, when the agent bank calls pay, of risk external, if args.sum &gt; 100.0."
        in text
    )


def test_a_policy_is_put_before_another_in_one_version(console, three):
    version, path = PolicyVersion.objects.count(), f"/console/policies/{three[2].pk}/earlier/"
    assert "Put c before b" in console.get(path).content.decode()
    assert console.post(path, {"before": three[1].pk}).status_code == 302
    assert names() == ["a", "c", "b"]
    assert PolicyVersion.objects.count() == version + 1
    console.post(f"/console/policies/{three[0].pk}/earlier/", {"before": three[1].pk})
    assert names() == ["a", "c", "b"], "the first is the first already"


def test_a_policy_passes_the_one_that_was_shown_and_no_other(console, three):
    path = f"/console/policies/{three[2].pk}/earlier/"
    for status in (302, 409):
        answer = console.post(path, {"before": three[1].pk})
        assert answer.status_code == status
        assert names() == ["a", "c", "b"], "pressed twice, it passes one"
    text = answer.content.decode()
    assert "Look at it again" in text
    assert "Put c before a" in text
    assert f'name="before" value="{three[0].pk}"' in text, "pressed now, it does what the page says"
    assert console.post(path, {"before": "nothing"}).status_code == console.post(path).status_code == 400


@pytest.mark.django_db(transaction=True)
def test_who_changes_the_order_puts_nothing_back_that_another_changed_meanwhile(console, owner, three):
    with ThreadPoolExecutor(1) as threads:
        with transaction.atomic():
            Workspace.objects.select_for_update(no_key=True).get(pk=owner.workspace.pk)
            moving = threads.submit(
                in_thread(console.post), f"/console/policies/{three[2].pk}/earlier/", {"before": three[1].pk}
            )
            until_somebody_waits()
            denied = Policy.objects.get(name="a")
            denied.effect = Effect.DENY
            policies.save(denied, by=owner)
            policies.switch(three[1].pk, enabled=False, by=owner)
        assert moving.result(20).status_code == 302
    assert names() == ["a", "c", "b"]
    assert Policy.objects.get(name="a").effect == Effect.DENY
    assert not Policy.objects.get(name="b").enabled


def test_a_rule_that_asks_somebody_who_left_is_moved_and_switched_off_and_not_on(console, owner, three, member):
    policies.save(three[0], people=[member.user.pk], by=owner)
    members.remove(member.membership, by=owner.user)
    assert console.post(f"/console/policies/{three[1].pk}/earlier/", {"before": three[0].pk}).status_code == 302
    assert names() == ["b", "a", "c"]
    path = f"/console/policies/{three[0].pk}/switch/"
    assert console.post(path, {"to": "off"}).status_code == 302
    on = console.post(path, {"to": "on"})
    assert (on.status_code, "a: approver_people: each is a member" in on.content.decode()) == (400, True)
    assert not Policy.objects.get(name="a").enabled


def test_a_rule_whose_last_approver_is_gone_can_still_be_switched_off(console, owner, three, member):
    three[0].approver_roles = []
    policies.save(three[0], people=[member.user.pk], by=owner)
    three[0].approver_people.clear()  # as the erasure of a person does
    assert console.post(f"/console/policies/{three[0].pk}/switch/", {"to": "off"}).status_code == 302
    assert console.post(f"/console/policies/{three[0].pk}/switch/", {"to": "on"}).status_code == 400


def test_every_policy_but_the_first_can_be_put_earlier(console, owner):
    for number in range(27):
        Policy.objects.create(workspace=owner.workspace, name=f"p{number:02}", priority=number)
    first, second = (console.get("/console/policies/", {"page": page}).text.count("/earlier/") for page in (1, 2))
    assert (first, second) == (24, 2)


def test_a_policy_is_switched_off_and_on(console, three):
    path = f"/console/policies/{three[0].pk}/switch/"
    for to, enabled in (("off", False), ("off", False), ("on", True)):
        console.post(path, {"to": to})
        assert Policy.objects.get(name="a").enabled is enabled
    assert AuditEvent.objects.filter(type="policy.changed").count() > 3
    assert console.post(path).status_code == console.post(path, {"to": "elsewhere"}).status_code == 400
    assert Policy.objects.get(name="a").enabled, "what does not say to which side switches nothing"


def in_thread(call: Callable[..., Any]) -> Callable[..., Any]:
    """The call, by a thread that leaves no connection behind."""

    def run(*args: Any) -> Any:
        try:
            return call(*args)
        finally:
            connection.close()

    return run


def until_somebody_waits() -> None:
    """Wait until another connection waits for a lock."""
    waiting, end = (
        "SELECT pg_stat_clear_snapshot(), count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'",
        time.monotonic() + 20,
    )
    with connection.cursor() as cursor:
        while time.monotonic() < end:
            cursor.execute(waiting)
            if cursor.fetchone()[1]:
                return
    raise AssertionError("nobody waits")
