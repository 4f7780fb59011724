"""The chain of a workspace: one place for each event, without a gap or a fork, and no change that goes unnoticed."""

import json
import threading

import httpx
import pytest
from django.conf import settings
from django.db import connection, transaction

from approvals.models import AuditEvent, AuditHead, AuditSeal, AuditUnsealed
from approvals.services import audit, chain, heads, sealing, verifying
from tests.approvals.auditing import at, chained, owner, places, record, together
from tests.servers.receiver import Reply, receiving
from tests.servers.stack import eventually

pytestmark = pytest.mark.django_db(transaction=True)

WRITERS, EVENTS, SEALERS = 8, 250, 3


@pytest.fixture(autouse=True)
def _own_files(settings, tmp_path):
    settings.AUDIT_HEADS_FILE = str(tmp_path / "heads.jsonl")


def told_outside():
    with open(settings.AUDIT_HEADS_FILE) as file:
        return heads.read(file)


def first_bad(workspace, told=()):
    """The first place that is found to be wrong; None where nothing is."""
    found = verifying.verify(workspace.pk, told=told)
    return (found.faults[0].seq, found.faults[0].text) if found.faults else None


def test_an_untouched_log_is_what_was_written(workspace, other_workspace):
    chained(workspace, 10)
    chained(other_workspace, 3)
    found = verifying.verify(told=told_outside())
    assert (found.ok, found.chains, found.rows, found.heads) == (True, 2, 13, 2)


def test_sealing_goes_on_where_it_stopped(workspace):
    record(workspace, 7)
    assert [sealing.seal(3), sealing.seal(3), sealing.seal(3), sealing.seal(3)] == [3, 3, 1, 0]
    record(workspace, 2)
    assert sealing.seal() == 2
    assert places(workspace) == list(range(1, 10))
    assert not AuditUnsealed.objects.exists()
    assert first_bad(workspace) is None


def test_an_event_that_is_committed_late_comes_later_in_the_chain(workspace):
    begun, go_on = threading.Event(), threading.Event()

    def late():
        with transaction.atomic():
            audit.record(audit.Entry(type="run.failed", workspace_id=workspace.pk, who=audit.SYSTEM))
            begun.set()
            go_on.wait(20)

    def early():
        begun.wait(20)
        record(workspace, 2)
        assert sealing.seal() == 2
        go_on.set()

    together(late, early)
    assert sealing.seal() == 1
    oldest = AuditEvent.objects.earliest("pk")
    assert (oldest.type, oldest.seal.seq) == ("run.failed", 3)
    assert first_bad(workspace) is None


def test_what_is_rolled_back_leaves_no_place(workspace):
    record(workspace)
    with transaction.atomic():
        record(workspace)
        transaction.set_rollback(True)
    record(workspace)
    sealing.seal()
    assert places(workspace) == [1, 2]


def test_many_writers_and_sealers_make_one_chain(workspace):
    written = threading.Barrier(WRITERS + 1)
    done = threading.Event()

    def write():
        for _ in range(EVENTS):
            record(workspace)
        written.wait(60)

    def seal():
        while not done.is_set():
            sealing.seal(100)

    def wait():
        written.wait(60)
        eventually(lambda: not AuditUnsealed.objects.exists(), "all events have their places")
        done.set()

    together(*[write] * WRITERS, *[seal] * SEALERS, wait)
    assert places(workspace) == list(range(1, WRITERS * EVENTS + 1))
    assert first_bad(workspace) is None


EDITS = {
    "type": "type = 'action.failed'",
    "actor_kind": "actor_kind = 'person'",
    "actor_id": "actor_id = gen_random_uuid()",
    "person_id": "person_id = gen_random_uuid()",
    "agent_id": "agent_id = gen_random_uuid()",
    "session_id": "session_id = gen_random_uuid()",
    "target_kind": "target_kind = 'x'",
    "target_id": "target_id = gen_random_uuid()",
    "at": "at = at + interval '1 microsecond'",
    "commitment": "commitment = sha256('x')",
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_an_edited_event_is_found(workspace, edit):
    chained(workspace)
    with owner() as cursor:
        cursor.execute(f"UPDATE approvals_auditevent SET {edit} WHERE id = %s", [at(workspace, 4)])
    assert first_bad(workspace) == (4, "The event or its hash is not what was written.")


def test_every_column_of_an_event_is_covered(workspace):
    columns = {field.column for field in AuditEvent._meta.concrete_fields}
    assert columns - EDITS.keys() == {"id", "workspace_id"}  # an event moved away is one that is gone


@pytest.mark.parametrize("column", ["data = '{\"n\":99}'", "salt = 'xxxxxxxxxxxxxxxx'"])
def test_an_edited_payload_is_found(workspace, column):
    chained(workspace)
    with owner() as cursor:
        cursor.execute(f"UPDATE approvals_auditpayload SET {column} WHERE event_id = %s", [at(workspace, 4)])
    assert first_bad(workspace) == (4, "The payload is not what was written.")


def test_a_deleted_payload_that_no_erasure_tells_of_is_found(workspace):
    chained(workspace)
    with owner() as cursor:
        cursor.execute("DELETE FROM approvals_auditpayload WHERE event_id = %s", [at(workspace, 4)])
    assert first_bad(workspace) == (None, "1 payloads are gone, of which 0 were erased.")


def test_a_deleted_event_is_found(workspace):
    chained(workspace)
    with owner() as cursor:
        cursor.execute("DELETE FROM approvals_auditevent WHERE id = %s", [at(workspace, 4)])
    assert first_bad(workspace) == (4, "The event at this place is gone.")


def test_an_event_moved_to_another_workspace_is_found(workspace, other_workspace):
    chained(workspace)
    with owner() as cursor:
        moved = [other_workspace.pk, at(workspace, 4)]
        cursor.execute("UPDATE approvals_auditevent SET workspace_id = %s WHERE id = %s", moved)
    assert first_bad(workspace) == (4, "The event at this place is gone.")


def test_an_event_deleted_with_its_seal_is_found(workspace):
    chained(workspace)
    with owner() as cursor:
        gone = at(workspace, 4)
        cursor.execute("DELETE FROM approvals_auditevent WHERE id = %s", [gone])
        cursor.execute("DELETE FROM approvals_auditseal WHERE event_id = %s", [gone])
    assert first_bad(workspace) == (4, "Nothing has this place in the chain.")


def test_events_that_changed_places_are_found(workspace):
    chained(workspace)
    with owner() as cursor:
        third, fourth = at(workspace, 3), at(workspace, 4)
        swap = "UPDATE approvals_auditseal SET event_id = %s WHERE workspace_id = %s AND seq = %s"
        cursor.execute("ALTER TABLE approvals_auditseal DROP CONSTRAINT approvals_auditseal_pkey")
        cursor.execute(swap, [fourth, workspace.pk, 3])
        cursor.execute(swap, [third, workspace.pk, 4])
        cursor.execute("ALTER TABLE approvals_auditseal ADD PRIMARY KEY (event_id)")
    assert first_bad(workspace) == (3, "The event or its hash is not what was written.")


def test_an_event_inserted_between_others_is_found(workspace):
    chained(workspace)
    with owner() as cursor:
        cursor.execute(
            "INSERT INTO approvals_auditevent (id, workspace_id, type, actor_kind, target_kind, at, commitment)"
            " SELECT gen_random_uuid(), workspace_id, type, actor_kind, target_kind, at, commitment"
            " FROM approvals_auditevent WHERE id = %s RETURNING id",
            [at(workspace, 6)],
        )
        ((forged,),) = cursor.fetchall()
        cursor.execute("UPDATE approvals_auditseal SET event_id = %s WHERE seq = 6", [forged])
    assert first_bad(workspace) == (6, "The event or its hash is not what was written.")


def test_an_event_slipped_in_beside_the_chain_is_found(workspace):
    chained(workspace)
    with owner() as cursor:
        cursor.execute(
            "INSERT INTO approvals_auditevent (id, workspace_id, type, actor_kind, target_kind, at, commitment)"
            " VALUES (gen_random_uuid(), %s, 'approval.approved', 'system', '', now() - interval '2 minutes', '')",
            [workspace.pk],
        )
    seq, text = first_bad(workspace)
    assert seq is None
    assert "no place in the chain" in text


@pytest.mark.parametrize("at", ["now()", "now() + interval '1 year'"], ids=["just now", "in the future"])
def test_an_event_that_nothing_is_to_seal_is_found_at_once(workspace, at):
    chained(workspace)
    with owner() as cursor:
        cursor.execute(
            "INSERT INTO approvals_auditevent (id, workspace_id, type, actor_kind, target_kind, at, commitment)"
            f" VALUES (gen_random_uuid(), %s, 'approval.approved', 'system', '', {at}, '')",
            [workspace.pk],
        )
    assert "no place in the chain" in first_bad(workspace)[1]


def test_what_has_just_been_recorded_may_wait_for_its_place(workspace):
    chained(workspace)
    record(workspace)
    assert first_bad(workspace) is None


def test_bytes_that_moved_from_the_payload_into_its_salt_are_found(workspace):
    chained(workspace)
    with owner() as cursor:
        cursor.execute(
            "UPDATE approvals_auditpayload SET salt = salt || convert_to(left(data, 1), 'UTF8'), data = substr(data, 2)"
            " WHERE event_id = %s",
            [at(workspace, 4)],
        )
    assert first_bad(workspace) == (4, "The payload is not what was written.")


def test_an_erasure_that_never_had_a_place_excuses_nothing(workspace):
    chained(workspace)
    with owner() as cursor:
        cursor.execute("DELETE FROM approvals_auditpayload WHERE event_id = %s", [at(workspace, 4)])
        cursor.execute(
            "WITH told AS (INSERT INTO approvals_auditevent (id, workspace_id, type, actor_kind, target_kind, at,"
            " commitment) VALUES (gen_random_uuid(), %s, 'audit.erased', 'system', '', now(), '') RETURNING id)"
            " INSERT INTO approvals_auditpayload (event_id, salt, data)"
            """ SELECT id, 'xxxxxxxxxxxxxxxx', '{"events":1}' FROM told""",
            [workspace.pk],
        )
    texts = {fault.text for fault in verifying.verify(workspace.pk).faults}
    assert "1 payloads are gone, of which 0 were erased." in texts


def test_a_cut_tail_is_found_by_the_heads(workspace):
    chained(workspace)
    cut(workspace, 7)
    seq, text = first_bad(workspace)
    assert seq == 8
    assert "tail was cut: a head from the database" in text


def test_a_tail_cut_together_with_the_heads_is_found_by_those_outside_alone(workspace):
    chained(workspace)
    cut(workspace, 7, heads_too=True)
    assert first_bad(workspace) is None
    seq, text = first_bad(workspace, told_outside())
    assert seq == 8
    assert "tail was cut: a head from outside" in text


def test_a_tail_that_grew_again_is_found(workspace):
    chained(workspace)
    cut(workspace, 7, heads_too=True)
    record(workspace, 20)
    sealing.seal()
    assert first_bad(workspace) is None
    seq, text = first_bad(workspace, told_outside())
    assert seq == 10
    assert "written anew" in text


def test_an_emptied_log_is_found_by_the_heads_outside(workspace):
    chained(workspace)
    with owner() as cursor:
        for table in ("auditevent", "auditpayload", "auditseal", "audithead"):
            cursor.execute(f"TRUNCATE approvals_{table}")
    assert verifying.verify().chains == 0
    found = verifying.verify(told=told_outside())
    assert [fault.seq for fault in found.faults] == [1]


def test_a_chain_written_anew_is_found_by_the_heads_outside_alone(workspace):
    chained(workspace)
    with owner() as cursor:
        cursor.execute("UPDATE approvals_auditevent SET type = 'action.failed' WHERE id = %s", [at(workspace, 4)])
        cursor.execute(f"SELECT event.id, {chain.FRAME} FROM approvals_auditevent AS event ORDER BY id")
        hash = chain.START
        for seq, (event_id, frame) in enumerate(cursor.fetchall(), start=1):
            hash = chain.link(hash, seq, chain.leaf(frame))
            cursor.execute("UPDATE approvals_auditseal SET hash = %s WHERE event_id = %s", [hash, event_id])
        cursor.execute("DELETE FROM approvals_audithead")
    assert first_bad(workspace) is None
    seq, text = first_bad(workspace, told_outside())
    assert seq == 10
    assert "written anew" in text


def test_a_head_that_was_forged_is_found(workspace):
    chained(workspace)
    with owner() as cursor:
        cursor.execute(
            "UPDATE approvals_audithead SET seq = 5, hash = s.hash FROM approvals_auditseal AS s WHERE s.seq = 5"
        )
    seq, text = first_bad(workspace)
    assert seq == 5
    assert "not signed with a known key" in text


def test_heads_are_signed_once_for_each_chain_that_grew(workspace, other_workspace):
    record(workspace, 2)
    record(other_workspace, 1)
    sealing.seal()
    assert [heads.sign_heads(), heads.sign_heads()] == [2, 0]
    record(workspace, 1)
    sealing.seal()
    assert heads.sign_heads() == 1
    assert {(head.workspace_id, head.seq) for head in told_outside()} == {
        (workspace.pk, 2),
        (workspace.pk, 3),
        (other_workspace.pk, 1),
    }


def test_a_head_that_nobody_was_told_of_is_told_again(workspace, settings):
    good, settings.AUDIT_HEADS_FILE = settings.AUDIT_HEADS_FILE, "/dev/null/heads"
    record(workspace)
    sealing.seal()
    with pytest.raises(OSError, match="/dev/null"):
        heads.sign_heads()
    assert not AuditHead.objects.exists()
    settings.AUDIT_HEADS_FILE = good
    assert heads.sign_heads() == 1


def test_heads_are_posted_until_somebody_takes_them(workspace, settings):
    record(workspace, 3)
    sealing.seal()
    with receiving(Reply(500), Reply(302, {"Location": "/elsewhere"}), Reply(204)) as receiver:
        settings.AUDIT_HEADS_URL = receiver.url()
        for _ in range(2):
            with pytest.raises(httpx.HTTPStatusError):
                heads.sign_heads()
        assert not AuditHead.objects.exists()
        assert [heads.sign_heads(), heads.sign_heads()] == [1, 0]
    posted = json.loads(receiver.received[-1].body)["heads"]
    assert [request.path for request in receiver.received] == ["/hook"] * 3
    assert heads.read(map(json.dumps, posted)) == [heads.of_row(AuditHead.objects.get())]
    assert first_bad(workspace, told_outside()) is None  # told three times in the file, each as good as the other


def test_an_index_finds_what_waits_for_its_place(workspace):
    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off")
        cursor.execute(f"EXPLAIN (FORMAT JSON) {sealing._WAITING}")
        plan = json.dumps(cursor.fetchone())
        cursor.execute("RESET enable_seqscan")
    assert "Seq Scan" not in plan


def cut(workspace, last, *, heads_too=False):
    """Delete all after a place, as if it had never been."""
    with owner() as cursor:
        gone = list(AuditSeal.objects.filter(workspace=workspace, seq__gt=last).values_list("event_id", flat=True))
        cursor.execute("DELETE FROM approvals_auditevent WHERE id = ANY(%s)", [gone])
        cursor.execute("DELETE FROM approvals_auditpayload WHERE event_id = ANY(%s)", [gone])
        cursor.execute("DELETE FROM approvals_auditseal WHERE event_id = ANY(%s)", [gone])
        if heads_too:
            cursor.execute("DELETE FROM approvals_audithead")
