"""`manage.py chat` in a terminal of its own, at a real stack: words, requests, decisions, cuts, hostile answers."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import threading
import time

import httpx
import pytest

from config import bootstrap
from config.terminal import harmless
from config.terminal.client import Event
from config.terminal.screen import Screen
from tests.chat.asking import Person
from tests.servers.stack import eventually, free_port

pytestmark = pytest.mark.timeout(600)
RESTART = 'Restart it [[rehearse: call=service_restart {"service": "web"}]]'
SLOW = "[[rehearse: interval=300]] Tell me a long story about a lighthouse and the sea and the people who live there"
_STYLE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|\x1b[=>]|\r")


class Terminal:
    """A program at a pseudo-terminal."""

    def __init__(self, stack, *arguments: str, key: str) -> None:
        self._main, other = pty.openpty()
        termios.tcsetwinsize(other, (50, 160))
        env = {**stack.env, "COUNTERSIGN_URL": stack.base_url, "COUNTERSIGN_KEY": key, "TERM": "xterm-256color"}
        env["PROMPT_TOOLKIT_NO_CPR"] = "1"  # nobody here says where the cursor is
        argv = [sys.executable, "manage.py", "chat", *arguments]
        self.process = subprocess.Popen(
            argv, env=env, cwd=bootstrap.BASE_DIR, stdin=other, stdout=other, stderr=other, start_new_session=True,
            preexec_fn=lambda: __import__("fcntl").ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip
        os.close(other)
        self.raw = b""
        self._seen = 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                if not select.select([self._main], [], [], 60)[0]:
                    continue
                data = os.read(self._main, 65_536)
            except (OSError, ValueError):
                return
            if not data:
                return
            self.raw += data

    @property
    def text(self) -> str:
        return _STYLE.sub("", self.raw.decode(errors="replace"))

    def wait(self, words: str) -> str:
        """What came since the last time, once it has these words."""
        found = eventually(
            lambda: words in self.text[self._seen :] and self.text, f"{words!r} in {self.text[-1500:]!r}", 60
        )
        new = found[self._seen :]
        self._seen += new.index(words) + len(words)
        return new

    def type(self, text: str) -> None:
        os.write(self._main, text.encode())

    def enter(self, text: str) -> None:
        self.wait("you ›")
        self.type(f"{text}\r")

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)
        os.close(self._main)


@pytest.fixture
def terminal():
    opened = []

    def open_(*arguments, **options) -> Terminal:
        opened.append(Terminal(*arguments, **options))
        return opened[-1]

    yield open_
    for one in opened:
        one.close()


def piped(stack, message: str, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "manage.py", "chat", "--companion", "devops", *arguments]
    own = {**stack.env, "COUNTERSIGN_URL": stack.base_url, "COUNTERSIGN_KEY": stack.demo["keys"]["secret"], **env}
    return subprocess.run(
        argv, input=message, env=own, cwd=bootstrap.BASE_DIR, capture_output=True, text=True, check=False
    )


def token(person: Person) -> str:
    return person.http.headers["Authorization"].removeprefix("Bearer ")


def test_a_talk_with_a_request_that_a_manager_decides_at_another_terminal(stack, terminal):
    made = stack(webs=1, workers=1)
    member = terminal(made, "--companion", "devops", key=made.demo["keys"]["secret"])
    member.enter("Hello")
    member.wait("rehearsal")
    member.enter(RESTART)
    shown = member.wait("digest")
    assert "waits for approval" in shown
    assert '"service": "web"' in shown
    assert "not you" in shown
    member.wait("It goes on here once it is decided.")
    ((approval_id, digest),) = made.sql("SELECT id, digest FROM approvals_approval")

    signed_in = Person(made, "manager")
    signed_in.http.close()
    manager = terminal(made, key=token(signed_in))
    manager.enter("/approvals")
    manager.wait(str(approval_id))
    manager.enter(f"/approve {approval_id}")
    told = manager.wait("Say it again to decide.")
    assert digest in told
    assert made.sql("SELECT status FROM approvals_approval") == [("pending",)]
    manager.enter(f"/approve {approval_id}")
    manager.wait("approved")
    member.wait("approve by")
    member.wait("service_restart")
    member.enter("/sessions")
    member.wait("Hello")
    member.enter("/memory")
    member.enter("/nonsense")
    member.wait("There is no /nonsense")
    member.enter("/quit")
    assert member.process.wait(20) == 0


@pytest.mark.long
def test_ctrl_c_stops_the_answer_and_twice_leaves(stack, terminal):
    made = stack(webs=1, workers=1)
    one = terminal(made, "--companion", "devops", key=made.demo["keys"]["secret"])
    one.enter(SLOW)
    one.wait("This is a rehearsal")
    one.type("\x03")
    one.wait("(stopped)")
    assert made.sql("SELECT state FROM chat_run") == [("cancelled",)]
    one.wait("you ›")

    def leaves() -> bool:
        one.type("\x03")
        time.sleep(0.5)
        return one.process.poll() is not None

    eventually(leaves, "it leaves")
    assert one.process.returncode in (130, -signal.SIGINT)  # the latter where one more came as it left


@pytest.mark.long
def test_a_cut_stream_is_taken_up_where_it_was(stack):
    made = stack(webs=1, workers=1)
    found: list[subprocess.CompletedProcess[str]] = []
    talk = threading.Thread(target=lambda: found.append(piped(made, SLOW.replace("300", "150"))))
    talk.start()
    eventually(lambda: made.sql("SELECT count(*) FROM chat_run WHERE seq > 5") == [(1,)], "the answer is under way")
    made.restart("web1")
    talk.join(120)
    (done,) = found
    assert done.returncode == 0, done.stderr
    ((answer,),) = made.sql("SELECT content FROM chat_message WHERE role = 'assistant'")
    assert done.stdout.split() == answer.split()


@pytest.mark.long
def test_a_pipe_gives_the_answer_alone_and_tells_by_its_code_how_it_ended(stack):
    made = stack(webs=1, workers=1)
    done = piped(made, "Say \x1b]0;evil\x07 and \x1b[31mred [[rehearse: reason interval=0]]")
    assert done.returncode == 0, done.stderr
    assert "rehearsal" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr
    assert "I shall say" not in done.stdout
    waiting = piped(made, RESTART)
    assert waiting.returncode == 2
    assert "waits for approval" in waiting.stderr
    assert "waits for approval" not in waiting.stdout
    assert f"This command does not wait; the chat is at {made.base_url}. It goes on there" in waiting.stderr
    assert "nothing on standard input" in piped(made, " ").stderr
    assert "There is no companion 'nobody'" in piped(made, "Hello", "--companion", "nobody").stderr
    refused = piped(made, "Hello", COUNTERSIGN_KEY="sk_live_cs_wrong")
    assert refused.returncode == 1
    assert "invalid" in refused.stderr


def test_nobody_there_is_told_at_once(stack):
    made = stack(webs=0, workers=0)
    done = piped(made, "Hello", "--url", f"http://127.0.0.1:{free_port()}")
    assert done.returncode == 1
    assert "Nobody answers at" in done.stderr
    assert "Traceback" not in done.stderr


STEERING = {
    "colour": "\x1b[31mred", "title": "\x1b]0;evil\x07", "eight-bit": "\x9b31mred", "bell": "a\x07b",
    "back": "abc\x08\x08",
    "return": "safe\revil", "delete": "\x7f", "turned": "abc\u202edcba", "isolated": "\u2066x\u2069", "nul": "\x00",
    "line separator": "a\u2028b",
}  # fmt: skip


@pytest.mark.parametrize("said", STEERING.values(), ids=STEERING)
def test_what_models_say_cannot_steer_a_terminal(said):
    shown = harmless.text(said)
    assert harmless.INSTEAD in shown
    assert all(char.isprintable() for char in shown)
    assert "\n" not in harmless.line(f"{said}\n{said}")


def test_lines_and_letters_of_all_languages_stay():
    assert harmless.text("a\tb\nc\r\nd 🙂 漢字 é") == "a\tb\nc\nd 🙂 漢字 é"


def test_a_snapshot_after_a_cut_is_not_shown_twice(capsys):
    from rich.console import Console  # noqa: PLC0415  made while capsys holds the output

    console = Console(width=80)
    screen = Screen(console, console)
    screen.begin()
    for name, data in (
        ("delta", {"text": "One two "}), ("restart", {"attempt": 1}), ("delta", {"text": "One two three"}),
        ("delta", {"text": " four"}), ("done", {"status": "completed"}), ("unheard_of", {"text": "x"}),
    ):  # fmt: skip
        screen.show(Event(name, data))
    assert capsys.readouterr().out == "One two three four\n"
    screen.begin()
    for name, data in (
        ("delta", {"text": "One"}), ("restart", {"attempt": 2}), ("delta", {"text": "Other"}),
        ("done", {"status": "completed"}),
    ):  # fmt: skip
        screen.show(Event(name, data))
    assert capsys.readouterr().out == "One\n(the answer begins anew)\nOther\n"


def test_a_server_that_is_none_of_ours_is_told(stack):
    made = stack(webs=1, workers=0)
    assert httpx.get(f"{made.base_url}/static/nothing", trust_env=False).status_code == 404
    done = piped(made, "Hello", "--url", f"{made.base_url}/static")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
