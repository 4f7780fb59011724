"""Keys of the workspace for pages and servers, and clients that carry them."""

from collections.abc import Callable
from typing import Any

import pytest

from accounts.models import ApiKey
from accounts.services import keys
from tests.cast import Api

ORIGIN = "https://shop.example"


class Caller(Api):
    """A client with its key's row beside it."""

    row: ApiKey


@pytest.fixture
def caller() -> Callable[..., Caller]:
    """Makes the client of a key that acts for somebody; `with_token` lets it speak for a visitor."""

    def make(actor, kind: str = "publishable", **more: Any) -> Caller:
        origins = more.pop("origins", [ORIGIN] if kind == "publishable" else [])
        row, text = keys.create(
            workspace=actor.workspace, user=actor.user, name="Page", kind=kind, origins=origins, **more
        )
        made = Caller(text)
        made.row = row
        return made

    return make


@pytest.fixture
def page(member, smart_home, caller) -> Caller:
    """A page of the workspace, which acts for the member."""
    return caller(member)


@pytest.fixture
def server(member, smart_home, caller) -> Caller:
    """The server behind the page."""
    return caller(member, "secret")


@pytest.fixture
def visitor(server) -> Callable[..., dict[str, str]]:
    """The header by which a page speaks for a user of the server's."""

    def make(user_id: str, **more: Any) -> dict[str, str]:
        told = server.post("/chat/token", {"userId": user_id, **more})
        assert told.status_code == 200, told.content
        return {"X-Client-Token": told.json()["token"]}

    return make


def begin(client: Api, agent: str = "smart-home", headers: dict[str, str] | None = None, **more: Any) -> str:
    """The id of a new chat."""
    made = client.post("/chat", {"agentId": agent, **more}, headers=headers or {})
    assert made.status_code == 200, made.content
    return made.json()["id"]


def refused(answer: Any, status: int, code: str) -> bool:
    """Whether it is this refusal, in the dialect's shape."""
    assert answer.status_code == status, answer.content
    assert answer.headers["Content-Type"] == "application/json"
    told = answer.json()
    assert set(told) == {"error"}
    assert set(told["error"]) == {"code", "message"}
    assert told["error"]["message"]
    assert told["error"]["code"] == code, told
    return True
