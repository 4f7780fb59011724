"""Approvals over the API: the list, one with all that people decide by, and every spelling of a decision."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db.models.functions import Now
from rest_framework_simplejwt.tokens import RefreshToken

from accounts import limits
from accounts.services import keys, login
from approvals.models import Approval, AuditEvent, Grant, Vote
from core import ids
from tests.approvals.calling import LIST, problem, signed_in, url
from tests.approvals.desk import events, fresh, request
from tests.cast import PASSWORD, Api
from tests.contract.operations import check_answer


def test_one_is_told_with_all_that_people_decide_by(desk, member, manager, manage, client_of):
    asked = request(desk, member, quorum_approve=2)
    told = manage.get(url(asked)).json()
    assert (told["arguments"], told["digest"], told["preview"]) == (
        {"service": "billing"}, asked.digest, {"sentence": "Restart billing."}
    )  # fmt: skip
    assert (told["policy"], told["quorum"]) == ({"name": "Restarts", "version": 1}, {"approve": 2, "reject": 1})
    assert (told["may_decide"], told["why_not"], told["decisions"]) == (True, None, [])
    own = client_of(member).get(url(asked)).json()
    assert (own["may_decide"], own["why_not"]) == (False, "requester")
    after = manage.post(url(asked), {"decision": "approve", "reason": "Fine."}).json()
    (vote,) = after["decisions"]
    assert (vote["person"], vote["decision"], vote["reason"]) == (
        {"id": str(manager.user.pk), "name": "Manager"}, "approve", "Fine."
    )  # fmt: skip
    assert (after["status"], after["may_decide"], after["why_not"]) == ("pending", False, "already_voted")
    assert manage.get(url(asked)).json() == after


@pytest.mark.parametrize("method", ["post", "put", "patch"])
@pytest.mark.parametrize("body", [{"decision": "approve"}, {"action": "approve"}, {"approved": True}], ids=str)
def test_a_decision_has_several_spellings(desk, member, manage, method, body):
    asked = request(desk, member)
    answer = getattr(manage, method)(url(asked), {**body, "digest": asked.digest})
    assert answer.status_code == 200
    told = answer.json()
    assert (told["status"], told["decision"], told["why_not"]) == ("approved", "approve", "already_decided")
    assert fresh(asked).status == "approved"


@pytest.mark.parametrize("body", [{"decision": "reject"}, {"action": "reject"}, {"approved": False}], ids=str)
def test_so_has_a_rejection(desk, member, manage, body):
    asked = request(desk, member)
    assert problem(manage.post(url(asked), body), 400)["errors"][0]["field"] == "reason"
    told = manage.post(url(asked), {**body, "reason": "Not today."}).json()
    assert (told["status"], told["reason"]) == ("rejected", "Not today.")


NO_DECISION = [
    {}, {"decision": None}, {"decision": ""}, {"decision": "APPROVE "}, {"decision": "Approve"}, {"decision": True},
    {"decision": ["approve"]}, {"decision": {"approve": True}}, {"decision": 1}, {"approved": None},
    {"approved": "true"}, {"approved": 1}, {"action": "approved"}, {"decision": "approve", "action": "approve"},
    {"decision": "approve", "approved": True}, {"decision": "reject", "approved": True}, {"reason": "Fine."},
    {"decision": "approve", "args": {}}, {"decision": "approve", "status": "approved"},
    {"decision": "approve", "break_glass": True}, {"decision": "approve", "fresh": True},
    {"decision": "approve", "id": "x"}, {"decision": "approve", "decided_by": "x"},
    {"decision": "approve", "remember": {"for": 5}}, {"decision": "approve", "remember": {"minutes": 1441}},
    {"decision": "approve", "remember": {"count": 0}}, {"decision": "approve", "remember": True},
    {"decision": "approve", "arguments": []}, {"decision": "approve", "arguments": "{}"},
    {"decision": "approve", "response": "x"}, {"decision": "respond"}, {"decision": "respond", "response": " "},
    {"decision": "approve", "digest": ""}, {"decision": "approve", "digest": 5},
    {"decision": "approve", "reason": "x" * 2001},
]  # fmt: skip


@pytest.mark.parametrize("body", NO_DECISION, ids=lambda body: json.dumps(body)[:60])
def test_what_is_no_decision_is_refused_and_has_no_effect(desk, member, manage, body):
    asked = request(desk, member)
    problem(manage.post(url(asked), body), 400)
    assert (fresh(asked).status, Vote.objects.count(), events(asked)) == ("pending", 0, ["requested"])


def test_two_decisions_in_one_body_are_refused(desk, member, manage):
    asked = request(desk, member)
    problem(manage.post(url(asked), b'{"decision":"reject","reason":"No.","decision":"approve"}'), 400)
    problem(manage.post(url(asked), b""), 400)
    assert fresh(asked).status == "pending"


def test_each_refusal_has_its_status_and_code(desk, member, manager, manage, stranger, client_of):
    asked, other = request(desk, member), request(desk, member, call={"arguments": {"service": "mail"}})
    approve = {"decision": "approve"}
    assert problem(client_of(member).post(url(asked), approve), 403)["code"] == "requester"
    assert problem(client_of(manager).post(url(asked), approve), 403)["code"] == "scope_required"
    assert problem(client_of(stranger).post(url(asked), approve), 404)["code"] == "unknown_approval"
    assert problem(manage.post(f"{LIST}/{ids.new()}", approve), 404)["code"] == "unknown_approval"
    wrong = manage.post(url(asked), {**approve, "digest": other.digest})
    assert problem(wrong, 409)["code"] == "digest_mismatch"
    vault = manage.post(url(asked), {**approve, "arguments": {"service": "vault"}})
    assert problem(vault, 403)["code"] == "denied_by_policy"
    unfit = problem(manage.post(url(asked), {**approve, "arguments": {"a": 1}}), 400)
    assert unfit["errors"][0]["field"] == "arguments"
    assert problem(manage.post(url(asked), {**approve, "remember": {}}), 403)["code"] == "remember_not_allowed"
    assert fresh(asked).status == "pending"
    manage.post(url(asked), approve)
    late = problem(manage.post(url(asked), approve), 409)
    assert (late["code"], late["approval"]["status"]) == ("already_decided", "approved")
    assert late["approval"]["decided_by"] == {"id": str(manager.user.pk), "name": "Manager"}
    Approval.objects.filter(pk=other.pk).update(expires_at=Now() - timedelta(seconds=1))
    over = problem(manage.post(url(other), approve), 409)
    assert (over["code"], over["approval"]["status"]) == ("expired", "expired")
    assert fresh(other).status == "expired", "which stays, although the request was refused"


def test_an_attempt_by_the_person_behind_it_is_written_down_with_its_key(desk, member, client_of):
    asked = request(desk, member)
    problem(client_of(member).post(url(asked), {"decision": "approve"}), 403)
    tried = AuditEvent.objects.select_related("payload").get(type="approval.denied_attempt")
    told = json.loads(tried.payload.data)
    assert (tried.actor_id, told["code"], told["decision"]) == (member.user.pk, "requester", "approve")
    assert told["key"] == member.user.keys.get().public_id
    assert told["request_id"]


def test_a_key_decides_if_its_scopes_name_approvals(desk, member, manager):
    asked = request(desk, member)
    for scopes, status in ((["chat"], 403), ([], 403), (["approvals"], 200)):
        _, secret = keys.create(workspace=manager.workspace, user=manager.user, name="Tests", scopes=scopes)
        answer = Api(secret).post(url(asked), {"decision": "approve"})
        assert answer.status_code == status, scopes
        assert Api(secret).get(LIST).status_code == (403 if scopes == ["chat"] else 200)


def test_edit_respond_and_remember_have_fields_of_their_own(desk, member, manage):
    asked = request(desk, member, may_remember=True)
    body = {"decision": "approve", "arguments": {"service": "mail"}, "remember": {"minutes": 5, "count": 2}}
    told = manage.post(url(asked), body).json()
    assert (told["arguments"], told["proposed_arguments"], told["version"]) == (
        {"service": "mail"}, {"service": "billing"}, 2
    )  # fmt: skip
    grant = Grant.objects.get()
    assert (grant.arguments, grant.uses_left) == ({"service": "mail"}, 2)
    other = request(desk, member)
    told = manage.post(url(other), {"decision": "respond", "response": "It runs again."}).json()
    assert (told["status"], told["decision"], told["response"]) == ("approved", "respond", "It runs again.")


def test_a_fresh_password_is_a_sign_in_of_the_last_minutes(desk, member, manager):
    asked = request(desk, member, fresh_password=True)
    approve = {"decision": "approve"}
    _, secret = keys.create(workspace=manager.workspace, user=manager.user, name="Tests", scopes=["approvals"])
    for api in (Api(secret), signed_in(manager), signed_in(manager, timedelta(minutes=6))):
        assert problem(api.post(url(asked), approve), 403)["code"] == "fresh_password_required"
    assert fresh(asked).status == "pending"
    assert signed_in(manager, timedelta(minutes=4)).post(url(asked), approve).status_code == 200


def test_renewing_a_token_is_no_typing_of_the_password(db, member):
    tokens = login.sign_in(member.user.email, PASSWORD)
    assert login.is_fresh(tokens.access)
    old = RefreshToken(tokens.refresh)
    old["auth_time"] -= 301
    renewed = login.renew(str(old))
    assert not login.is_fresh(renewed.access)
    assert login.is_fresh(login.renew(login.sign_in(member.user.email, PASSWORD).refresh).access)
    assert not login.is_fresh("sk_live_cs_nothing")


def test_the_same_request_again_gives_the_same_answer(desk, member, manager, manage):
    asked, headers = request(desk, member), {"Idempotency-Key": "once"}
    first = manage.post(url(asked), {"decision": "approve"}, headers=headers)
    again = manage.post(url(asked), {"decision": "approve"}, headers=headers)
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json() == again.json()
    assert again["Idempotency-Replayed"] == "true"
    assert events(asked) == ["requested", "approved"]
    other = manage.post(url(asked), {"decision": "reject", "reason": "No."}, headers=headers)
    assert problem(other, 409)["code"] == "idempotency_mismatch"
    without = manage.post(url(asked), {"decision": "approve"})
    assert problem(without, 409)["code"] == "already_decided"


def test_a_decision_whose_answer_cannot_be_kept_is_none(desk, member, manage, monkeypatch):
    from accounts import idempotency  # noqa: PLC0415

    asked = request(desk, member)

    def lost(*_: Any) -> None:
        raise idempotency.ClaimLost

    monkeypatch.setattr(idempotency, "complete", lost)
    problem(manage.post(url(asked), {"decision": "approve"}, headers={"Idempotency-Key": "once"}), 409)
    assert (fresh(asked).status, events(asked)) == ("pending", ["requested"])


def test_decisions_are_counted_for_themselves(desk, member, manage, monkeypatch):
    monkeypatch.setitem(settings.LIMITS, "decide", 2)
    asked = request(desk, member)
    for _ in range(2):
        problem(manage.post(url(asked), {}), 400)
    refused = manage.post(url(asked), {"decision": "approve"})
    assert problem(refused, 429)["code"] == "rate_limited"
    problem(manage.post(f"{LIST}/bulk", {"ids": [str(asked.pk)], "decision": "approve"}), 429)
    assert manage.get(url(asked)).json()["status"] == "pending", "reading is counted elsewhere"


def test_decisions_that_cannot_be_counted_are_refused(desk, member, manage, monkeypatch):
    asked = request(desk, member)
    monkeypatch.setattr(limits, "breaker", limits._Breaker(pause=60))
    limits.breaker.failed()
    answer = manage.post(url(asked), {"decision": "approve"})
    assert (answer.status_code, fresh(asked).status) == (503, "pending")
    assert manage.get(url(asked)).status_code == 200


def test_several_are_decided_at_once_each_for_itself(desk, member, manager, manage):
    first, second, own = request(desk, member), request(desk, member), request(desk, manager)
    gone = ids.new()
    manage.post(url(second), {"decision": "reject", "reason": "No."})
    wanted = [str(first.pk), str(second.pk), str(own.pk), str(gone)]
    answer = manage.post(f"{LIST}/bulk", {"ids": wanted, "decision": "approve"})
    assert answer.status_code == 207
    told = answer.json()["results"]
    assert [one["id"] for one in told] == wanted
    assert [one["status"] for one in told] == [200, 409, 403, 404]
    assert [one["error"] and one["error"]["code"] for one in told] == [
        None, "already_decided", "requester", "unknown_approval"
    ]  # fmt: skip
    assert told[0]["approval"]["status"] == "approved"
    assert [fresh(one).status for one in (first, second, own)] == ["approved", "rejected", "pending"]


def test_a_lot_sent_again_gives_its_first_answer(desk, member, manage):
    asked, headers = request(desk, member), {"Idempotency-Key": "lot"}
    body = {"ids": [str(asked.pk)], "decision": "approve"}
    first, again = (manage.post(f"{LIST}/bulk", body, headers=headers) for _ in range(2))
    assert (first.status_code, again.status_code) == (207, 207)
    assert first.json() == again.json()
    assert again["Idempotency-Replayed"] == "true"


def test_what_is_no_lot_is_refused(desk, member, manage):
    first, other = request(desk, member), request(desk, member, call={"tool": "light_switch"})
    one = [str(first.pk)]
    for body in (
        {"ids": [], "decision": "approve"},
        {"ids": one * 2, "decision": "approve"},
        {"ids": [str(first.pk), str(other.pk)], "decision": "approve"},
        {"ids": [str(ids.new()) for _ in range(101)], "decision": "approve"},
        {"ids": one, "decision": "reject"},
        {"ids": one, "decision": "respond", "reason": "x"},
        {"ids": one},
        {"ids": ["x"], "decision": "approve"},
        {"ids": one, "decision": "approve", "digest": first.digest},
    ):
        problem(manage.post(f"{LIST}/bulk", body), 400)
    assert Vote.objects.count() == 0


def test_the_answers_are_those_of_the_schema(desk, member, manage):
    asked, other = request(desk, member, quorum_approve=2), request(desk, member)
    check_answer("GET /v1/ai/approvals", 200, manage.get(LIST).json())
    check_answer("GET /v1/ai/approvals/{approval_id}", 200, manage.get(url(asked)).json())
    body = {"decision": "approve", "arguments": {"service": "mail"}}
    for method in ("POST", "PUT", "PATCH"):
        told = manage.generic(method, url(request(desk, member)), json.dumps(body), "application/json")
        check_answer(f"{method} /v1/ai/approvals/{{approval_id}}", 200, told.json())
    lot = {"ids": [str(other.pk), str(ids.new())], "decision": "approve"}
    check_answer("POST /v1/ai/approvals/bulk", 207, manage.post(f"{LIST}/bulk", lot).json())
    check_answer("GET /v1/ai/approvals", 200, manage.get(LIST, {"status": "all"}).json())


def test_a_role_that_reads_only_decides_nothing(desk, member, auditor):
    asked = request(desk, member)
    api = signed_in(auditor)
    assert api.get(url(asked)).json()["why_not"] == "role_required"
    assert problem(api.post(url(asked), {"decision": "approve"}), 403)["code"] == "role_required"
