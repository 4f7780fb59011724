"""Messages to the live stack."""

from typing import Any

import httpx

from tests.servers.sse import Event, events

CHAT = "/v1/ai/chat"


def body(model: str, **more: Any) -> dict[str, Any]:
    """A message that this model answers."""
    return {"message": "Explain my server architecture", "companion": "smart-home", "model": model, **more}


def streamed(http: httpx.Client, said: dict[str, Any], **headers: str) -> tuple[httpx.Response, list[Event]]:
    """The response and the events of a message that is answered by a stream."""
    with http.stream("POST", CHAT, json={"stream": True, **said}, headers=headers) as response:
        assert response.status_code == 200, response.read()
        return response, list(events(response))
