"""What tests of memories have in common."""

from typing import Any

import pytest

from chat.models import Conversation, Message
from memory.models import Entry
from memory.services import entries, keeping, owners
from memory.services.entries import By, New
from memory.services.keeping import Told, Whose


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
