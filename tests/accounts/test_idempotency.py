"""`Idempotency-Key`: once done, twice answered; and never done by two."""

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.db.models import F

from accounts import idempotency
from accounts.idempotency import Claim, InFlight, Mismatch, Replay, abandon, begin, complete
from accounts.models import IdempotentRequest, Workspace
from core.errors import Invalid

pytestmark = pytest.mark.urls("tests.accounts.urls")

DIGEST = hashlib.sha256(b"body").digest()
OTHER = hashlib.sha256(b"other body").digest()


def aged(by: timedelta) -> None:
    IdempotentRequest.objects.update(created_at=F("created_at") - by)


def work(api, body, key="k1", path="/v1/work/one"):
    return api.post(path, {"slug": "made", **body}, headers={"Idempotency-Key": key})


def made() -> int:
    return Workspace.objects.filter(slug__startswith="made").count()


def test_the_same_request_again_gives_the_first_answer_and_does_nothing(api):
    first, second = work(api, {}), work(api, {})
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert "Idempotency-Replayed" not in first
    assert second["Idempotency-Replayed"] == "true"
    assert made() == 1
    assert work(api, {}, path="/v1/work/one/")["Idempotency-Replayed"] == "true"


def test_the_same_key_with_another_request_is_a_conflict(api):
    work(api, {})
    for response in (
        work(api, {"slug": "made-2"}),
        work(api, {}, path="/v1/work/two"),
        work(api, {}, path="/v1/work/one?x=1"),
    ):
        assert (response.status_code, response.json()["code"]) == (409, "idempotency_mismatch")
    assert made() == 1


def test_a_key_belongs_to_its_person_and_endpoint(api, client_of, owner):
    assert work(api, {}).status_code == 201
    assert work(client_of(owner), {"slug": "made-2"}).status_code == 201
    assert work(api, {"slug": "made-3"}, path="/v1/other").status_code == 201
    assert made() == 3


@pytest.mark.parametrize("body", [{"refuse": True}, {"slug": "made-x", "status": 422}])
def test_a_refusal_frees_the_key(api, body):
    assert work(api, body).status_code in (409, 422)
    assert work(api, {"slug": "made-y"}).status_code == 201


def test_a_fault_frees_the_key(api):
    assert work(api, {"slug": "made-x", "fail": True}).status_code == 500
    assert work(api, {"slug": "made-y"}).status_code == 201


def test_an_answer_kept_by_the_work_itself_outlasts_a_later_fault(api):
    body = {"in_transaction": True, "fail": True}
    assert work(api, body).status_code == 500
    again = work(api, body)
    assert (again.status_code, again["Idempotency-Replayed"]) == (201, "true")
    assert made() == 1


@pytest.mark.parametrize("key", ["", "x" * 256, "line\nbreak", "é", "\x00"])
def test_a_key_that_is_no_short_printable_text_is_refused(member, key):
    with pytest.raises(Invalid):
        begin(member, key, "e", DIGEST)


def test_a_key_of_255_characters_is_taken(member):
    assert isinstance(begin(member, "x" * 255, "e", DIGEST), Claim)


def test_while_the_first_is_under_way_others_wait(member):
    claim = begin(member, "k", "e", DIGEST)
    with pytest.raises(InFlight):
        begin(member, "k", "e", DIGEST)
    with pytest.raises(Mismatch):
        begin(member, "k", "e", OTHER)
    complete(claim, 200, {"a": 1})
    assert begin(member, "k", "e", DIGEST) == Replay(200, {"a": 1})
    abandon(claim)
    assert begin(member, "k", "e", DIGEST) == Replay(200, {"a": 1})


def test_a_claim_whose_process_died_is_taken_over_and_the_dead_cannot_answer(member):
    dead = begin(member, "k", "e", DIGEST)
    aged(timedelta(seconds=61))
    living = begin(member, "k", "e", DIGEST)
    assert isinstance(living, Claim)
    with pytest.raises(idempotency.ClaimLost):
        complete(dead, 200, "dead")
    abandon(dead)
    complete(living, 200, "living")
    assert begin(member, "k", "e", DIGEST) == Replay(200, "living")


def test_an_answer_is_kept_for_a_day(member):
    complete(begin(member, "k", "e", DIGEST), 200, None)
    aged(timedelta(hours=23))
    assert idempotency.prune() == 0
    assert begin(member, "k", "e", DIGEST) == Replay(200, None)
    aged(timedelta(hours=2))
    assert isinstance(begin(member, "k", "e", OTHER), Claim)
    aged(timedelta(hours=25))
    assert idempotency.prune() == 1


@pytest.mark.django_db(transaction=True)
def test_the_answer_is_kept_in_the_transaction_of_the_work(member):
    claim = begin(member, "k", "e", DIGEST)

    def work_that_fails():
        with transaction.atomic():
            Workspace.objects.create(name="x", slug="made")
            complete(claim, 201, {})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work_that_fails()
    with pytest.raises(InFlight):
        begin(member, "k", "e", DIGEST)
    abandon(claim)
    assert isinstance(begin(member, "k", "e", DIGEST), Claim)
    assert made() == 0


@pytest.mark.django_db(transaction=True)
def test_of_many_at_once_exactly_one_does_the_work(member):
    for trial in range(3):
        barrier = threading.Barrier(16)

        def one(_: int, trial: int = trial, barrier: threading.Barrier = barrier) -> str:
            barrier.wait()
            try:
                return type(begin(member, f"k{trial}", "e", DIGEST)).__name__
            except InFlight:
                return "InFlight"
            finally:
                connection.close()

        with ThreadPoolExecutor(16) as threads:
            assert sorted(threads.map(one, range(16))) == ["Claim"] + ["InFlight"] * 15


@pytest.mark.django_db(transaction=True)
def test_two_requests_at_once_make_one_thing(api):
    barrier = threading.Barrier(2)

    def one(_: int) -> int:
        barrier.wait()
        try:
            return work(api, {"seconds": 0.2}).status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as threads:
        assert sorted(threads.map(one, range(2))) == [201, 409]
    assert made() == 1
    assert work(api, {"seconds": 0.2})["Idempotency-Replayed"] == "true"
