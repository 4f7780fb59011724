"""The snippets of docs/clients/native.md, and the curl lines of the README and of docs/webhooks.md, as they stand."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.servers.stack import Stack

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "clients" / "native.md").read_text()
SNIPPETS = re.findall(r"^```(sh|python)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
ASKED = "device_list said:"


def curl(text: str) -> str:
    """The one snippet of a text that begins a line with curl."""
    [found] = [one for one in re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL) if "curl" in one]
    return found


def ended(command: list[str], **how) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **how)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout.strip()


def token(live: Stack, who: str) -> str:
    login = httpx.post(f"{live.base_url}/v1/auth/login", json=live.demo["users"][who], trust_env=False)
    return login.json()["access"]


@pytest.fixture
def run(live: Stack) -> Callable[..., str]:
    """What the page's snippet of this place prints."""

    def start(place: int, **env: str) -> str:
        language, text = SNIPPETS[place]
        env = {**os.environ, "BASE_URL": live.base_url, "KEY": live.demo["keys"]["secret"], **env}
        command = ["bash", "-euo", "pipefail", "-c"] if language == "sh" else [sys.executable, "-c"]
        return ended([*command, text], env=env)

    return start


def test_the_page_has_its_snippets():
    assert [language for language, _ in SNIPPETS] == ["sh", "sh", "sh", "python", "python", "sh", "sh"]


@pytest.mark.proves("POST /v1/auth/login", client="curl")
def test_who_signs_in_has_a_token(live, run):
    login = live.demo["users"]["member"]
    access = run(0, EMAIL=login["email"], PASSWORD=login["password"])
    assert ASKED in run(1, KEY=access)


@pytest.mark.proves("POST /v1/ai/chat", client="curl")
def test_a_message_is_answered(live, run):
    assert ASKED in run(1)


@pytest.mark.proves("POST /v1/ai/chat", "GET /v1/ai/runs/{run_id}/events", client="curl")
def test_who_was_cut_off_reads_on(live, run):
    assert run(2) == "completed"


@pytest.mark.proves("POST /v1/ai/chat", client="httpx")
def test_a_stream_is_read_in_python(live, run):
    assert ASKED in run(3)


@pytest.mark.proves("POST /v1/ai/sessions", client="httpx")
@pytest.mark.proves("WebSocket /ws/ai/sessions/{session_id}", client="websockets")
def test_a_websocket_has_the_same_events(live, run):
    assert ASKED in run(4)


@pytest.mark.proves("GET /v1/ai/approvals/{approval_id}", "POST /v1/ai/approvals/{approval_id}", client="curl")
def test_a_manager_decides_on_what_they_saw(live, run):
    assert run(5, MANAGER=token(live, "manager")) == "approved"


@pytest.mark.proves("GET /v1/ai/memory", "POST /v1/ai/memory", client="curl")
def test_a_memory_is_written_and_found(live, run):
    assert run(6).splitlines() == ["Tea, not coffee."] * 2


@pytest.mark.proves("POST /v1/ai/chat", client="curl")
def test_the_line_of_the_readme_streams(live, tmp_path):
    (tmp_path / ".data").symlink_to(live.folder)
    line = curl((DOCS.parent / "README.md").read_text())
    assert "http://127.0.0.1:8000/" in line
    told = ended(["bash", "-euc", line.replace("http://127.0.0.1:8000", live.base_url)], cwd=tmp_path)
    assert "event: done" in told


def test_the_demo_fills_in_the_variables_of_the_snippets(live, tmp_path):
    (tmp_path / ".data").symlink_to(live.folder)
    line = curl((DOCS / "clients" / "README.md").read_text()).replace("$(demo base_url)", live.base_url)
    shown = "printenv BASE_URL BASE KEY SECRET PUBLISHABLE AGENT_ID EMAIL PASSWORD MANAGER"
    *found, manager = ended(["bash", "-euc", f"{line}\n{shown}"], cwd=tmp_path).splitlines()
    keys, login = live.demo["keys"], live.demo["users"]["member"]
    assert found == [
        live.base_url, live.base_url, keys["secret"], keys["secret"], keys["publishable"],
        live.demo["agents"]["smart-home"], login["email"], login["password"],
    ]  # fmt: skip
    assert manager.count(".") == 2, "a token of three parts"


@pytest.mark.proves("PUT /v1/ai/webhooks/config", client="curl")
def test_the_line_of_the_webhooks_page_sets_one(live, tmp_path):
    line = curl((DOCS / "webhooks.md").read_text())
    # To an address, because the name of the page is nobody's, and switched off, because nobody listens there.
    line = line.replace("http://localhost:8000", live.base_url).replace("hooks.example.org", "93.184.215.14")
    line = line.replace('"events": [', '"enabled": false, "events": [')
    (tmp_path / ".data").symlink_to(live.folder)
    assert '"secret":"whsec_' in ended(["bash", "-euc", line], cwd=tmp_path)
