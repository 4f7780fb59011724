"""What is forgotten is gone: from memories, transcripts, actions, requests, titles, summaries and the log."""

from typing import Any

import pytest
from django.db import connection

from approvals.models import AuditEvent
from chat.models import Compaction, Conversation, Message, Run
from memory.extraction import Said, rules
from memory.models import Entry, Tombstone
from memory.services import entries, forgetting, keeping, learning, tombstones
from memory.services.entries import By
from memory.services.keeping import Told, Whose

SECRET = "Zanzibar"


@pytest.fixture
def talk(member, smart_home):
    """Has the member and the companion say things, as messages and memories."""

    def say(*turns: tuple[str, str], title: str = "Talk") -> Conversation:
        talk = Conversation.objects.create(
            workspace=member.workspace, user=member.user, companion=smart_home, title=title
        )
        whose = Whose(member.workspace.pk, member.user.pk, smart_home.pk)
        for question, answer in turns:
            began: Any = None
            rows = [("user", "person", question), ("assistant", "companion", answer)]
            for role, speaker, text in rows:
                message = Message.objects.create(
                    workspace=member.workspace,
                    conversation=talk,
                    role=role,
                    content=text,
                    parts=[{"type": "text", "text": text}],
                )
                if role == "assistant":
                    Message.objects.filter(pk=message.pk).update(turn_at=began.turn_at)
                else:
                    message.refresh_from_db()
                    began = message
                keeping.keep([(whose, Told(talk.pk, message.pk, speaker, text))])
        return talk

    return say


def learned(member: Any, smart_home: Any, talk: Conversation) -> Entry:
    """What the rules draw from the conversation's first message."""
    first = Message.objects.filter(conversation=talk, role="user").earliest("turn_at")
    said = Said(
        message_id=first.pk, conversation_id=talk.pk, by_person=True, text=first.content, said_at=first.created_at
    )
    owner = Entry.objects.filter(conversation_id=talk.pk)[0].owner
    (entry,) = learning.learn(owner, rules.find([said]), model=rules.MODEL)
    return entry


def dumped() -> str:
    """The whole database, as text."""
    name = connection.settings_dict["NAME"]
    with connection.cursor() as cursor:
        cursor.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
        tables = [row[0] for row in cursor.fetchall()]
        lines = []
        for table in tables:
            cursor.execute(f'SELECT t::text FROM "{table}" AS t')
            lines += [f"{name}.{table}: {row[0]}" for row in cursor.fetchall()]
    return "\n".join(lines)


def test_a_forgotten_fact_is_nowhere_in_the_database(member, smart_home, talk):
    first = talk((f"Hello! I live in {SECRET}. The weather is fine.", f"Noted: {SECRET} it is. How nice."))
    second = talk(("Where do I live?", f"You live in {SECRET}."), title="Where do I live?")
    entry = learned(member, smart_home, first)
    Compaction.objects.create(
        workspace=member.workspace, conversation=first, up_to=first.messages.latest("created_at"),
        turn_at="2026-01-01T00:00:00Z", said_at="2026-01-01T00:00:00Z", messages=2,
        content=f"They live in {SECRET}.", provider="p", model="m",
    )  # fmt: skip
    assert SECRET in dumped()
    forgetting.forget(entry, by=By.person(member))
    left = [line for line in dumped().splitlines() if SECRET.lower() in line.lower()]
    assert left == []
    assert list(first.messages.order_by("created_at").values_list("content", flat=True)) == [
        "Hello! The weather is fine.",
        "How nice.",
    ]
    assert list(second.messages.order_by("created_at").values_list("content", flat=True))[1] == "(forgotten)"
    kept = set(Entry.objects.filter(kind="message").values_list("text", flat=True))
    assert kept == {"Hello! The weather is fine.", "How nice.", "Where do I live?"}


def test_the_log_proves_what_was_forgotten_without_telling_it(member, smart_home, talk):
    entry = learned(member, smart_home, talk((f"I live in {SECRET}.", "Noted.")))
    owner = entry.owner
    forgetting.forget(entry, by=By.person(member))
    event = AuditEvent.objects.select_related("payload").get(type="memory.forgotten")
    assert tombstones.keyed_hash(owner.pk, f"Lives in {SECRET}.") in event.payload.data
    assert SECRET not in event.payload.data


def test_what_was_superseded_goes_with_what_superseded_it(note, member, mine):
    note(f"Lives in {SECRET}.", slot="home")
    entry = note("Lives in Oslo.", slot="home")
    entries.change(entry, by=By.person(member), text="Lives in Bergen.")
    forgetting.forget(entry, by=By.person(member))
    assert not mine.entries.exists()
    assert Tombstone.objects.filter(owner=mine).count() == 3
    assert SECRET not in dumped()


def test_a_forgotten_message_takes_what_was_drawn_from_it_alone(member, smart_home, talk):
    first = talk((f"I live in {SECRET}.", "Noted."))
    entry = learned(member, smart_home, first)
    message = Entry.objects.get(kind="message", speaker="person")
    forgetting.forget(message, by=By.person(member))
    assert not Entry.objects.filter(pk__in=[entry.pk, message.pk]).exists()
    assert first.messages.earliest("created_at").content == "(forgotten)"


@pytest.mark.parametrize("state", ["running", "waiting_approval"])
def test_an_answer_under_way_that_was_told_of_it_is_waited_for(member, smart_home, talk, note, state):
    entry, first = note(f"Lives in {SECRET}.", slot="home"), talk(("Where do I live?", "There."))
    Run.objects.create(
        workspace=member.workspace, conversation=first, agent=smart_home.agent, message=first.messages.all()[0],
        state=state, memories=[str(entry.pk)], companion_type="smart-home", provider="p", model="m",
    )  # fmt: skip
    with pytest.raises(entries.Conflict):
        forgetting.forget(entry, by=By.person(member))
    assert Entry.objects.filter(pk=entry.pk).exists()


def test_the_same_words_of_another_person_stay(member, manager, smart_home, talk, client_of):
    talk((f"I live in {SECRET}.", "Noted."))
    body = {"layer": "identity", "type": "home", "content": f"Lives in {SECRET}.", "companion_type": "smart-home"}
    theirs = client_of(manager).post("/v1/ai/memory", body).json()
    mine = client_of(member).post("/v1/ai/memory", body).json()
    assert client_of(member).delete(f"/v1/ai/memory/{theirs['id']}").status_code == 404
    assert client_of(member).delete(f"/v1/ai/memory/{mine['id']}").status_code == 204
    assert client_of(manager).get(f"/v1/ai/memory/{theirs['id']}").json()["content"] == f"Lives in {SECRET}."


def test_all_of_a_conversation_can_be_forgotten_with_or_without_its_transcript(member, api, smart_home, talk):
    for keep in (True, False):
        one = talk((f"I live in {SECRET}.", "Noted."))
        other = talk(("I like tea.", "Me too."))
        learned(member, smart_home, one)
        answer = api.post("/v1/ai/memory/forget", {"session_id": str(one.pk), "keep_transcript": keep})
        assert answer.json() == {"forgotten": 3}
        assert (SECRET in one.messages.earliest("created_at").content) is keep
        assert Entry.objects.filter(conversation_id=other.pk).count() == 2
        Entry.objects.all().delete()
        Tombstone.objects.all().delete()


def test_everything_can_be_forgotten_and_nothing_by_mistake(api, talk, note):
    talk(("I like tea.", "Me too."))
    note("Lives in Rome.", slot="home")
    assert api.post("/v1/ai/memory/forget", {}).status_code == 400
    assert api.post("/v1/ai/memory/forget", {"all": True}).json() == {"forgotten": 3}
    assert not Entry.objects.exists()
