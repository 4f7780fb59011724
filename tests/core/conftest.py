"""A name server and a receiver for what goes outside."""

from collections.abc import Iterator
from typing import Any

import pytest

from core.publicnet import Endpoint
from tests.servers.names import NameServer, serving
from tests.servers.receiver import Receiver, receiving


@pytest.fixture
def names(settings: Any) -> Iterator[NameServer]:
    """A real name server on loopback, in place of the machine's."""
    with serving() as server:
        settings.DNS_SERVERS = (Endpoint("127.0.0.1", server.port),)
        yield server


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A server on this machine, which answers 204 unless told otherwise."""
    with receiving() as server:
        yield server
