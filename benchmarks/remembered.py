"""The demo as the benchmark asks it: one companion that remembers nothing, and one with a thousand memories."""

import json
import random
import time
import urllib.request
from pathlib import Path
from typing import Any

from benchmarks import proc

FORGETFUL, REMEMBERING = "smart-home", "devops"
"""The companions of the rounds without memory and with it."""
MEMORIES = 1_000
AT_ONCE = 500  # lines of an import
PATIENCE = 120.0  # seconds in which all of them have vectors
SEEN, QUIET = 3.0, 0.1  # seconds of looking at the worker, and the share of a core below which it has made them all
THINGS = (
    "the heating",
    "the old server",
    "a birthday cake",
    "our garden",
    "the night train",
    "a lost key",
    "the budget",
)
PLACES = (
    "in Lisbon",
    "at the office",
    "in the kitchen",
    "by the lake",
    "at my sister's",
    "in the cellar",
    "on the ferry",
)
DEEDS = ("We talked about", "I finally mended", "Somebody asked about", "You told me about", "I was worried about")
ENDS = ("and it went well", "but nobody came", "until it rained", "for three hours", "because it was too warm")


def prepare(base_url: str, demo: Path, roots: list[int]) -> None:
    """Switch one companion's memory off, and give the other's person a thousand memories with vectors."""
    forget(base_url, demo)
    key, chance = json.loads(demo.read_text())["keys"]["secret"], random.Random(20261121)
    lines = [_line(number, chance) for number in range(MEMORIES)]
    for at in range(0, MEMORIES, AT_ONCE):
        body = {"memories": lines[at : at + AT_ONCE], "companion_type": REMEMBERING}
        send(base_url, "POST", "/v1/ai/memory/import", body, key)
    time.sleep(SEEN)
    deadline = time.monotonic() + PATIENCE
    before = proc.cpu(roots)["worker"]
    while time.monotonic() < deadline:
        time.sleep(SEEN)
        before, last = proc.cpu(roots)["worker"], before
        if before - last < QUIET * SEEN:
            return


def forget(base_url: str, demo: Path) -> None:
    """Switch one companion's memory off."""
    admin = json.loads(demo.read_text())["users"]["admin"]
    token = send(base_url, "POST", "/v1/auth/login", admin)["access"]
    send(base_url, "PUT", f"/v1/ai/companions/{FORGETFUL}/config", {"memory_layers": []}, token)


def pause(base_url: str, demo: Path) -> None:
    """Let nothing be remembered of the demo's member, be it a companion or an agent that they talk to."""
    key = json.loads(demo.read_text())["keys"]["secret"]
    send(base_url, "PUT", "/v1/ai/memory/pause", {"paused": True}, key)


def _line(number: int, chance: random.Random) -> dict[str, Any]:
    said = " ".join(chance.choice(some) for some in (DEEDS, THINGS, PLACES, ENDS))
    return {
        "kind": "message",
        "conversation": f"old-{number // 20}",
        "speaker": "companion" if number % 2 else "person",
        "said_at": f"2026-{1 + number % 9:02}-{1 + number % 27:02}T{number % 24:02}:{number % 60:02}:00Z",
        "content": f"{said} (the {number}th time).",
    }


def send(base_url: str, method: str, path: str, body: Any, token: str = "") -> dict[str, Any]:
    """What the stack answers to a request; raises HTTPError where it refuses."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(base_url + path, data, headers, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        told: dict[str, Any] = json.load(answer)
    return told
