"""Forgetting while others work: whoever comes in between waits, or is waited for, and nobody for ever."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.test.utils import CaptureQueriesContext

from chat.models import Conversation, Message, Run, RunState
from chat.services import finishing, leases
from chat.services import forgetting as transcripts
from chat.services.finishing import Outcome
from memory.models import Entry
from memory.services import entries, forgetting, keeping, owners
from memory.services.entries import By, New
from memory.services.keeping import Told, Whose
from tests.memory.traces import SECRET, left, run_of
from tests.servers.stack import eventually


def elsewhere(do: Callable[[], Any]) -> Any:
    """What comes of it in a thread of its own, with a connection of its own."""

    def closing() -> Any:
        try:
            return do()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(closing).result(timeout=30)


@pytest.mark.django_db(transaction=True)
def test_no_worker_takes_a_run_whose_messages_are_being_scrubbed(member, talk, note, monkeypatch):
    entry, one = note(f"Lives in {SECRET}.", slot="home"), talk(("Where do I live?", f"In {SECRET}."))
    run = run_of(one, state="queued", active=True, memories=[str(entry.pk)])
    scrub, taken = transcripts._messages, []

    def meanwhile(*of: Any) -> Any:
        taken.extend(elsewhere(lambda: leases.claim("w", limit=5)))
        return scrub(*of)

    monkeypatch.setattr(transcripts, "_messages", meanwhile)
    forgetting.forget(entry, by=By.person(member))
    assert taken == []
    (claim,) = leases.claim("w", limit=5)
    assert claim.run_id == run.pk
    assert SECRET not in str(claim)


@pytest.mark.django_db(transaction=True)
def test_one_who_forgets_everything_and_one_who_forgets_what_is_shared_do_not_block_each_other(
    member, smart_home, talk, note, mine, monkeypatch
):
    own, shared = note(f"{SECRET} was fun.", layer="history"), owners.of(member, None)
    entry, _ = entries.write(shared, New(layer="history", text="Wears green hats."), by=By.person(member))
    run_of(talk((f"{SECRET} was fun.", "Noted.")), memories=[str(entry.pk), str(own.pk)])
    (scrub,) = forgetting._transcripts
    reached, errors = threading.Event(), []

    def begun(*of: Any) -> Any:
        reached.set()
        return scrub(*of)

    monkeypatch.setattr(forgetting, "_transcripts", [begun])

    def forget_one() -> None:
        reached.wait(10)
        try:
            forgetting.forget(entry, by=By.person(member))
        except entries.UnknownMemory as error:
            errors.append(error)
        finally:
            connections.close_all()

    other = threading.Thread(target=forget_one)
    other.start()
    assert forgetting.forget_all(member, everything=True) == 4
    other.join(30)
    assert not other.is_alive()
    assert len(errors) == 1
    assert left() == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("order", [1, -1])
def test_whoever_ends_runs_locks_conversations_from_the_oldest_on(member, smart_home, talk, order):
    talks = [talk(("Hello", "Hi")) for _ in range(2)]
    runs = [run_of(one, state="running", active=True, attempt=1) for one in talks]
    outcomes = [
        Outcome(
            run_id=run.pk, conversation_id=run.conversation_id, workspace_id=run.workspace_id, attempt=1, seq=1,
            state=RunState.COMPLETED, parts=[{"type": "text", "text": "Done."}], provider="p", model="m",
        )
        for run in runs[::order]
    ]  # fmt: skip
    waits = threading.Event()

    def finish() -> Any:
        with connection.execute_wrapper(lambda execute, *of: (waits.set(), execute(*of))[1]):
            return finishing.finish(outcomes)

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            locked = Conversation.objects.select_for_update(no_key=True)
            locked.get(pk=talks[0].pk)
            done = pool.submit(finish)
            assert waits.wait(10)
            eventually(_blocked, "it waits for the first")
            locked.get(pk=talks[1].pk)  # the other waits for the first and has nothing else
        assert {*done.result(timeout=30)} == {run.pk for run in runs}
        pool.submit(connections.close_all).result()
    assert not Run.objects.exclude(state="completed").exists()


def _blocked() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        return bool(cursor.fetchone()[0])


def test_many_messages_cost_no_statement_each(member, smart_home, note):
    whose = Whose(member.workspace.pk, member.user.pk, smart_home.pk)
    one = Conversation.objects.create(workspace=member.workspace, user=member.user, companion=smart_home, title="x")
    text = f"I live in {SECRET}."
    messages = Message.objects.bulk_create(
        Message(workspace=member.workspace, conversation=one, role="user", content=text, parts=[]) for _ in range(600)
    )
    answers = Message.objects.bulk_create(
        Message(workspace=member.workspace, conversation=one, role="assistant", content=f"{SECRET}!", parts=[])
        for _ in messages
    )
    one.messages.update(turn_at=one.created_at)
    keeping.keep([(whose, Told(one.pk, message.pk, "person", text)) for message in messages])
    with CaptureQueriesContext(connection) as asked:
        forgetting.forget_all(member, everything=True)
    assert len(asked) < 100
    assert not Entry.objects.exists()
    assert {*one.messages.filter(role="user").values_list("content", flat=True)} == {"(forgotten)"}
    Message.objects.filter(pk__in=[message.pk for message in messages]).update(content=text)
    keeping.keep([(whose, Told(one.pk, message.pk, "person", text)) for message in messages])
    forgetting.forget(note(f"Lives in {SECRET}.", slot="home"), by=By.person(member))
    assert len(answers) == one.messages.filter(role="assistant", content="(forgotten)").count()
