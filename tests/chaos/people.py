"""Who uses the stack while it breaks: members who ask and read on, managers who decide, and one who looks after."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any

import httpx

from tests import signing_in
from tests.chaos import evidence
from tests.chaos.history import AGAIN_SECONDS, Person
from tests.chaos.workload import EDITED, Planned, Workload
from tests.servers.sse import Event, Reader, events

LEAVES = 0.02  # of all events: the reader closes the connection and comes back
CANCELS = 0.05  # of all runs
MEDDLES = 0.08  # of all requests: whoever asked tries to approve it
LOOK_SECONDS = 0.3
AT_ONCE = 6  # decisions of one manager
ATTEMPT = re.compile(r'name="attempt" value="(\d+)"')  # in the form that asks what became of an action
SURE_SECONDS = 3.0  # after which nothing that was sent can still be under way


@dataclass
class Watcher(Reader):
    """A reader who knows what is no end: that a run waits, and that a stream broke."""

    frames: list[tuple[str | None, str, str]] = field(default_factory=list)

    def heed(self, event: Event) -> None:
        """Do what a client does with an event."""
        waits = event.name == "done" and event.data["status"] == "awaiting_approval"
        broke = event.name == "error" and event.id is None
        if event.name != "session" and not waits and not broke:
            # A restart that comes with a snapshot has no number of its own, and the one before it still stands.
            number = None if event.name == "restart" else event.id
            self.frames.append((number, event.name, str(event.data.get("call_id", ""))))
        if waits and event.id is not None:
            self.last_id = event.id
        if not waits and not broke:
            super().heed(event)


class Member:
    """Asks for calls, reads the answer to its end over as many connections as it takes, and sometimes cancels."""

    def __init__(self, person: Person, workload: Workload, *, alone: bool) -> None:
        self.person, self._workload, self._alone = person, workload, alone

    def live(self) -> None:
        """Ask until all is asked for."""
        while (calls := self._workload.take(alone=self._alone)) and not self.person.over.is_set():
            self._ask(calls)

    def _ask(self, calls: list[Planned]) -> None:
        person, first = self.person, calls[0].n
        told = {"calls": [call.n for call in calls]}
        person.history.note(person.name, "invoke", "read", **told)
        watcher, cancels = Watcher(), person.rng.random() < CANCELS
        while watcher.end is None and not person.over.is_set():
            try:
                with self._open(watcher, calls) as response:
                    if response.status_code == 200:
                        cancels = self._read(watcher, response, cancels)
                        continue
                    response.read()
                    person.definite(response)
                    problem = {"code": response.status_code, "detail": response.text[:300]}
                    person.history.note(person.name, "info", "read", run=watcher.run_id, **problem)
            except httpx.HTTPError as error:
                person.history.note(person.name, "info", "read", run=watcher.run_id, detail=repr(error))
            person.over.wait(AGAIN_SECONDS)
        if watcher.end is not None:
            person.history.note(
                person.name, "ok", "read", run=watcher.run_id, first=first, frames=watcher.frames, text=watcher.text,
                response=watcher.end.data.get("response", watcher.text), end=watcher.end.name, **told,
            )  # fmt: skip

    @contextmanager
    def _open(self, watcher: Watcher, calls: list[Planned]) -> Iterator[httpx.Response]:
        """The stream, begun or gone on with."""
        person = self.person
        if watcher.run_id:
            back = {"Last-Event-ID": watcher.last_id} if watcher.last_id else {}
            path = f"/v1/ai/runs/{watcher.run_id}/events"
            with person.http.stream("GET", person.url(path), headers=person.headers(**back)) as response:
                yield response
            return
        directed = " ".join(call.directive for call in calls)
        body = {"message": f"[[rehearse: interval=3 {directed}]]", "companion": "devops", "stream": True}
        headers = person.headers(**{"Idempotency-Key": f"ask {calls[0].n}"})
        with person.http.stream("POST", person.url("/v1/ai/chat"), json=body, headers=headers) as response:
            yield response

    def _read(self, watcher: Watcher, response: httpx.Response, cancels: bool) -> bool:
        """Heed what comes, until the end or a whim; gives whether the run is still to be cancelled."""
        person = self.person
        for event in events(response):
            watcher.heed(event)
            if watcher.end is not None:
                break
            if event.name == "approval_required" and person.rng.random() < MEDDLES:
                self._meddle(event.data["approval_id"])
            if cancels and event.name in ("approval_required", "status", "tool_result") and person.rng.random() < 0.5:
                person.ask("cancel", "POST", f"/v1/ai/runs/{watcher.run_id}/cancel", run=watcher.run_id)
                cancels = False
            if person.rng.random() < LEAVES:
                break
        return cancels

    def _meddle(self, approval_id: str) -> None:
        """Try to approve what was asked for oneself."""
        body, told = {"decision": "approve"}, {"approval": approval_id}
        answer = self.person.ask("meddle", "POST", f"/v1/ai/approvals/{approval_id}", body, **told)
        if answer is not None:
            kind = "ok" if answer.status_code == 200 else "fail"
            self.person.history.note(self.person.name, kind, "meddle", code=answer.status_code, **told)


class Manager:
    """Decides on what is pending, as was planned for each call."""

    def __init__(self, person: Person, workload: Workload, *, second: bool) -> None:
        self.person, self._workload, self._second = person, workload, second

    def live(self) -> None:
        """Decide until nobody asks any more; several at once, for some answers are long in coming."""
        seen: set[str] = set()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            while not self.person.over.is_set():
                answer = self.person.ask("list", "GET", "/v1/ai/approvals?limit=100")
                rows = answer.json()["approvals"] if answer is not None else []
                for row in (row for row in rows if row["id"] not in seen):
                    seen.add(row["id"])
                    pool.submit(self._consider, row).add_done_callback(Future.result)
                self.person.over.wait(LOOK_SECONDS)

    def _consider(self, row: dict[str, Any]) -> None:
        answer = self.person.ask("look", "GET", f"/v1/ai/approvals/{row['id']}", approval=row["id"])
        if answer is None:
            return
        shown = answer.json()
        plan = self._workload.plan(shown["arguments"]["n"])
        if shown["quorum"]["approve"] > 1 or plan.verb == "race":
            mine = True
        else:
            asked_by_the_first = (shown["requested_by"] or {}).get("name") == "Manager"
            mine = self._second == (plan.n % 2 == 1 or asked_by_the_first)
        if mine and shown["may_decide"] and plan.verb != "ignore":
            self._decide(shown, plan.verb if shown["quorum"]["approve"] == 1 else "approve")

    def _decide(self, shown: dict[str, Any], verb: str) -> None:
        approval_id, person = shown["id"], self.person
        body: dict[str, Any] = {"decision": "approve", "digest": shown["digest"]}
        match verb:
            case "reject":
                body |= {"decision": "reject", "reason": "Not today"}
            case "respond":
                body |= {"decision": "respond", "response": "I did it by hand"}
            case "edit":
                body["arguments"] = {**shown["arguments"], "n": shown["arguments"]["n"] + EDITED}
            case "race":
                body |= {"decision": "reject", "reason": "I was first"} if self._second else {}
                time.sleep(0.5 - time.monotonic() % 0.5)  # both at the same moment
            case "late":
                ends = datetime.fromisoformat(shown["expires_at"]).timestamp()
                time.sleep(max(0.0, ends - time.time() - person.rng.uniform(-0.05, 0.1)))
        told = {"approval": approval_id, "said": body["decision"]}
        answer = person.ask(
            "decide", "POST", f"/v1/ai/approvals/{approval_id}", body, key=f"decide {approval_id}", **told
        )
        if answer is None:
            return
        found = answer.json()
        if answer.status_code == 200:
            told |= {"status": found["status"], "decision": found["decision"] or ""}
            person.history.note(person.name, "ok", "decide", **told)
        else:
            person.history.note(person.name, "fail", "decide", code=answer.status_code, problem=found["code"], **told)


class Caretaker:
    """Says in the admin what became of actions whose outcome is unknown: what the sink's own file says."""

    def __init__(self, person: Person, effects: Path, unknown: Callable[[], list[str]]) -> None:
        self.person, self._effects, self._unknown = person, effects, unknown
        self._since: dict[str, float] = {}
        self._signed_in = False

    def live(self) -> None:
        """Look after what is unknown, until nobody asks any more."""
        while not self.person.over.wait(LOOK_SECONDS * 3):
            self.look()

    def look(self) -> None:
        """Resolve what has been unknown for long enough that the truth about it stands still."""
        now = time.monotonic()
        self._since = {action_id: self._since.get(action_id, now) for action_id in self._unknown()}
        sure = [action_id for action_id, since in self._since.items() if now - since > SURE_SECONDS]
        if sure:
            done = {line["key"] for line in evidence.read(self._effects) if line["what"] == "effect"}
            for action_id in sure:
                verb = "done" if action_id in done else self.person.rng.choice(["not_done", "not_done", "abandon"])
                if self._say(action_id, verb):
                    self._since.pop(action_id)

    def _say(self, action_id: str, verb: str) -> bool:
        person = self.person
        person.history.note(person.name, "invoke", "resolve", action=action_id, said=verb)
        try:
            if not self._signed_in:
                self._sign_in()
            url = person.url(f"/admin/chat/action/{action_id}/{verb}/")
            shown = ATTEMPT.search(person.http.get(url).text)
            data = {"note": "I looked", "attempt": shown[1] if shown else "", "csrfmiddlewaretoken": self._token()}
            answer = person.http.post(url, data=data)
        except httpx.HTTPError as error:
            person.history.note(person.name, "info", "resolve", action=action_id, detail=repr(error))
            return False
        kind = "ok" if answer.status_code == 302 and "login" not in answer.headers["Location"] else "info"
        self._signed_in = kind == "ok"
        person.history.note(person.name, kind, "resolve", action=action_id, code=answer.status_code, said=verb)
        return kind == "ok"

    def _sign_in(self) -> None:
        person = self.person
        person.http.cookies.clear()
        self._signed_in = signing_in.over_http(person.http, person.url(""), person.login)

    def _token(self) -> str:
        return self.person.http.cookies.get("csrftoken", "")


def thread(person: Person, live: Callable[[], None]) -> threading.Thread:
    """A thread in which somebody lives, begun; what they stumble over is in the history."""

    def run() -> None:
        try:
            live()
        except Exception as error:
            person.history.note(person.name, "stumble", "live", detail=repr(error)[:300])
            raise

    begun = threading.Thread(target=run, name=person.name, daemon=True)
    begun.start()
    return begun


def seeded(seed: str, name: str) -> Random:
    """What somebody of this name draws their whims from."""
    return Random(f"{seed} {name}")
