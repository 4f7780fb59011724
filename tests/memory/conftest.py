"""What tests of memories have in common."""

from typing import Any

import pytest

from memory.models import Entry
from memory.services import entries, owners
from memory.services.entries import By, New


@pytest.fixture
def mine(member, smart_home):
    """The member's memory with the companion."""
    return owners.of(member, smart_home)


@pytest.fixture
def note(member, mine):
    """Writes something down as the member."""

    def write(text: str, layer: str = "identity", slot: str = "", **more: Any) -> Entry:
        entry, _ = entries.write(mine, New(layer=layer, text=text, slot=slot, **more), by=By.person(member))
        return entry

    return write
