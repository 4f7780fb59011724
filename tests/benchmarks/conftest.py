import pytest

from benchmarks import stack, stream


@pytest.fixture(scope="session")
def upstream_url():
    """The fake model server, a process of its own."""
    with stream.child("benchmarks.upstream") as process:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"


@pytest.fixture(scope="session")
def native_url():
    """A server of the native dialect whose faults the message chooses."""
    port = stack.free_port()
    options = ("--port", str(port), "--log-level", "critical", "--timeout-graceful-shutdown", "1")
    with stream.child("uvicorn", "tests.benchmarks.native_app:app", *options) as process:
        stack.wait_listening(port, process)
        yield f"http://127.0.0.1:{port}/v1/ai/chat"
