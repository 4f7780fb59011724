"""People of the demo at a real stack: who asks and reads on, who decides, and what happened in the sandbox."""

import threading

import httpx

from tests.servers.sse import Reader
from tests.servers.stack import Stack, eventually

RESTART = "Please restart the web service"


class Person:
    """Somebody of the demo, signed in by password."""

    def __init__(self, stack: Stack, name: str) -> None:
        login = stack.demo["users"][name]
        self.name, self.email = name, login["email"]
        self.http = httpx.Client(base_url=stack.base_url, timeout=60, trust_env=False)
        answer = self.http.post("/v1/auth/login", json={"email": login["email"], "password": login["password"]})
        self.http.headers["Authorization"] = f"Bearer {answer.json()['access']}"

    def decide(self, approval_id: str, **body) -> httpx.Response:
        return self.http.post(f"/v1/ai/approvals/{approval_id}", json=body)

    def approval(self, approval_id: str) -> dict:
        return self.http.get(f"/v1/ai/approvals/{approval_id}").json()


class Asking:
    """A message whose stream is read in the background, as a person's open page would."""

    def __init__(self, stack: Stack, message: str, companion: str = "devops", **more) -> None:
        self.reader = Reader()
        self._stack = stack
        self._body = {"message": message, "companion": companion, "stream": True, **more}
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with (
            httpx.Client(timeout=90, trust_env=False) as client,
            client.stream(
                "POST", f"{self._stack.base_url}/v1/ai/chat", json=self._body, headers=self._stack.headers
            ) as response,
        ):
            self.reader.read(response)

    def wait_for(self, name: str) -> dict:
        """The data of the first event of this name."""
        return eventually(lambda: self.named(name), f"the stream says {name}")[0]

    def named(self, name: str) -> list[dict]:
        return [event.data for event in list(self.reader.events) if event.name == name]

    def end(self) -> Reader:
        self._thread.join(60)
        assert self.reader.end is not None, [event.name for event in self.reader.events]
        return self.reader


def effects(stack: Stack) -> list[tuple]:
    return stack.sql("SELECT tool, arguments, calls FROM agents_sandboxeffect ORDER BY created_at")
