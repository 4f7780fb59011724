"""What is forgotten is gone: from memories, transcripts, actions, requests, titles, summaries and the log."""

import pytest

from approvals.models import AuditEvent
from chat.models import Compaction, Run
from memory.models import Entry, Tombstone
from memory.services import entries, forgetting, tombstones
from memory.services.entries import By
from tests.memory.traces import SECRET, action_of, dumped, learned, run_of


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


def test_an_answer_under_way_that_was_told_of_it_is_waited_for(member, talk, note):
    entry, first = note(f"Lives in {SECRET}.", slot="home"), talk(("Where do I live?", "There."))
    run = run_of(first, state="running", active=True, memories=[str(entry.pk)])
    with pytest.raises(entries.Conflict):
        forgetting.forget(entry, by=By.person(member))
    assert Entry.objects.filter(pk=entry.pk).exists()
    Run.objects.filter(pk=run.pk).update(state="failed", active=False)
    assert forgetting.forget(entry, by=By.person(member)) == 1


@pytest.mark.parametrize("state", ["queued", "waiting_approval", "waiting_tools"])
def test_an_answer_that_waits_is_scrubbed(member, talk, note, state):
    entry, first = note(f"Lives in {SECRET}.", slot="home"), talk(("Where do I live?", "There."))
    draft = [
        {"type": "text", "text": f"Let me see. {SECRET}, it seems."},
        {"type": "tool_call", "call_id": "c", "name": "weather", "arguments": {"place": SECRET}, "kept": {"a": "b"}},
    ]
    run = run_of(first, state=state, active=True, steps=1, memories=[str(entry.pk)], draft=draft)
    forgetting.forget(entry, by=By.person(member))
    run.refresh_from_db()
    assert run.draft == [
        {"type": "text", "text": "Let me see."},
        {"type": "tool_call", "call_id": "c", "name": "weather", "arguments": {"place": "(forgotten)"}},
    ]


@pytest.mark.parametrize(("content", "refused"), [(f"Lives in {SECRET}.", True), ("Likes tea.", False)])
def test_a_call_that_waits_and_tells_of_it_is_waited_for(member, talk, note, content, refused):
    entry, first = note(f"Lives in {SECRET}.", slot="home"), talk(("Where do I live?", "There."))
    run = run_of(first, state="waiting_approval", active=True, memories=[str(entry.pk)])
    told = {"content": content, "layer": "identity", "about": "home"}
    action_of(run, "remember", told, risk="write", state="waiting", verdict="ask", approval_id=run.pk)
    if refused:
        with pytest.raises(entries.Conflict):
            forgetting.forget(entry, by=By.person(member))
    else:
        assert forgetting.forget(entry, by=By.person(member)) == 1


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
