"""What is to be forgotten, where it may have left traces, and how to look for them."""

from typing import Any

from django.db import connection

from chat.models import Action, Conversation, Message, Run
from memory.extraction import Said, rules
from memory.models import Entry
from memory.services import learning

SECRET = "Zanzibar"


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


def left() -> list[str]:
    """What the database still says of it."""
    return [line for line in dumped().splitlines() if SECRET.lower() in line.lower()]


def run_of(talk: Conversation, message: Message | None = None, **more: Any) -> Run:
    """A run that answered the conversation's first message, or another."""
    told = {"state": "completed", "active": False, "companion_type": "smart-home", "provider": "p", "model": "m"}
    agent = talk.agent or talk.companion.agent
    message = message or talk.messages.earliest("created_at")
    return Run.objects.create(
        workspace=talk.workspace, conversation=talk, agent=agent, message=message, **{**told, **more}
    )


def action_of(run: Run, tool: str, arguments: dict[str, Any], result: str = "", **more: Any) -> Action:
    """What a tool was told in a run, and gave."""
    told = {"risk": "read", "state": "succeeded", "verdict": "allow", "companion_type": "smart-home"}
    return Action.objects.create(
        workspace=run.workspace, conversation=run.conversation, run=run, agent=run.agent, step=1, place=0,
        person=run.conversation.user, call_id=tool, tool=tool, tool_version="v", retry="idempotent",
        arguments=arguments, digest="d", result=result, **{**told, **more},
    )  # fmt: skip
