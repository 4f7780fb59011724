"""Starting, queueing and cancelling runs, and what workers do with them; on a real database."""

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from chat.models import Conversation, Message, Run, RunState
from chat.services import conversations, finishing, leases, runs
from chat.services.finishing import Outcome
from chat.services.leases import Checkpoint
from chat.services.runs import ConversationBusy, OnConflict

pytestmark = pytest.mark.django_db


def outcome(claim: leases.Claim, text: str = "Hi", state: RunState = RunState.COMPLETED, **more) -> Outcome:
    return Outcome(
        run_id=claim.run_id,
        conversation_id=claim.conversation_id,
        workspace_id=claim.workspace_id,
        attempt=claim.attempt,
        seq=claim.seq + 4,
        state=state,
        parts=[{"type": "text", "text": text}] if text else [],
        provider="rehearsal",
        model="rehearsal",
        **more,
    )


def take(**options) -> list[leases.Claim]:
    return leases.claim("worker", limit=10, **options)


def lapse(run: Run) -> None:
    Run.objects.filter(pk=run.pk).update(lease_until=timezone.now() - timezone.timedelta(seconds=1))


def test_a_message_and_its_run_are_stored_together(say):
    run = say("Explain my server architecture")
    assert run.state == RunState.QUEUED
    assert Message.objects.get(pk=run.message_id).content == "Explain my server architecture"
    assert run.conversation.title == "Explain my server architecture"


def test_a_claimed_run_brings_what_answering_needs(say, smart_home):
    run = say("Hello")
    [claim] = take()
    assert (claim.run_id, claim.attempt, claim.seq) == (run.pk, 1, 0)
    assert "help people run their home" in claim.system
    assert [(m.role, m.content) for m in claim.messages] == [("user", "Hello")]
    assert take() == []


def test_an_answer_is_stored_once_and_frees_the_conversation(say):
    run = say("Hello")
    [claim] = take()
    assert set(finishing.finish([outcome(claim)])) == {run.pk}
    assert finishing.finish([outcome(claim)]) == {}
    run.refresh_from_db()
    assert (run.state, run.active) == (RunState.COMPLETED, False)
    assert [m.content for m in run.conversation.messages.order_by("id")] == ["Hello", "Hi"]


def test_the_next_run_reads_the_history_and_counts_on(say):
    first = say("Hello")
    [claim] = take()
    finishing.finish([outcome(claim)])
    say("And now?", into=first.conversation)
    [second] = take()
    assert [(m.role, m.content) for m in second.messages] == [
        ("user", "Hello"),
        ("assistant", "Hi"),
        ("user", "And now?"),
    ]
    assert second.seq == claim.seq + 4


def test_a_busy_conversation_refuses_a_second_message_and_names_the_run(say):
    run = say("Hello")
    with pytest.raises(ConversationBusy) as refused:
        say("Again", into=run.conversation)
    assert refused.value.extra == {"run_id": str(run.pk)}
    assert run.conversation.messages.count() == 1


def test_the_database_itself_allows_one_active_run_a_conversation(say):
    run = say("Hello")
    with pytest.raises(IntegrityError, match="one_active_run_per_conversation"), transaction.atomic():
        Run.objects.create(
            workspace=run.workspace, conversation=run.conversation, agent=run.agent, message=run.message,
            companion_type="smart-home", provider="p", model="m",
        )  # fmt: skip


def test_a_queued_message_waits_for_its_turn(say):
    first = say("One")
    second = say("Two", into=first.conversation, on_conflict=OnConflict.QUEUE)
    assert not second.active
    [claim] = take()
    assert claim.run_id == first.pk
    assert [m.content for m in claim.messages] == ["One"]
    finishing.finish([outcome(claim)])
    [claim] = take()
    assert claim.run_id == second.pk
    assert [m.content for m in claim.messages] == ["One", "Hi", "Two"]


def test_an_interrupting_message_ends_a_run_that_nobody_has_taken(say):
    first = say("One")
    second = say("Two", into=first.conversation, on_conflict=OnConflict.INTERRUPT)
    first.refresh_from_db()
    assert first.state == RunState.CANCELLED
    assert second.active


def test_an_interrupting_message_follows_once_the_worker_has_stopped(say):
    first = say("One")
    [claim] = take()
    second = say("Two", into=first.conversation, on_conflict=OnConflict.INTERRUPT)
    assert not second.active
    assert leases.checkpoint([Checkpoint(claim.run_id, 1, 3, [])]) == {first.pk: True}
    finishing.finish([outcome(claim, "Hal", RunState.CANCELLED)])
    assert [c.run_id for c in take()] == [second.pk]


def test_a_run_whose_worker_died_is_taken_again_with_higher_numbers(say):
    run = say("Hello")
    [first] = take()
    lapse(run)
    [second] = take(lapsed=True)
    assert second.attempt == 2
    assert second.seq == first.seq + Run.ATTEMPT_SEQS


def test_a_worker_that_slept_past_its_lease_changes_nothing(say):
    run = say("Hello")
    [first] = take()
    lapse(run)
    [second] = take(lapsed=True)
    assert leases.checkpoint([Checkpoint(run.pk, first.attempt, 9, [{"type": "text", "text": "late"}])]) == {}
    assert finishing.finish([outcome(first, "late")]) == {}
    assert set(finishing.finish([outcome(second, "right")])) == {run.pk}
    assert run.conversation.messages.get(role="assistant").content == "right"


def test_a_run_that_is_held_here_is_not_taken_from_oneself(say):
    run = say("Hello")
    take()
    lapse(run)
    assert take(lapsed=True, held=[run.pk]) == []


def test_a_run_that_kills_its_workers_is_given_up_with_what_it_said(say, settings):
    settings.RUN_MAX_ATTEMPTS = 2
    run = say("Hello")
    take()
    lapse(run)
    [claim] = take(lapsed=True)
    leases.checkpoint([Checkpoint(run.pk, 2, claim.seq + 2, [{"type": "text", "text": "half"}])])
    lapse(run)
    assert take(lapsed=True) == []
    finishing.finish(finishing.buried())
    run.refresh_from_db()
    assert (run.state, run.error_code) == (RunState.FAILED, "gave_up")
    assert run.conversation.messages.get(role="assistant").content == "half"


def test_a_released_run_is_ready_for_another_worker_at_once(say):
    run = say("Hello")
    [claim] = take()
    assert leases.release([(claim.run_id, claim.attempt, ())]) == 1
    assert [again.attempt for again in take()] == [2]
    assert leases.release([(run.pk, 1, ())]) == 0


def test_a_run_given_back_is_no_death(say, settings):
    settings.RUN_MAX_ATTEMPTS = 1
    run = say("Hello")
    [claim] = take()
    leases.release([(claim.run_id, claim.attempt, ())])
    take()
    assert finishing.buried() == []
    lapse(run)
    assert [outcome.error_code for outcome in finishing.buried()] == ["gave_up"]


def test_cancelling_a_run_that_waits_ends_it_and_moves_the_line(say, member):
    first = say("One")
    second = say("Two", into=first.conversation, on_conflict=OnConflict.QUEUE)
    third = say("Three", into=first.conversation, on_conflict=OnConflict.QUEUE)
    runs.cancel(first, by=member)
    assert [c.run_id for c in take()] == [second.pk]
    runs.cancel(third, by=member)
    third.refresh_from_db()
    assert third.state == RunState.CANCELLED


def test_cancelling_one_of_two_in_line_leaves_the_other_waiting(say, member):
    first = say("One")
    take()
    second, third = (say(text, into=first.conversation, on_conflict=OnConflict.QUEUE) for text in ("Two", "Three"))
    runs.cancel(second, by=member)
    third.refresh_from_db()
    assert (third.state, third.active) == (RunState.QUEUED, False)


@pytest.mark.parametrize("held", [True, False], ids=["under way", "not taken yet"])
def test_an_interrupting_message_ends_all_who_wait(say, held):
    first = say("One")
    claims = take() if held else []
    waiting = [say(text, into=first.conversation, on_conflict=OnConflict.QUEUE) for text in ("Two", "Three")]
    last = say("Four", into=first.conversation, on_conflict=OnConflict.INTERRUPT)
    for run in waiting:
        run.refresh_from_db()
        assert run.state == RunState.CANCELLED
    finishing.finish([outcome(claim, "Hal", RunState.CANCELLED) for claim in claims])
    assert [claim.run_id for claim in take()] == [last.pk]


def test_only_so_many_messages_wait_in_a_line(say, settings):
    settings.LINE_LIMIT = 2
    first = say("One")
    for _ in range(2):
        say("More", into=first.conversation, on_conflict=OnConflict.QUEUE)
    with pytest.raises(runs.LineFull):
        say("Too much", into=first.conversation, on_conflict=OnConflict.QUEUE)


def test_an_answer_stands_behind_its_question_whatever_was_queued_meanwhile(say, member):
    first = say("One")
    [claim] = take()
    say("Two", into=first.conversation, on_conflict=OnConflict.QUEUE)
    finishing.finish([outcome(claim, "answer one")])
    [claim] = take()
    finishing.finish([outcome(claim, "answer two")])
    say("Three", into=first.conversation)
    [claim] = take()
    told = [message.content for message in claim.messages]
    assert told == ["One", "answer one", "Two", "answer two", "Three"]
    read, more = conversations.messages(first.conversation, limit=3)
    assert ([message.content for message in read], more) == (told[:3], True)
    rest, more = conversations.messages(first.conversation, limit=3, after=read[-1].pk)
    assert ([message.content for message in rest], more) == (told[3:], False)


def test_a_model_is_told_so_much_of_the_past_and_no_more(say, settings):
    settings.HISTORY_CHARACTERS = 20
    first = say("o" * 15)
    [claim] = take()
    finishing.finish([outcome(claim, "a" * 15)])
    say("Three", into=first.conversation)
    [claim] = take()
    assert [message.content for message in claim.messages] == ["a" * 15, "Three"]


def test_a_cancelled_run_that_was_given_back_keeps_what_it_said(say, member):
    run = say("Hello")
    [claim] = take()
    leases.checkpoint([Checkpoint(run.pk, 1, 5, [{"type": "text", "text": "half"}])])
    leases.release([(run.pk, 1, ())])
    runs.cancel(run, by=member)
    run.refresh_from_db()
    assert run.seq > claim.seq + 5
    assert run.conversation.messages.get(pk=run.answer_id).content == "half"


def test_a_lease_renewed_meanwhile_is_not_buried(say, settings):
    settings.RUN_MAX_ATTEMPTS = 1
    run = say("Hello")
    [claim] = take()
    lapse(run)
    dead = finishing.buried()
    leases.checkpoint([Checkpoint(run.pk, claim.attempt, 1, [])])
    assert finishing.finish(dead, lapsed=True) == {}


def test_who_has_their_share_leaves_the_rest_to_others(say, member):
    run = say("Hello")
    assert take(sated=[member.user.pk]) == []
    assert [claim.run_id for claim in take()] == [run.pk]


def test_a_session_begun_without_a_word_is_named_after_its_first_message(say, conversation):
    say("What is on tonight?", into=conversation)
    conversation.refresh_from_db()
    assert conversation.title == "What is on tonight?"


def test_a_deleted_session_takes_no_message(say, conversation, member):
    conversations.delete(Conversation.objects.get(pk=conversation.pk), by=member)
    with pytest.raises(runs.ChangedMeanwhile):
        say("Hello", into=conversation)


@pytest.mark.django_db(transaction=True)
def test_messages_of_every_kind_at_once_neither_lock_nor_break_each_other(say, conversation):
    gate = threading.Barrier(8)

    def attempt(number: int) -> None:
        try:
            gate.wait()
            for _ in range(5):
                mine = Conversation.objects.select_related("companion__agent").get(pk=conversation.pk)
                with contextlib.suppress(ConversationBusy, runs.LineFull):
                    say("Hello", into=mine, on_conflict=list(OnConflict)[number % 3])
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(attempt, range(8)))
    assert conversation.runs.filter(active=True).count() == 1


def test_cancelling_an_ended_run_changes_nothing(say, member):
    run = say("Hello")
    [claim] = take()
    finishing.finish([outcome(claim)])
    runs.cancel(run, by=member)
    run.refresh_from_db()
    assert run.state == RunState.COMPLETED
    assert run.cancel_requested_at is None


@pytest.mark.django_db(transaction=True)
def test_of_many_messages_at_once_exactly_one_is_taken(say, conversation):
    gate = threading.Barrier(12)

    def attempt(_: int) -> bool:
        try:
            mine = Conversation.objects.select_related("companion__agent").get(pk=conversation.pk)
            gate.wait()
            say("Hello", into=mine)
        except ConversationBusy:
            return False
        else:
            return True
        finally:
            connection.close()

    with ThreadPoolExecutor(12) as pool:
        assert sum(pool.map(attempt, range(12))) == 1
    assert conversation.messages.count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_many_workers_each_run_has_one(say):
    for _ in range(20):
        say("Hello")
    gate = threading.Barrier(4)

    def work(number: int) -> list[leases.Claim]:
        try:
            gate.wait()
            return [claim for _ in range(10) for claim in leases.claim(f"w{number}", limit=3)]
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        taken = [claim.run_id for claims in pool.map(work, range(4)) for claim in claims]
    assert len(taken) == len(set(taken)) == 20
