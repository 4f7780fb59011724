"""What clients asked and were told, line by line in a file that the system under test knows nothing of."""

import json
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import httpx

from tests.servers.sse import PATIENCE

AGAIN_SECONDS = 0.15
PASSING = ("idempotency_in_flight", "rate_limited")  # answers with 4xx that another try may not get


class History:
    """The file. A line is `invoke`, then `ok` or `fail`, or `info` where nobody can know."""

    def __init__(self, file: Path) -> None:
        self._file = file.open("a", buffering=1)
        self._lock = threading.Lock()

    def note(self, who: str, kind: str, operation: str, **told: Any) -> None:
        """Write a line."""
        line = {"at": round(time.monotonic(), 4), "who": who, "type": kind, "f": operation, **told}
        with self._lock:
            self._file.write(json.dumps(line) + "\n")

    def close(self) -> None:
        """Nothing more comes."""
        self._file.close()


class Person:
    """Somebody of the demo, who asks whichever web process answers, again until there is a definite answer.

    Once it is `over` nobody waits for answers any more.
    """

    def __init__(
        self,
        name: str,
        login: dict[str, str],
        urls: Sequence[str],
        *,
        history: History,
        over: threading.Event,
        rng: Random,
    ) -> None:
        self.name, self.login, self._urls = name, login, urls
        self.history, self.over, self.rng = history, over, rng
        self._token = ""
        self.http = httpx.Client(timeout=PATIENCE, trust_env=False)

    def url(self, path: str) -> str:
        """Where to ask: one of the web processes, by chance."""
        return self.rng.choice(list(self._urls)) + path

    def headers(self, **more: str) -> dict[str, str]:
        """What a request carries; signs in where that is needed."""
        while not self._token and not self.over.is_set():
            try:
                answer = self.http.post(self.url("/v1/auth/login"), json=self.login)
                self._token = answer.json()["access"] if answer.status_code == 200 else ""
            except (httpx.HTTPError, ValueError):
                self._token = ""
            if not self._token:
                self.over.wait(AGAIN_SECONDS)
        return {"Authorization": f"Bearer {self._token}", **more}

    def ask(self, operation: str, method: str, path: str, body: Any = None, *, key: str = "", **told: Any) -> Any:
        """The definite answer, with every try in the history; None where it never came."""
        self.history.note(self.name, "invoke", operation, **told)
        while not self.over.is_set():
            answer = self._try(method, path, body, {"Idempotency-Key": key} if key else {})
            if isinstance(answer, httpx.Response) and self.definite(answer):
                return answer
            code = answer.status_code if isinstance(answer, httpx.Response) else None
            detail = answer.text[:300] if isinstance(answer, httpx.Response) else answer
            self.history.note(self.name, "info", operation, code=code, detail=detail, **told)
            self.over.wait(AGAIN_SECONDS)
        return None

    def _try(self, method: str, path: str, body: Any, headers: dict[str, str]) -> httpx.Response | str:
        try:
            return self.http.request(method, self.url(path), json=body, headers=self.headers(**headers))
        except httpx.HTTPError as error:
            return repr(error)

    def definite(self, answer: httpx.Response) -> bool:
        """Whether the same request would be answered so again."""
        if answer.status_code == 401:
            self._token = ""
        passing = answer.status_code in (401, 429) or answer.status_code >= 500
        return not passing and (answer.status_code < 400 or answer.json().get("code") not in PASSING)
