"""What tests of approvals begin with: a desk that asks, and people of several roles."""

from collections.abc import Callable

import pytest
from django.test import Client

from accounts.models import Actor, Role, User, Workspace
from approvals import kinds
from tests.approvals.browsing import HTML, Site
from tests.approvals.calling import signed_in
from tests.approvals.desk import KIND, Desk
from tests.cast import Api, person


@pytest.fixture
def desk() -> Desk:
    """A kind of approvals that needs no tables; each test has its own."""
    made = Desk()
    kinds.register(KIND, made)
    return made


@pytest.fixture
def colleague(workspace: Workspace) -> Actor:
    """Another manager."""
    return person(workspace, "colleague", Role.MANAGER)


@pytest.fixture
def auditor(workspace: Workspace) -> Actor:
    """One who reads everything and decides nothing."""
    return person(workspace, "auditor", Role.AUDITOR)


@pytest.fixture
def browser() -> Callable[[Actor], Client]:
    """Makes the browser of a person who is let into the admin."""

    def make(actor: Actor) -> Client:
        User.objects.filter(pk=actor.user.pk).update(is_staff=True)
        client = Client()
        client.force_login(actor.user)
        return client

    return make


@pytest.fixture
def manage(manager: Actor) -> Api:
    """The manager's client."""
    return signed_in(manager)


@pytest.fixture
def site() -> Site:
    """Makes the browser of a person who has signed in, and is no staff."""

    def make(actor: Actor) -> Client:
        client = Client(headers=HTML)
        client.force_login(actor.user)
        return client

    return make
