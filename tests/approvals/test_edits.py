"""Edits: other arguments are another request, which nobody has voted on yet."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from approvals.models import Approval, Decision, OutboxItem
from approvals.services import approvals
from approvals.services.admission import DigestMismatch, FreshPasswordRequired
from approvals.services.deciding import EditNotAllowed
from approvals.services.rights import NotAnApprover
from core.errors import Invalid
from tests.approvals.calling import LIST
from tests.approvals.desk import EditDenied, events, request, terms, untouched

APPROVE, REJECT, RESPOND = Decision.APPROVE, Decision.REJECT, Decision.RESPOND


def test_an_edit_is_a_new_artefact_on_which_its_editor_has_voted(desk, member, manager):
    asked = request(desk, member)
    changed = {"service": "billing-test"}
    done = approvals.decide(asked.pk, by=manager, decision=APPROVE, digest=asked.digest, arguments=changed)
    assert (done.status, done.version, done.arguments) == ("approved", 2, changed)
    assert done.proposed_arguments == {"service": "billing"}
    assert done.digest == desk.matters[asked.subject_id].digest != asked.digest
    assert done.preview["sentence"] == "Restart billing-test."
    assert done.policy_version == 2
    assert done.votes.get().digest == done.digest
    assert events(asked) == ["requested", "edited", "approved"]


def test_an_edit_makes_earlier_votes_void(desk, member, manager, colleague, owner):
    asked = request(desk, member, quorum_approve=2)
    approvals.decide(asked.pk, by=manager, decision=APPROVE)
    edited = approvals.decide(asked.pk, by=colleague, decision=APPROVE, arguments={"service": "mail"})
    assert (edited.status, edited.version) == ("pending", 2)
    assert desk.heard == []
    with pytest.raises(DigestMismatch):
        approvals.decide(asked.pk, by=manager, decision=APPROVE, digest=asked.digest)
    again = approvals.decide(asked.pk, by=owner, decision=APPROVE, arguments={"service": "web"})
    assert (again.status, again.version, again.proposed_arguments) == ("pending", 3, {"service": "billing"})
    done = approvals.decide(asked.pk, by=manager, decision=APPROVE, digest=again.digest)
    assert (done.status, done.arguments) == ("approved", {"service": "web"})
    assert sorted(done.votes.values_list("user__name", "void")) == [
        ("Colleague", True), ("Manager", False), ("Manager", True), ("Owner", False)
    ]  # fmt: skip


def test_a_list_says_who_decided_and_who_changed_what(desk, member, manager, colleague, owner, manage):
    """Also of what waits, and of what was changed twice; all of it with no more queries for more of them."""

    def told(asked: Approval) -> tuple[list[str], str, dict[str, Any]]:
        [row] = [one for one in manage.get(LIST, {"status": "all"}).json()["approvals"] if one["id"] == str(asked.pk)]
        return [one["name"] for one in row["deciders"]], row["edited"]["by"]["name"], row["edited"]["arguments"]

    asked = request(desk, member, quorum_approve=2)
    approvals.decide(asked.pk, by=manager, decision=APPROVE, arguments={"service": "mail"})
    assert told(asked) == ([], "Manager", {"service": "mail"})
    approvals.decide(asked.pk, by=colleague, decision=APPROVE, arguments={"service": "web"})
    approvals.decide(asked.pk, by=owner, decision=APPROVE)
    assert told(asked) == (["Colleague", "Owner"], "Colleague", {"service": "web"})
    with CaptureQueriesContext(connection) as few:
        told(asked)
    for name in ("a", "b", "c"):
        done = request(desk, member)
        approvals.decide(done.pk, by=manager, decision=APPROVE, arguments={"service": name})
    with CaptureQueriesContext(connection) as many:
        assert told(done) == (["Manager"], "Manager", {"service": "c"})
    assert len(many) == len(few)
    refused = request(desk, member)
    approvals.decide(refused.pk, by=manager, decision=REJECT, reason="No.")
    row = manage.get(LIST, {"status": "rejected"}).json()["approvals"][0]
    assert ([one["name"] for one in row["deciders"]], row["edited"]) == (["Manager"], None)


def test_an_edit_that_changes_nothing_is_a_plain_approval(desk, member, manager):
    asked = request(desk, member, editable=False)
    done = approvals.decide(asked.pk, by=manager, decision=APPROVE, arguments={"service": "billing"})
    assert (done.status, done.version, done.proposed_arguments) == ("approved", 1, None)


def test_a_value_of_another_type_is_an_edit(desk, member, manager):
    asked = request(desk, member, editable=False, call={"arguments": {"force": True}})
    with pytest.raises(EditNotAllowed):
        approvals.decide(asked.pk, by=manager, decision=APPROVE, arguments={"force": 1})


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"service": 5}, Invalid),
        ({}, Invalid),
        ({"service": "a", "more": 1}, Invalid),
        ({"service": "vault"}, EditDenied),
    ],
)
def test_an_edit_that_does_not_fit_has_no_effect(desk, member, manager, arguments, error):
    asked = request(desk, member)
    with pytest.raises(error):
        approvals.decide(asked.pk, by=manager, decision=APPROVE, arguments=arguments)
    assert untouched(asked)
    assert desk.current(asked)[0] == asked.digest
    assert events(asked) == ["requested"]


def test_nobody_edits_where_the_policy_forbids_it_or_while_rejecting(desk, member, manager):
    asked = request(desk, member, editable=False)
    with pytest.raises(EditNotAllowed):
        approvals.decide(asked.pk, by=manager, decision=APPROVE, arguments={"service": "mail"})
    with pytest.raises(Invalid, match="arguments"):
        approvals.decide(asked.pk, by=manager, decision=REJECT, reason="No.", arguments={"service": "mail"})
    assert untouched(asked)


def test_an_edit_is_decided_on_the_terms_that_policy_has_for_it(desk, member, manager, colleague):
    asked = request(desk, member)
    desk.asks = {"core": terms(policy="Core", quorum_approve=2)}
    edited = approvals.decide(asked.pk, by=manager, decision=APPROVE, arguments={"service": "core"})
    assert (edited.status, edited.policy_name, edited.terms["quorum_approve"]) == ("pending", "Core", 2)
    assert events(asked) == ["requested", "edited", "voted"]
    told = OutboxItem.objects.filter(topic="email", payload__edited=True).values_list("target", flat=True)
    assert set(told) == {manager.user.email, colleague.user.email}
    assert approvals.decide(asked.pk, by=colleague, decision=APPROVE).status == "approved"


@pytest.mark.parametrize(
    ("changes", "error"), [({"roles": ("admin",)}, NotAnApprover), ({"fresh_password": True}, FreshPasswordRequired)]
)
def test_nobody_edits_what_they_may_not_decide_on_then(desk, member, manager, changes, error):
    asked = request(desk, member)
    desk.asks = {"core": terms(**changes)}
    with pytest.raises(error):
        approvals.decide(asked.pk, by=manager, decision=APPROVE, arguments={"service": "core"})
    assert untouched(asked)
    assert approvals.decide(request(desk, member).pk, by=manager, decision=APPROVE).status == "approved"
