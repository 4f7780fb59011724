"""Memories go when their time is over: their own, or that of their layer."""

from datetime import UTC, datetime, timedelta

import pytest

from approvals.models import AuditEvent
from chat.services import housekeeping
from core import ids
from memory.models import Entry
from memory.services import expiring, keeping
from memory.services.keeping import Told, Whose

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def left() -> set[str]:
    return set(Entry.objects.values_list("text", flat=True))


def late(entry: Entry) -> None:
    Entry.objects.filter(pk=entry.pk).update(expires_at=datetime.now(UTC) - timedelta(seconds=1))


def test_what_is_past_its_time_goes_with_what_it_superseded(note):
    note("Lives in Rome.", slot="home")
    note("Lives in Bari.", slot="home")
    late(note("Lives in Oslo.", slot="home"))
    note("Is called Ann.", slot="name", expires_at=datetime.now(UTC) + timedelta(days=1))
    housekeeping.run()
    assert left() == {"Is called Ann."}
    assert AuditEvent.objects.filter(type="memory.expired").count() == 1
    assert expiring.sweep() == 0
    assert AuditEvent.objects.filter(type="memory.expired").count() == 1


def test_what_expired_may_be_written_again(note):
    late(note("Lives in Rome.", slot="home"))
    expiring.sweep()
    assert note("Lives in Rome.", slot="home").status == "active"


def test_many_go_in_parts_with_one_event(note, monkeypatch):
    monkeypatch.setattr(expiring, "AT_ONCE", 2)
    for number in range(5):
        late(note(f"Note {number}", layer="history"))
    assert expiring.sweep() == 5
    assert AuditEvent.objects.filter(type="memory.expired").count() == 1


@pytest.mark.parametrize("layer", ["identity", "preferences", "history"])
def test_a_layer_is_kept_as_long_as_the_settings_say(settings, note, member, smart_home, layer):
    for each in ("identity", "preferences", "history"):
        Entry.objects.filter(pk=note(f"Old {each}", layer=each).pk).update(updated_at=LONG_AGO, said_at=LONG_AGO)
        note(f"New {each}", layer=each)
    whose = Whose(member.workspace.pk, member.user.pk, smart_home.pk)
    keeping.keep([(whose, Told(ids.new(), ids.new(), "person", "Old history, as it was said", LONG_AGO))])
    everything = left()
    assert expiring.sweep() == 0
    settings.MEMORY_RETENTION_DAYS = {**settings.MEMORY_RETENTION_DAYS, layer: 30}
    assert expiring.sweep() == (2 if layer == "history" else 1)
    assert everything - left() == {one for one in everything if one.startswith(f"Old {layer}")}


def test_a_preference_that_was_changed_lately_stays(settings, note):
    Entry.objects.filter(pk=note("Old", layer="preferences").pk).update(said_at=LONG_AGO)
    settings.MEMORY_RETENTION_DAYS = {"preferences": 30}
    assert expiring.sweep() == 0
