"""What an approval's page says of the action that it is about: how it stands, what it waits for, what came of it."""

import re

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import Role, User
from approvals import kinds
from approvals.models import Approval, Decision
from approvals.services import approvals
from chat.models import Action
from chat.services import execution, verdicts
from chat.services.execution import Outcome
from tests.cast import person

RESTART = ("service_restart", {"service": "web"})


def of(run):
    rows = list(Action.objects.filter(run=run).order_by("place"))
    return rows, [Approval.objects.get(pk=row.approval_id) for row in rows]


def deed(approval):
    return kinds.of(approval.kind).context(approval).deed


def approve(approval, by, **more):
    given = {"decision": Decision.APPROVE, **more}
    return approvals.decide(approval.pk, by=by, **given)


@pytest.fixture
def page(manager):
    """What the page of an approval says to a person who is let into the admin."""

    def read(approval, by=manager):
        User.objects.filter(pk=by.user.pk).update(is_staff=True)
        client = Client()
        client.force_login(by.user)
        return client, client.get(reverse("admin:approvals_approval_change", args=[approval.pk])).text

    return read


def test_it_waits_for_a_decision_then_for_the_others_of_its_step(step, manager):
    _, (first, second, third) = of(step(RESTART, RESTART, RESTART))
    assert deed(first).state == "It waits for a decision."
    approve(first, manager)
    assert deed(first).state == "Allowed; it waits for 2 other calls of this step."
    approve(second, manager)
    assert deed(first).state == "Allowed; it waits for 1 other call of this step."
    approve(third, manager)
    assert deed(first).state == "It runs next, unless a kill switch or the last check holds it."


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (Outcome(True, "restarted", "web is up"), "It ran and succeeded."),
        (Outcome(False, "no", "web is up"), "It failed."),
    ],
)
def test_it_says_what_came_of_it(step, manager, outcome, state):
    _, (approval,) = of(step(RESTART))
    approve(approval, manager)
    taken, _ = execution.claim("test", limit=10)
    assert deed(approval).state == "It runs now."
    execution.settle(taken[0], outcome)
    assert (deed(approval).state, deed(approval).summary) == (state, "web is up")


def test_what_nobody_knows_is_said_as_that_and_so_is_what_was_given_up(step, manager):
    (action,), (approval,) = of(step(RESTART))
    Action.objects.filter(pk=action.pk).update(state="unknown", attempt=1)
    assert deed(approval).state == "It may have run: nobody knows, until a manager has looked and says so."
    verdicts.resolve(action.pk, by=manager, resolution="abandoned")
    assert deed(approval).state == "It was given up: nobody knows whether it ran."


def test_what_did_not_run_is_said_to_have_not(step, manager):
    _, (rejected, answered) = of(step(RESTART, RESTART))
    approve(rejected, manager, decision=Decision.REJECT, reason="Not now.")
    approve(answered, manager, decision=Decision.RESPOND, response="I did.")
    assert (deed(rejected).state, deed(rejected).summary) == ("It did not run.", "refused: Not now.")
    assert deed(answered).state == "It did not run: a person answered in its place."


def test_who_may_see_the_approval_is_led_to_the_action_and_sees_the_others(step, workspace, page):
    (action, other), (approval, _) = of(step(RESTART, RESTART))
    client, text = page(approval, person(workspace, "auditor", Role.AUDITOR))
    address = reverse("admin:chat_action_change", args=[action.pk])
    assert re.search(rf'It waits for a decision\.\s+<a class="text-link" href="{address}">Open the action', text)
    assert client.get(address).status_code == 200
    beside = text.split("Other calls of the same run")[1]
    assert str(other.pk) in beside
    assert str(action.pk) not in beside


def test_the_open_page_is_told_too(step, manager, page):
    _, (approval,) = of(step(RESTART))
    client, _ = page(approval)
    approve(approval, manager)
    standing = client.get(reverse("admin:approvals_approval_standing", args=[approval.pk])).text
    assert "It runs next" in standing
