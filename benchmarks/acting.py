"""What agents do while somebody watches: many tool calls at once, and a team that speaks at the same time."""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from subprocess import Popen
from typing import Any

import httpx

from benchmarks import proc, wire

TOOL = "slow_lookup"
PACE = 20  # ms between two words of a member
PATIENCE = 60.0
TRIES = 20  # rounds until every worker knows a new tool
MODEL = "rehearsal"

Heard = tuple[float, str, dict[str, Any]]


class Failed(RuntimeError):
    """An answer was not what was asked for, so that there is nothing to measure."""


class NotYet(Failed):
    """The tool was not offered."""


@dataclass(frozen=True, slots=True)
class Calls:
    """One round of calls at once: seconds at the client's clock, the most under way at the server, CPU by process."""

    seconds: float
    most: int
    cpu: dict[str, float]


@dataclass(frozen=True, slots=True)
class Talk:
    """One answer of a team: seconds from the request until all members have ended, and until all of it was told."""

    members: float
    whole: float


class Client:
    """A member who talks with agents, and the admin who sets them up."""

    def __init__(self, base_url: str, key: str, admin: dict[str, str]) -> None:
        self._asker = _client(base_url, key)
        body = {"email": admin["email"], "password": admin["password"]}
        answer = httpx.post(f"{base_url}/v1/auth/login", json=body, timeout=PATIENCE, trust_env=False)
        self._admin = _client(base_url, answer.raise_for_status().json()["access"])

    def set(self, method: str, path: str, **said: Any) -> dict[str, Any]:
        """What an admin's request comes back with; raises Failed where it is refused."""
        answer = self._admin.request(method, f"/v1/ai/{path}", json=said)
        if answer.is_error:
            raise Failed(f"{method} {path}: {answer.status_code} {answer.text[:500]}")
        found: dict[str, Any] = answer.json()
        return found

    def ask(self, path: str, **said: Any) -> Iterator[Heard]:
        """The events of an answer with the seconds since it was asked for; raises Failed where it ends otherwise."""
        events, began = wire.Events(), time.perf_counter()
        with self._asker.stream("POST", f"/v1/ai/{path}", json={**said, "model": MODEL, "stream": True}) as answer:
            answer.raise_for_status()
            for piece in answer.iter_raw():
                now = time.perf_counter() - began
                for event in events.feed(piece):
                    data = json.loads(event.data)
                    if event.name == "error":
                        raise Failed(f"{path}: {data}")
                    yield now, event.name, data

    def close(self) -> None:
        """Hang up."""
        self._asker.close()
        self._admin.close()


def _client(base_url: str, token: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.Client(base_url=base_url, timeout=PATIENCE, trust_env=False, headers=headers)


class Caller:
    """An agent whose model calls a tool many times in one step; the tool is a request to the API that waits."""

    def __init__(self, client: Client, agent_id: str, api: "Popen[str]", port: int, roots: Sequence[int]) -> None:
        self._client, self._api, self._roots = client, api, roots
        number = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
        said = {"name": TOOL, "description": "Look something up.", "url": f"http://127.0.0.1:{port}/lookup"}
        client.set("POST", "tools", **said, parameters=number)
        client.set("PATCH", f"agents/{agent_id}", tools=[TOOL])

    def warm(self, count: int) -> None:
        """Call until all calls are made, and once more: processes know of a new tool after a moment."""
        for _ in range(TRIES):
            try:
                self.round(count)
                break
            except NotYet:
                time.sleep(0.5)
        self.round(count)

    def round(self, count: int) -> Calls:
        """So many calls in one step; raises Failed where not every one succeeded."""
        asked = " ".join(f'call={TOOL} {{"n": {n}}}' for n in range(count))
        before = proc.cpu(self._roots)
        self._seen()
        called, ended, failed = list[float](), list[float](), list[str]()
        message = f"[[rehearse: tokens=2 interval=0 {asked}]]"
        for at, name, data in self._client.ask("chat", message=message, companion="smart-home"):
            if name == "tool_call":
                called.append(at)
            elif name == "tool_result":
                ended.append(at)
                failed += [] if data["ok"] else [data["summary"]]
        if not called:
            raise NotYet("No tool was called.")
        seen = self._seen()
        if failed or not len(called) == len(ended) == seen["asked"] == count:
            raise Failed(f"{len(called)} calls, {len(ended)} results, {seen['asked']} requests; {failed[:1]}")
        after = proc.cpu(self._roots)
        return Calls(ended[-1] - called[0], seen["most"], {group: after[group] - before[group] for group in after})

    def _seen(self) -> dict[str, int]:
        assert self._api.stdin is not None
        assert self._api.stdout is not None
        self._api.stdin.write("\n")
        self._api.stdin.flush()
        found: dict[str, int] = json.loads(self._api.stdout.readline())
        return found


class Team:
    """Agents that answer at the same time, each a little faster than the one before, and a lead who only sums up."""

    def __init__(self, client: Client, size: int) -> None:
        self._client = client
        self._members = [f"Member{number}" for number in range(1, size + 1)]
        slugs = [client.set("POST", "agents", name=name)["slug"] for name in (*self._members, "Lead")]
        team = client.set("POST", "teams", name="Five", agents=slugs[:-1], lead=slugs[-1], chat_mode="brainstorm")
        self._path = f"teams/{team['id']}/chat"

    def alone(self, words: int) -> float:
        """Seconds that one agent takes for what the slowest member says."""
        message = f"[[rehearse: tokens={words} interval={PACE}]]"
        return [at for at, _, _ in self._client.ask("chat", message=message, companion="devops")][-1]

    def together(self, words: int, summary: int) -> Talk:
        """An answer in which the slowest member says so many words, and the lead so many; raises Failed."""
        members, whole = list[float](), 0.0
        for at, name, data in self._client.ask(self._path, message=self._directed(words, summary)):
            whole = at
            if name == "member":
                if data["error"]:
                    raise Failed(f"{data['agent_name']}: {data['error']}")
                members += [at] if data["role"] == "member" else []
        if len(members) != len(self._members):
            raise Failed(f"{len(members)} of {len(self._members)} members answered")
        return Talk(members[-1], whole)

    def _directed(self, words: int, summary: int) -> str:
        """Who says how much: the last member all, the others a twentieth less each."""
        spoken = {name: words - words // 20 * place for place, name in enumerate(reversed(self._members))}
        said = {**spoken, "Lead": summary}
        return " ".join(f"[[rehearse: as={name} tokens={n} interval={PACE}]]" for name, n in said.items())
