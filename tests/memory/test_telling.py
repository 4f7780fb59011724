"""What a companion is told of its person with a message, within bounds; and what of it where something is forgotten."""

from typing import Any
from uuid import uuid4

import pytest

from chat.models import Conversation, Message, Run, RunState
from chat.services import leases, remembering
from memory.models import Entry
from memory.services import entries, forgetting, keeping, owners, telling
from memory.services.entries import By
from memory.services.keeping import Told, Whose
from memory.services.telling import Telling


@pytest.fixture
def block(member, smart_home):
    """What is told with a message."""
    whose = Telling(
        member.workspace.pk,
        member.user.pk,
        smart_home.pk,
        telling.budget(smart_home.memory_layers, smart_home.memory_budget),
    )
    return lambda message: telling.block(whose, message).text


@pytest.fixture
def run(member, smart_home):
    """A run that answers "Where do I live?"."""
    talk = Conversation.objects.create(workspace=member.workspace, user=member.user, companion=smart_home)
    message = Message.objects.create(
        workspace=member.workspace, conversation=talk, role="user", content="Where do I live?", parts=[]
    )
    return Run.objects.create(
        workspace=member.workspace, conversation=talk, message=message, agent=smart_home.agent,
        state=RunState.QUEUED, active=True, companion_type="smart-home", provider="p", model="m",
    )  # fmt: skip


@pytest.fixture
def claimed(run):
    """Takes the run, as its next attempt does."""

    def claim():
        Run.objects.update(state=RunState.QUEUED, active=True)
        (found,) = leases.claim("test", limit=1)
        return found

    return claim


def test_many_pinned_preferences_push_nobodys_name_out(mine, note, block):
    note("Is called Ada.", slot="name")
    note("Likes tea.", layer="preferences")
    Entry.objects.bulk_create(
        Entry(owner=mine, layer="preferences", kind="note", text=f"Likes {n}.", pinned=True, content_hash=str(n))
        for n in range(600)
    )
    assert "Is called Ada." in block("Hello")
    assert "Likes tea." not in block("Hello")


def test_of_a_long_message_what_fits_is_told_from_its_beginning_on(member, smart_home, block):
    whose = Whose(member.workspace.pk, member.user.pk, smart_home.pk)
    filler = "lorem ipsum dolor sit amet " * 40
    text = f"{filler}The bicycle stands behind the market. {filler * 300}"
    keeping.keep([(whose, Told(uuid4(), uuid4(), "person", text))])
    told = block("Where is my bicycle?")
    assert "The bicycle stands behind the market." in told
    assert len(told) < 1_500


@pytest.mark.parametrize("companion", ["its", "all"])
def test_an_answer_that_goes_on_is_told_nothing_once_memory_is_paused(
    member, smart_home, note, run, claimed, companion
):
    entry = note("Lives in Zanzibar.", slot="home")
    Run.objects.update(memories=[str(entry.pk)])
    assert "Zanzibar" in remembering.block(claimed())[0].text
    owners.pause(owners.of(member, smart_home if companion == "its" else None), True, by=member)
    assert remembering.block(claimed())[0].text == ""


@pytest.mark.parametrize("what", ["forgotten", "changed"])
def test_what_is_forgotten_or_changed_while_it_is_recalled_is_not_told(member, note, run, claimed, monkeypatch, what):
    entry, other = note("Lives in Zanzibar.", slot="home"), note("Is called Ada.", slot="name")
    real = telling.block

    def slow(*given: Any, **named: Any) -> Any:
        found = real(*given, **named)
        if what == "forgotten":
            forgetting.forget(entry, by=By.person(member))
        else:
            entries.change(entry, by=By.person(member), text="Lives in Oslo.")
        return found

    monkeypatch.setattr(telling, "block", slow)
    found, anew = remembering.block(claimed())
    run.refresh_from_db()
    assert anew
    assert "Zanzibar" not in found.text
    assert "Is called Ada." in found.text
    assert ("Lives in Oslo." in found.text) == (what == "changed")
    assert set(run.memories) == {str(other.pk), *([str(entry.pk)] if what == "changed" else [])}
