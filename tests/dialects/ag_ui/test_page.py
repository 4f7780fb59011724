"""The snippets of docs/clients/ag-ui.md, run as they stand there."""

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.chat.asking import Person
from tests.servers.stack import eventually

PAGE = Path(__file__).parents[3] / "docs" / "clients" / "ag-ui.md"
SNIPPETS = re.findall(r"^```js\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture
def run(live, node) -> Iterator[Callable[..., subprocess.Popen]]:
    file = node("ag_ui") / f"snippet-{os.getpid()}.mjs"  # beside the packages that it imports

    def start(number: int, **env: str) -> subprocess.Popen:
        file.write_text(SNIPPETS[number])
        env = {**os.environ, "BASE_URL": live.base_url, "KEY": live.demo["keys"]["secret"], **env}
        return subprocess.Popen(["node", file.name], cwd=file.parent, env=env, stdout=subprocess.PIPE, text=True)

    yield start
    file.unlink(missing_ok=True)


def ended(process: subprocess.Popen) -> str:
    told, _ = process.communicate(timeout=60)
    assert process.returncode == 0, told
    return told


@pytest.mark.proves("POST /api/ag-ui/{agent}", client="@ag-ui/client")
def test_the_first_message_is_answered(run):
    assert "device_list said:" in ended(run(0))


def test_who_waits_for_an_approval_is_told_what_came_of_it(live, run):
    before = {one for (one,) in live.sql("SELECT id FROM approvals_approval")}
    process = run(1)
    pending = "SELECT id FROM approvals_approval WHERE status = 'pending'"
    found = eventually(lambda: [one for (one,) in live.sql(pending) if one not in before], "it is asked for")
    manager = Person(live, "manager")
    assert manager.decide(str(found[0]), decision="approve").status_code == 200
    manager.http.close()
    assert "restarted" in ended(process)


def test_a_call_of_the_client_gets_its_result(run):
    assert "Berlin" in ended(run(2, QUESTION="[[rehearse: call=getLocation {}]]"))
