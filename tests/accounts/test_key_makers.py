"""A key that was shown to somebody else than its person: nobody countersigns what they asked for themselves by it."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client

from accounts.models import Actor, ApiKey, Role, User
from accounts.services import keys
from agents.brain import Choice
from agents.models import Agent
from agents.providers.base import ProviderSpec, ToolCall
from approvals.models import Approval, AuditEvent, AuditPayload, Decision, Effect, Grant, Policy
from approvals.services import approvals, policies, rights
from chat.models import Action, Run
from chat.services import conversations, leases, proposing, runs
from companions.models import Companion
from tests.cast import Api, person

REHEARSAL = Choice(ProviderSpec(name="rehearsal", kind="rehearsal"), "rehearsal")
APPROVE = {"decision": "approve"}


@pytest.fixture
def asked(workspace) -> Callable[..., Approval]:
    """Has an agent ask, in a message of this caller, whether it may restart a service."""
    agent = Agent.objects.create(workspace=workspace, slug="devops", name="Argus", tools=["service_restart"])
    devops = Companion.objects.create(workspace=workspace, type="devops", name="Argus", agent=agent)

    def ask(by: Actor, into=None) -> Approval:
        run = runs.start(into or conversations.new(devops, by=by), text="Restart web", by=by, choice=REHEARSAL)
        [claim] = [one for one in leases.claim("test", limit=10) if one.run_id == run.pk]
        call = ToolCall("call_1", "service_restart", {"service": "web"})
        step = {"run_id": run.pk, "attempt": claim.attempt, "number": 1, "seq": 10, "parts": [], "usage": None}
        proposing.propose(proposing.Step(**step, calls=[call]))
        return Approval.objects.get(run_id=run.pk)

    return ask


def key_of(actor: Actor, by: Actor | None, **given) -> tuple[Actor, Api]:
    """The caller with a key in their hand that `by` was shown, and its client."""
    _, text = keys.create(workspace=actor.workspace, user=actor.user, name="k", by=by and by.user, **given)
    return keys.verify(text), Api(text)


def decide(client: Api, approval: Approval) -> tuple[int, str]:
    answer = client.post(f"/v1/ai/approvals/{approval.pk}", APPROVE)
    return answer.status_code, answer.json().get("code", "")


def test_who_was_shown_a_key_is_kept_with_it(member, owner):
    made, _ = keys.create(workspace=member.workspace, user=member.user, name="k", by=owner.user)
    assert ApiKey.objects.get(pk=made.pk).created_by == owner.user
    own, _ = keys.rotate(made, grace=timedelta(hours=1), by=member.user)
    assert (own.created_by, own.maker) == (member.user, None)
    shown, _ = keys.rotate(own, grace=timedelta(hours=1), by=owner.user)
    assert (shown.created_by, shown.maker) == (owner.user, owner.user)
    unknown, _ = keys.create(workspace=member.workspace, user=member.user, name="k")
    assert (unknown.created_by, unknown.maker) == (None, None)


def test_the_admin_keeps_who_made_a_key(owner, member):
    User.objects.filter(pk=owner.user.pk).update(is_staff=True)
    browser = Client()
    browser.force_login(owner.user)
    form = {"workspace": owner.workspace.pk, "user": member.user.pk, "name": "New", "kind": "secret", "mode": "live"}
    browser.post("/admin/accounts/apikey/add/", form)
    made = ApiKey.objects.get(name="New")
    assert made.maker == owner.user
    assert owner.user.email in browser.get(f"/admin/accounts/apikey/{made.pk}/change/").text


def test_a_key_that_another_made_decides_nothing_and_ones_own_does(asked, owner, manager, workspace):
    asking = asked(owner)
    _, foreign = key_of(manager, owner, scopes=["approvals"])
    assert decide(foreign, asking) == (403, "key_of_another")
    tried = AuditEvent.objects.get(type="approval.denied_attempt", target_id=asking.pk)
    assert '"code":"key_of_another"' in AuditPayload.objects.get(event=tried).data
    _, by_a_third = key_of(person(workspace, "second", Role.MANAGER), manager, scopes=["approvals"])
    assert decide(by_a_third, asking) == (403, "key_of_another")
    asking.refresh_from_db()
    assert asking.status == "pending"
    _, own = key_of(manager, manager, scopes=["approvals"])
    assert decide(own, asking) == (200, "")


def test_a_key_of_before_and_one_by_the_persons_other_account_count_as_ones_own(asked, member, manager, workspace):
    _, before = key_of(manager, None, scopes=["approvals"])
    assert decide(before, asked(member)) == (200, "")
    second = person(workspace, "second", Role.ADMIN)
    User.objects.filter(pk=second.user.pk).update(same_person_as=manager.user)
    second.user.refresh_from_db()
    _, by_second = key_of(manager, second, scopes=["approvals"])
    assert decide(by_second, asked(member)) == (200, "")


def test_who_made_the_key_countersigns_nothing_that_is_asked_through_it(asked, owner, member, manager, workspace):
    with_key, _ = key_of(member, owner)
    asking = asked(with_key)
    assert Run.objects.get(pk=asking.run_id).behind == owner.user
    assert (asking.requested_by, asking.behind) == (member.user, owner.user)
    second = person(workspace, "second", Role.ADMIN)
    User.objects.filter(pk=second.user.pk).update(same_person_as=owner.user)
    second.user.refresh_from_db()
    for who in (owner, second, member):
        _, own = key_of(who, who, scopes=["approvals"])
        assert decide(own, asking) == (403, "requester")
    assert list(rights.asked(asking)) == [manager.user]
    assert set(rights.entitled(asking, [owner.user.pk, second.user.pk, manager.user.pk])) == {manager.user.pk}
    _, own = key_of(manager, manager, scopes=["approvals"])
    assert decide(own, asking) == (200, "")


def test_ones_own_key_leaves_everybody_else_to_decide(asked, owner, member):
    with_key, _ = key_of(member, member)
    asking = asked(with_key)
    assert asking.behind is None
    _, own = key_of(owner, owner, scopes=["approvals"])
    assert decide(own, asking) == (200, "")


def test_what_is_remembered_covers_nothing_that_is_asked_through_anothers_key(asked, owner, member, workspace):
    rule = Policy(workspace=workspace, name="Restarts", effect=Effect.ASK, may_remember=True, tool="service_restart")
    policies.save(rule, by=owner)
    asking = asked(member)
    conversation = Run.objects.get(pk=asking.run_id).conversation
    keep = approvals.Remember(minutes=60, count=5, arguments=None)
    approvals.decide(asking.pk, by=owner, decision=Decision.APPROVE, remember=keep)
    Run.objects.filter(pk=asking.run_id).update(state="completed", active=False)
    with_key, _ = key_of(member, owner)
    again = asked(with_key, into=conversation)
    assert (again.status, Grant.objects.get().uses_left) == ("pending", 5)
    assert Action.objects.get(approval_id=again.pk).state == "waiting"


def test_the_inbox_does_not_ask_who_made_the_key(asked, owner, member, manager):
    User.objects.update(is_staff=True)
    asking = asked(key_of(member, owner)[0])
    for who, is_asked in ((owner, False), (manager, True)):
        browser = Client()
        browser.force_login(who.user)
        page = browser.get("/admin/approvals/inbox/").text
        assert (str(asking.pk) in page) is is_asked
