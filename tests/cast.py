"""The cast: one workspace with its people, a stranger from another, and a client that carries a key."""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
import redis
from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.http import HttpResponse
from django.test import Client

from accounts.models import Actor, Membership, Role, User, Workspace
from accounts.services import keys
from agents.models import Agent
from companions.models import Companion

PASSWORD = "correct horse battery"
JSON = "application/json"


class Api(Client):
    """A client that carries a key and speaks JSON; a server error is an answer, not an exception."""

    def __init__(self, key: str = "") -> None:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        super().__init__(raise_request_exception=False, headers=headers)
        self.key = key

    def post(self, path: str, data: Any = b"", content_type: str = JSON, **extra: Any) -> HttpResponse:
        """Send JSON: a dictionary or list is rendered, text and bytes go as they are."""
        return super().post(path, data, content_type, **extra)

    def patch(self, path: str, data: Any = b"", content_type: str = JSON, **extra: Any) -> HttpResponse:
        """Send JSON, as `post` does."""
        return super().patch(path, data, content_type, **extra)

    def put(self, path: str, data: Any = b"", content_type: str = JSON, **extra: Any) -> HttpResponse:
        """Send JSON, as `post` does."""
        return super().put(path, data, content_type, **extra)


@pytest.fixture(scope="session")
def _valkey() -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(settings.REDIS_URL)
    yield client
    client.close()


@pytest.fixture(autouse=True)
def _empty_valkey(_valkey: redis.Redis) -> None:
    _valkey.flushall()


@pytest.fixture
def workspace(db: None) -> Workspace:
    """The workspace in which most tests happen."""
    return Workspace.objects.create(name="Home", slug="home")


@pytest.fixture
def other_workspace(db: None) -> Workspace:
    """Another tenant."""
    return Workspace.objects.create(name="Elsewhere", slug="elsewhere")


@cache
def _hash(password: str) -> str:
    return make_password(password)  # slow, as it must be


def person(workspace: Workspace, name: str, role: Role = Role.MEMBER, password: str | None = None) -> Actor:
    """A new person with a role; without a password they cannot sign in."""
    email = f"{name}@{workspace.slug}.example"
    user = User.objects.create_user(email, name=name.capitalize())
    if password is not None:
        user.password = _hash(password)
        user.save(update_fields=["password"])
    membership = Membership.objects.create(workspace=workspace, user=user, role=role)
    return Actor(user=user, workspace=workspace, membership=membership)


@pytest.fixture
def owner(workspace: Workspace) -> Actor:
    """An admin of the workspace."""
    return person(workspace, "owner", Role.ADMIN)


@pytest.fixture
def manager(workspace: Workspace) -> Actor:
    """A manager of the workspace."""
    return person(workspace, "manager", Role.MANAGER)


@pytest.fixture
def member(workspace: Workspace) -> Actor:
    """A member of the workspace, with PASSWORD as the password."""
    return person(workspace, "member", password=PASSWORD)


@pytest.fixture
def stranger(other_workspace: Workspace) -> Actor:
    """A member of the other workspace."""
    return person(other_workspace, "stranger")


def companion(workspace: Workspace) -> Companion:
    """A new companion, with an agent of the same slug."""
    agent = Agent.objects.create(
        workspace=workspace, slug="smart-home", name="Hestia", instructions="You help people run their home."
    )
    return Companion.objects.create(workspace=workspace, type="smart-home", name="Hestia", agent=agent)


@pytest.fixture
def smart_home(workspace: Workspace) -> Companion:
    """The companion that tests talk to."""
    return companion(workspace)


@pytest.fixture
def client_of() -> Callable[[Actor], Api]:
    """Makes the client of a person, with a new secret key."""

    def make(actor: Actor) -> Api:
        _, secret = keys.create(workspace=actor.workspace, user=actor.user, name="Tests")
        return Api(secret)

    return make


@pytest.fixture
def console(owner: Actor) -> Client:
    """The owner's browser."""
    client = Client(headers={"Accept": "text/html"})
    client.force_login(owner.user)
    return client


@pytest.fixture
def api(member: Actor, client_of: Callable[[Actor], Api]) -> Api:
    """The member's client."""
    return client_of(member)
