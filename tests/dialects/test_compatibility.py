"""docs/compatibility.md is what the tests prove, all that the schema has is proven, and a false claim is found."""

import subprocess
import sys

import pytest

from tests import compatibility
from tests.compatibility import CLIENTS, ROOT, Proof


@pytest.mark.timeout(400)
def test_the_page_is_what_the_tests_say_and_every_operation_is_proven():
    command = [sys.executable, "-m", "tests.compatibility", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=360, check=False)
    assert done.returncode == 0, done.stderr[-3000:] or done.stdout[-3000:]


@pytest.mark.parametrize("client", CLIENTS.values(), ids=str)
def test_a_clients_version_is_the_one_that_is_locked(client):
    assert bool(client.version) == bool(client.package)


def test_what_is_unproven_or_unknown_is_named():
    proofs = [Proof("GET /a", "curl", "x"), Proof("GET /gone", "curl", "x"), Proof("WebSocket /ws", "websockets", "x")]
    assert compatibility.unproven(["GET /a", "POST /a"], proofs) == ["POST /a"]
    assert compatibility.unknown(["GET /a", "POST /a"], proofs) == ["GET /gone"]


def test_only_an_answer_with_success_is_a_proof():
    known = ["GET /chat/{chat_id}", "POST /chat/token", "GET /v1/models/{model}", "POST /chat/{chat_id}"]
    lines = ["GET /chat/1 404", "POST /chat/token/ 200", '{"message": "GET /v1/models/agent/x 200"}', "GET /other 200"]
    assert compatibility.served(lines, known) == {"POST /chat/token", "GET /v1/models/{model}"}


def test_the_requests_of_a_test_are_heard(client, db):
    with compatibility.heard(None) as lines:
        assert client.get("/v1/ai/health").status_code == 200
    assert compatibility.served(lines, ["GET /v1/ai/health"]) == {"GET /v1/ai/health"}


class Item:
    """A test as the plug-in sees it."""

    nodeid, path = "x", ROOT / "tests" / "x.py"

    def __init__(self, *operations, client):
        self.markers = [pytest.mark.proves(*operations, client=client).mark]

    def iter_markers(self, name):
        return self.markers


def called(item, answer="nothing"):
    """What comes of the plug-in's hook around a test that asks nothing."""
    hook = compatibility.pytest_runtest_call(item)
    next(hook)
    with pytest.raises(StopIteration):
        hook.send(answer)


def test_a_claim_that_does_not_hold_fails_its_test(db):
    with pytest.raises(pytest.fail.Exception, match="no answer with success of GET /v1/ai/health"):
        called(Item("GET /v1/ai/health", client="curl"))
    called(Item("WebSocket /ws", client="websockets"))


def test_a_client_that_nobody_knows_is_refused():
    with pytest.raises(ValueError, match="netscape"):
        compatibility.claims(Item("GET /a", client="netscape"))
