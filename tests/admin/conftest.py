"""Two workspaces with a row of every model each, and the staff of the first one."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib import admin
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from accounts.models import Actor, ApiKey, IdempotentRequest, Role, User, Workspace
from accounts.services import keys
from agents.brain import Choice
from agents.models import Agent, Provider
from agents.providers.base import ProviderSpec
from chat.models import Run
from chat.services import conversations, runs
from companions.models import Companion
from tests.cast import person

REHEARSAL = Choice(ProviderSpec(name="rehearsal", kind="rehearsal"), "rehearsal")
PROVIDER_KEY = "sk-canary-of-a-provider-0123456789"
ANSWER = "canary of an idempotent answer"
HOSTILE = '<script>alert("canary")</script><img src=x onerror=alert(1)>'
OURS = {"accounts", "agents", "companions", "chat"}


@dataclasses.dataclass
class Home:
    """A workspace and one row of every model in it."""

    member: Actor
    rows: dict[type[Model], Model]
    secret: str
    name: str

    def __getitem__(self, model: type[Model]) -> Any:
        return self.rows[model]


def furnish(workspace: Workspace, name: str) -> Home:
    """A row of every model; each carries the name, by which its traces are found."""
    member = person(workspace, f"{name}-member")
    agent = Agent.objects.create(workspace=workspace, slug=f"{name}-agent", name=f"{name} agent {HOSTILE}")
    companion = Companion.objects.create(
        workspace=workspace, type=f"{name}-companion", name=f"{name} companion {HOSTILE}", agent=agent
    )
    provider = Provider.objects.create(
        workspace=workspace, name=f"{name}-provider", base_url="javascript:alert(1)", api_key=PROVIDER_KEY
    )
    key, secret = keys.create(workspace=workspace, user=member.user, name=f"{name} key {HOSTILE}")
    conversation = conversations.new(companion, by=member)
    run = runs.start(conversation, text=f"{name} says {HOSTILE}", by=member, choice=REHEARSAL)
    Run.objects.filter(pk=run.pk).update(error_message=f"{name} error {HOSTILE}", error_code=f"{name}_code")
    request = IdempotentRequest.objects.create(
        workspace=workspace, user=member.user, key=f"{name}-key", request_hash=b"x" * 32, status=200, response=ANSWER
    )
    rows: list[Model] = [workspace, member.user, member.membership, agent, companion, provider, key, request]
    rows += [conversation, run.message, run]
    return Home(member, {type(row): row for row in rows}, secret, name)


@pytest.fixture
def here(workspace: Workspace) -> Home:
    """The workspace of the staff."""
    return furnish(workspace, "here")


@pytest.fixture
def there(other_workspace: Workspace) -> Home:
    """Another tenant's."""
    return furnish(other_workspace, "yonder")


@pytest.fixture
def browser() -> Callable[[User], Client]:
    """Makes a signed-in browser."""

    def make(user: User) -> Client:
        client = Client()
        client.force_login(user)
        return client

    return make


@pytest.fixture
def staff(here: Home, browser: Callable[[User], Client]) -> Callable[[Role], Client]:
    """Makes the browser of a new staff member of the first workspace."""

    def make(role: Role) -> Client:
        who = person(here[Workspace], f"staff-{role}", role)
        User.objects.filter(pk=who.user.pk).update(is_staff=True)
        return browser(who.user)

    return make


@pytest.fixture
def operator(db: None, browser: Callable[[User], Client]) -> Client:
    """The browser of a superuser who is a member of nothing."""
    return browser(User.objects.create_superuser("operator@example.org"))


def models() -> list[type[Model]]:
    """The models that the admin shows."""
    return sorted(admin.site._registry, key=lambda model: model._meta.label)


def url(model: type[Model], page: str, *args: object) -> str:
    """The address of an admin page."""
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def pages(home: Home) -> list[str]:
    """Every page there is about the rows of a workspace."""
    found = [reverse("admin:index"), reverse("admin:password_change")]
    for model in models():
        found += [url(model, "changelist"), url(model, "add")]
        found += [url(model, page, home[model].pk) for page in ("change", "history", "delete")]
    found += [url(Run, "cancel", home[Run].pk), url(Provider, "test", home[Provider].pk)]
    found += [url(ApiKey, page, home[ApiKey].pk) for page in ("rotate", "revoke")]
    return [*found, f"{url(User, 'changelist')}{home[User].pk}/password/"]
