"""The same message in each dialect: a round of streams through the stack, as a client of that dialect asks for them."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.answers import NAME, Round
from benchmarks.figures import Plan
from benchmarks.remembered import FORGETFUL, REMEMBERING, send

SAID = "How warm is it?"


@dataclass(frozen=True, slots=True)
class Door:
    """Where a dialect's streams are asked for, and how; NAME is what no two of them share."""

    path: str
    body: Mapping[str, Any]
    accept: str = "*/*"


DOORS = {
    "native": Door("/v1/ai/chat", {"message": SAID, "companion": FORGETFUL}),
    "native, going on": Door("/v1/ai/chat", {"message": SAID, "session_id": NAME}),
    "native, paused": Door("/v1/ai/chat", {"message": SAID, "companion": REMEMBERING}),
    "assistant": Door("/api/chat/stream", {"text": SAID, "agent_id": FORGETFUL}),
    "sessions": Door(f"/chat/{NAME}/message", {"content": SAID, "role": "user"}, "text/event-stream"),
    "agents": Door("/api/agents/{agent}/chat/stream", {"message": SAID}),
    "openai": Door(
        "/v1/chat/completions",
        {"model": f"companion/{FORGETFUL}", "messages": [{"role": "user", "content": SAID}]},
    ),
    "ai_sdk": Door(
        "/api/ai-sdk/chat?sdk=7",
        {
            "id": NAME,
            "trigger": "submit-message",
            "companion": FORGETFUL,
            "messages": [{"id": "m", "role": "user", "parts": [{"type": "text", "text": SAID}]}],
        },
    ),
    "ag_ui": Door(
        f"/api/ag-ui/{FORGETFUL}",
        {"threadId": NAME, "runId": NAME, "messages": [{"id": NAME, "role": "user", "content": SAID}]},
    ),
}
"""By the name of the dialect in `answers.DIALECTS`, the native one first."""
BESIDE = {"sessions": "native, going on", "agents": "native, paused"}
"""What a dialect does that is asked for the same: a message of the chat sessions API never begins a chat, and with an
agent itself one talks as with a companion that has memories, of a person who paused theirs."""


class Speaker:
    """The demo's member at a running stack, whose preferred model is the plan's in every dialect."""

    def __init__(self, base_url: str, demo: Path) -> None:
        facts = json.loads(demo.read_text())
        self._base_url, self._key = base_url, facts["keys"]["secret"]
        self._agent = facts["agents"][REMEMBERING]

    def prefer(self, plan: Plan) -> None:
        """Let the plan's model answer."""
        send(self._base_url, "PUT", "/v1/ai/preferences/model", {"model": plan.model}, self._key)

    def round(self, dialect: str, plan: Plan) -> Round:
        """The plan's streams in this dialect, each in a conversation of its own.

        The chat sessions API has no message that begins one, so its chats are begun here, before anything is measured.
        """
        door = DOORS[dialect]
        return Round(
            url=self._base_url + door.path.replace("{agent}", self._agent),
            body={**door.body, "stream": True},
            dialect=dialect.partition(",")[0],
            tokens=plan.tokens,
            concurrency=plan.concurrency,
            total=plan.total,
            headers={"authorization": f"Bearer {self._key}", "accept": door.accept},
            names=[self._name(dialect) for _ in range(plan.total)],
        )

    def _name(self, dialect: str) -> str:
        """A new name, or that of a chat which is begun here."""
        if dialect == "sessions":
            return str(send(self._base_url, "POST", "/chat", {"agentId": FORGETFUL}, self._key)["id"])
        if dialect == "native, going on":
            return str(send(self._base_url, "POST", "/v1/ai/sessions", {"companion": FORGETFUL}, self._key)["id"])
        return str(uuid.uuid4())
