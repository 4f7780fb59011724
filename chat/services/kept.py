"""What a run keeps to of its agent, from the row that a claim of it gives."""

import json
from typing import Any

from agents.services import versions
from companions import services as companions

WEB = (
    "The person asks you to look at the web for this answer. Search it and read pages with your tools before you "
    "answer, and name the pages that you used. If you have no tool for that, say so and answer from what you know."
)


def agent(row: tuple[Any, ...]) -> tuple[tuple[str, str, str, str], list[str]]:
    """Name, personality, tone and instructions of the agent as the run keeps it, and the tools that it still has."""
    name, personality, tone, instructions, tools, given, told = row
    own, brought = json.loads(tools), json.loads(given)
    now = list(dict.fromkeys([*own, *brought["tools"]]))
    if told is not None:
        then = json.loads(told)
        now, brought = versions.narrowed(then, now), then["given"]
        name, personality, tone, instructions = (then[one] for one in ("name", "personality", "tone", "instructions"))
    told_to_do = "\n\n".join(part for part in (instructions.strip(), brought["instructions"]) if part)
    return (name, personality, tone, told_to_do), now


def system(persona: tuple[Any, ...], told: tuple[str, str, str, str], *, web: bool = False) -> str:
    """The system prompt: what the companion leaves open the agent says; with `web`, that its person wants that used."""
    name, personality, tone, mood = persona
    prompt = companions.compose(name or told[0], personality or told[1], tone or told[2], told[3], mood)
    return f"{prompt}\n\n{WEB}" if web else prompt
