"""Every message an entry, in the statement that stores the message."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from django.db import IntegrityError, connection, transaction

from accounts.models import Actor
from companions.models import Companion
from core import ids
from core.errors import Invalid
from memory import scrub
from memory.models import Entry, Owner
from memory.services import keeping
from memory.services.keeping import Told, Whose


def whose(actor: Actor, companion: Companion | None) -> Whose:
    return Whose(actor.workspace.pk, actor.user.pk, companion.pk if companion else None)


def told(text: str, speaker: str = "person", talk: UUID | None = None) -> Told:
    return Told(conversation_id=talk or ids.new(), message_id=ids.new(), speaker=speaker, text=text)


def test_a_message_becomes_an_entry_of_its_person_and_companion(member, smart_home):
    one = told("I moved to Lisbon with my sister last year.")
    assert keeping.keep([(whose(member, smart_home), one)]) == 1
    entry = Entry.objects.select_related("owner").get()
    assert (entry.text, entry.kind, entry.layer, entry.speaker) == (one.text, "message", "history", "person")
    assert (entry.owner.user, entry.owner.companion, entry.message_id) == (member.user, smart_home, one.message_id)
    assert (entry.language, entry.embedder) == ("en", "")
    assert keeping.saying_all(entry.owner_id, [scrub.fact("Moved to Lisbon.")]) == {one.message_id}
    assert keeping.saying_all(entry.owner_id, [scrub.fact("From Lisbon to Porto.")]) == set()
    assert keeping.terms_of(entry.owner_id, one.text).split()[0] == f"'o{entry.owner_id}_move'"


def test_it_is_stored_in_the_statement_of_another_or_not_at_all(member, smart_home):
    statement, parameters = keeping.cte([(whose(member, smart_home), told("Hello there, Hestia"))])
    with connection.cursor() as cursor:
        with pytest.raises(IntegrityError), transaction.atomic():
            cursor.execute(
                f"WITH {statement} INSERT INTO accounts_workspace SELECT * FROM accounts_workspace", parameters
            )
        assert not Entry.objects.exists()
        cursor.execute(f"WITH {statement} SELECT 1", parameters)
    assert Entry.objects.count() == Owner.objects.count() == 1


def test_messages_are_numbered_within_their_conversation_and_answers_know_their_question(member, smart_home):
    talk, other, of = ids.new(), ids.new(), whose(member, smart_home)
    keeping.keep([(of, told("Nice. Where do you live, then?", "companion", talk)), (of, told("In Lisbon!", talk=talk))])
    keeping.keep([(of, told("Version 3.5? I see. Do you like it?", "companion", talk))])
    keeping.keep([(of, told("Very much.", talk=talk)), (of, told("Yes.", talk=talk)), (of, told("Hm", talk=other))])
    rows = list(Entry.objects.order_by("conversation_id", "seq").values_list("seq", "context"))
    expected = [(1, ""), (2, "Where do you live, then?"), (3, ""), (4, "Do you like it?"), (5, ""), (1, "")]
    assert sorted(rows) == sorted(expected)


@pytest.mark.parametrize("paused", ["this", "all"])
def test_nothing_is_kept_while_it_is_paused(member, smart_home, paused):
    owner = Owner.objects.create(
        workspace=member.workspace, user=member.user, paused=True, companion=smart_home if paused == "this" else None
    )
    assert keeping.keep([(whose(member, smart_home), told("Not this"))]) == 0
    Owner.objects.filter(pk=owner.pk).update(paused=False)
    assert keeping.keep([(whose(member, smart_home), told("But this"))]) == 1


def test_nothing_is_kept_by_a_companion_without_history_nor_of_nobody(member, smart_home):
    Companion.objects.update(memory_layers=["identity"])
    assert keeping.keep([(whose(member, smart_home), told("Not this"))]) == 0
    Companion.objects.update(memory_layers=["history"])
    assert keeping.keep([(whose(member, None), told("Nor this"))]) == 0
    assert keeping.keep([(Whose(member.workspace.pk, None, smart_home.pk), told("Nor this"))]) == 0
    assert keeping.keep([(whose(member, smart_home), told("  \n "))]) == 0
    assert keeping.keep([(whose(member, smart_home), told("But this"))]) == 1


def test_a_message_is_kept_once(member, smart_home):
    one = told("Once")
    assert keeping.keep([(whose(member, smart_home), one), (whose(member, smart_home), one)]) == 1
    assert keeping.keep([(whose(member, smart_home), one)]) == 0


def test_what_a_person_brings_is_kept_with_its_times_once_and_for_all_companions(member):
    owner = Owner.objects.create(workspace=member.workspace, user=member.user)
    brought = [told("What is your name?", "companion"), told("Anna")]
    assert keeping.keep_old(owner, brought) == 2
    assert keeping.keep_old(owner, brought) == 0


@pytest.mark.parametrize("text", ["\x00null\x00", "'); DROP TABLE x; --", "%s %(x)s {kept} \\", "x" * 99_999])
def test_hostile_texts_are_kept_as_they_are(member, smart_home, text):
    assert keeping.keep([(whose(member, smart_home), told(text))]) == 1
    assert Entry.objects.get().text == text.replace("\x00", "")


@pytest.mark.parametrize("text", ["", " \x07 ", "x" * (keeping.MOST_MESSAGE + 1)])
def test_what_is_brought_is_checked(text):
    with pytest.raises(Invalid):
        keeping.checked_message(text)
    assert keeping.checked_message(" a\x07b\n") == "ab"


def test_a_process_that_stores_messages_loads_no_numbers():
    told = "import django; django.setup(); import memory.recall, memory.services.keeping, sys; "
    told += "sys.exit(any(name in sys.modules for name in ('numpy', 'onnxruntime', 'tokenizers')))"
    subprocess.run(
        [sys.executable, "-c", told], check=True, env={**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings"}
    )


@pytest.mark.django_db(transaction=True)
def test_many_at_once_make_one_owner(member, smart_home):
    def keep(number: int) -> int:
        try:
            return keeping.keep([(whose(member, smart_home), told(f"Number {number}"))])
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(keep, range(24))) == 24
    assert Owner.objects.count() == 1
    assert Entry.objects.count() == 24


@pytest.mark.django_db(transaction=True)
def test_who_comes_second_waits_for_the_owner_that_another_makes(member, smart_home):
    def keep() -> int:
        try:
            return keeping.keep([(whose(member, smart_home), told("The second"))])
        finally:
            connection.close()

    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    with ThreadPoolExecutor(1) as pool, connection.cursor() as cursor:
        with transaction.atomic():
            keeping.keep([(whose(member, smart_home), told("The first"))])
            second = pool.submit(keep)
            while not second.done():
                cursor.execute(waiting)
                if cursor.fetchone()[0]:
                    break
            assert not second.done()
        assert second.result(timeout=30) == 1
    assert Owner.objects.count() == 1
    assert Entry.objects.count() == 2
