"""The public API as the terminal asks it: JSON, and streams that are taken up again where they were cut."""

import contextlib
import json
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

from config.terminal import harmless

ENDS = frozenset({"done", "error"})
PASSING = frozenset({429, 500, 502, 503, 504})
BROKE = (
    httpx.ReadError, httpx.WriteError, httpx.CloseError, httpx.RemoteProtocolError, httpx.ReadTimeout,
    httpx.WriteTimeout,
)  # fmt: skip
PAUSES = (0.2, 0.5, 1.0, 2.0, 4.0, *[8.0] * 8)  # seconds before a cut stream is asked for again
LONGEST_LINE = 4_000_000
SILENCE = 90.0  # seconds; the service sends something every quarter of a minute


class Trouble(Exception):
    """What the service, or the way to it, says no to; the text is for people."""


class Unreachable(Trouble):
    """Nobody answers, or nobody who can; it may be well a moment later."""


class Cut(Unreachable):
    """The connection broke: nobody knows what the other side had heard by then."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a stream."""

    name: str
    data: dict[str, Any]


LOST = Event("status", {"label": "the connection was lost; trying again"})


@dataclass
class Follower:
    """One run's events; it knows how far it was heard."""

    run_id: str = ""
    last: str = ""
    ended: bool = field(default=False)


class Client:
    """An installation at an address, with a key."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url.rstrip("/")
        timeout = httpx.Timeout(SILENCE, connect=5.0)
        self._http = httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {key}"},
            timeout=timeout,
            follow_redirects=False,
            trust_env=False,  # a proxy would be given the key
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def get(self, path: str, **query: Any) -> Any:
        """What is there; raises Trouble."""
        return self._ask("GET", path, params=query)

    def post(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """What comes of it; raises Trouble."""
        return self._ask("POST", path, json=body)

    def say(self, body: dict[str, Any], run: Follower) -> Iterator[Event]:
        """Say something, and read the answer to its end or until it waits; raises Trouble.

        Where it is not known whether it was taken it is sent again, under the key by which it is not taken twice.
        """
        key, cut = {"Idempotency-Key": secrets.token_hex(16)}, False
        for pause in PAUSES:
            try:
                yield from self._read("POST", "/v1/ai/chat", run, key, json={**body, "stream": True, "wait": 0})
            except Unreachable as error:
                if not (cut or isinstance(error, Cut)):
                    raise
            if run.run_id:
                break
            if not cut:
                yield LOST
            cut = True
            time.sleep(pause)
        else:
            raise Unreachable(f"{self.url} broke off before it answered. /last shows whether it was taken.")
        yield from self.follow(run)

    def follow(self, run: Follower) -> Iterator[Event]:
        """Read on after the last event that came, as often as the stream is cut; raises Trouble."""
        tries = 0
        while not run.ended:
            heard = run.last
            with contextlib.suppress(Unreachable):
                yield from self._read("GET", f"/v1/ai/runs/{run.run_id}/events", run)
            if run.ended:
                return
            tries = 0 if run.last != heard else tries + 1
            if tries == len(PAUSES):
                raise Unreachable(f"{self.url} was lost in the middle of the answer. /last reads it when it is back.")
            if tries == 1:
                yield LOST
            time.sleep(PAUSES[tries])

    def _read(
        self, method: str, path: str, run: Follower, headers: dict[str, str] | None = None, **more: Any
    ) -> Iterator[Event]:
        """The events of one response; raises Trouble, and Cut where it broke off."""
        sent = {"Accept": "text/event-stream", **(headers or {}), **({"Last-Event-ID": run.last} if run.last else {})}
        try:
            with self._http.stream(method, path, headers=sent, **more) as response:
                if response.status_code != httpx.codes.OK:
                    response.read()
                    raise _refused(response)
                for event in _events(response, run):
                    if event.name == "error" and not event.data.get("run_id"):
                        return  # the stream broke, not the run
                    run.run_id = str(event.data.get("run_id") or run.run_id)
                    run.ended = event.name in ENDS
                    yield event
        except BROKE as error:
            raise Cut(f"{self.url} broke off: {harmless.line(error)}") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._unreachable() from error

    def _ask(self, method: str, path: str, **more: Any) -> Any:
        try:
            response = self._http.request(method, path, **more)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._unreachable() from error
        if response.status_code >= httpx.codes.BAD_REQUEST:
            raise _refused(response)
        try:
            return response.json() if response.content else None
        except ValueError:
            raise Trouble(f"{self.url} answers, but not as Countersign does. Is the address right?") from None

    def _unreachable(self) -> Unreachable:
        return Unreachable(f"Nobody answers at {self.url}. Start Countersign (make up), or name another with --url.")


def _events(response: httpx.Response, run: Follower) -> Iterator[Event]:
    """The events of a stream of the service, as far as they came whole."""
    name, data, number = "", "", ""
    for line in response.iter_lines():
        if len(line) > LONGEST_LINE:
            raise Trouble("The service sends a line that is too long to be one of its own.")
        kind, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if kind == "event":
            name = value
        elif kind == "data":
            data += value
        elif kind == "id":
            number = value
        elif not line and data:
            yield Event(name, _object(data))
            run.last = number or run.last  # only once it was dealt with
            name, data, number = "", "", ""


def _object(data: str) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Trouble("The service sends an event that cannot be read.")
    return found


def _refused(response: httpx.Response) -> Trouble:
    """What a problem says, on one line; Unreachable where it may say otherwise a moment later."""
    said, code = "", ""
    with contextlib.suppress(ValueError, AttributeError):
        told = response.json()
        said, code = told.get("detail") or told.get("title") or "", str(told.get("code", ""))
    named = f"{harmless.line(said, 500)} ({harmless.line(code or response.status_code, 60)})"
    text = named if said or code else f"The service answers {response.status_code}."
    passing = response.status_code in PASSING or code == "idempotency_in_flight"
    return Unreachable(text) if passing and code != "brain_unavailable" else Trouble(text)
