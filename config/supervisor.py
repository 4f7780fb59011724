"""A supervisor of processes: starts them, starts again what crashes, and stops them in order."""

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from config import bootstrap
from core import embedded_child
from core.embedded_home import EmbeddedError

FIRST_DELAY, LONGEST_DELAY = 0.2, 10.0  # seconds before a crashed process is started again
CALM = 30.0  # seconds after which a process counts as healthy again
LOG_LIMIT = 20_000_000  # bytes; then the log is set aside as `.1`
START_SECONDS = 120.0


class StartError(Exception):
    """The stack does not come up; the text says why."""


class StoppedError(Exception):
    """Somebody asked for the end while something was waited for."""


def say(text: str) -> None:
    """Tell the terminal, if there still is one."""
    with suppress(OSError):
        print(text, flush=True)  # noqa: T201


@dataclass
class Part:
    """One process of the stack."""

    name: str
    launch: Callable[[IO[bytes]], "subprocess.Popen[bytes]"]
    stop_signal: int
    stop_seconds: float
    foundation: bool = False  # the others stand on it: it is stopped after them, and never in haste
    child: "subprocess.Popen[bytes] | None" = None
    crashes: int = 0
    since: float = 0.0
    due: float = 0.0


@dataclass
class Supervisor:
    """The processes that run, in the order in which they were started."""

    folder: Path
    parts: list[Part] = field(default_factory=list)
    stopping: bool = False
    serving: bool = False

    def __post_init__(self) -> None:
        self._wake, writer = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # wakes the loop
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask_to_stop)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup stays nohup
            signal.signal(signal.SIGHUP, self._ask_to_stop)

    def _ask_to_stop(self, *_: object) -> None:
        if self.stopping:  # asked twice: no more patience with those that lose nothing by it
            for part in self.parts:
                if part.child is not None and not part.foundation:
                    embedded_child.kill_group(part.child.pid)
        self.stopping = True

    def start(self, part: Part) -> None:
        """Start a process and watch it from now on."""
        if part not in self.parts:
            self.parts.append(part)
        part.since = time.monotonic()
        with bootstrap.log_file(self.folder, part.name).open("ab") as output:
            part.child = part.launch(output)

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for something; raises StartError when it takes too long and StoppedError on Ctrl-C."""
        deadline = time.monotonic() + START_SECONDS
        while not condition():
            if time.monotonic() > deadline:
                raise StartError(f"{what} is not ready after {START_SECONDS:g} s; see {self.folder / 'logs'}")
            self.watch(0.02)

    def watch(self, seconds: float) -> None:
        """Sleep until something happens; start again what has crashed, once its time has come."""
        select.select([self._wake], [], [], seconds)
        with suppress(BlockingIOError):
            os.read(self._wake, 4096)
        if self.stopping:
            raise StoppedError
        for part in self.parts:
            if part.child is not None and part.child.poll() is not None:
                self._crashed(part, part.child)
            if part.child is None and time.monotonic() >= part.due:
                self._restart(part)

    def _crashed(self, part: Part, child: "subprocess.Popen[bytes]") -> None:
        embedded_child.kill_group(child.pid)
        calm = time.monotonic() - part.since > CALM
        part.crashes = 1 if calm else part.crashes + 1
        delay = min(LONGEST_DELAY, FIRST_DELAY * 2 ** (part.crashes - 1))
        part.child, part.due = None, time.monotonic() + delay
        log = bootstrap.log_file(self.folder, part.name)
        story = f"{part.name} {_how_it_ended(child.returncode)}"
        if not self.serving:
            raise StartError(f"{story}:\n{_tail(log)}")
        quote = "" if child.returncode < 0 else f"\n{_tail(log)}"
        say(f"[{part.name}] {story}; it starts again in {delay:g} s (log: {log}){quote}")

    def _restart(self, part: Part) -> None:
        try:
            self.start(part)
        except (OSError, EmbeddedError) as error:
            part.due = time.monotonic() + LONGEST_DELAY
            say(f"[{part.name}] cannot be started: {error}")

    def set_logs_aside(self) -> None:
        """Rename no file that a process holds open: copy it, then cut it."""
        for log in (self.folder / "logs").glob("*.log"):
            if log.stat().st_size > LOG_LIMIT:
                log.with_suffix(".log.1").write_bytes(log.read_bytes())
                os.truncate(log, 0)

    def stop(self) -> None:
        """Stop everything: the programs together, then what they stand on, the last started first."""
        self.stopping = True
        programs = [part for part in self.parts if not part.foundation]
        children = [part.child for part in programs if part.child is not None]
        embedded_child.stop(*children, seconds=max((part.stop_seconds for part in programs), default=0.0))
        for part in reversed(self.parts):
            if part.foundation and part.child is not None:
                embedded_child.stop(part.child, by=part.stop_signal, seconds=part.stop_seconds)


def _how_it_ended(code: int) -> str:
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"


def _tail(log: Path, lines: int = 15) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 20_000))
        text = file.read().decode(errors="replace")
    return "\n".join(f"    {line}" for line in text.splitlines()[-lines:])
