"""The stack under measurement: started as `make up` starts it, on a folder of its own, and stopped."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from benchmarks import proc
from core import embedded_child, embedded_home

PROJECT = Path(__file__).resolve().parent.parent
PATIENCE = 120.0  # seconds: the first start installs the schema and makes the demo
# What would lead the benchmark to somebody's real servers or model accounts.
FOREIGN = (
    "DATABASE_URL", "REDIS_URL", "OPENAI_API_KEY", "OPENAI_BASE_URL", "GROQ_API_KEY", "OPENROUTER_API_KEY",
    "OLLAMA_HOST", "OLLAMA_API_KEY", "MISTRAL_API_KEY", "DEEPSEEK_API_KEY", "VLLM_BASE_URL", "LM_STUDIO_BASE_URL",
    "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_BASE_URL",
    "MAKEFLAGS", "MAKELEVEL", "MFLAGS",
    "DATABASE_ROLE", "DATABASE_AS_OWNER", "AUDIT_SIGNING_KEY", "AUDIT_HEADS_FILE", "AUDIT_HEADS_URL",
)  # fmt: skip


class NotStarted(RuntimeError):
    """A process of the benchmark ended or did not become ready; the message ends with what it printed."""


@dataclass(slots=True)
class Stack:
    """A running stack: where it answers, the key to use, and the processes that are its roots."""

    base_url: str
    key: str
    roots: list[int] = field(default_factory=list)
    boot: float = 0.0  # seconds from the start to the first healthy answer
    first_boot: float = 0.0  # the same on an empty folder
    left_behind: list[str] = field(default_factory=list)


def end_with_us(last_signal: int) -> Callable[[], None]:
    """What a child calls so that it gets the signal when this process dies, even by kill -9."""
    return partial(embedded_child.die_with_parent, last_signal, os.getpid())


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def started(data_dir: Path, upstream_url: str) -> Iterator[Stack]:
    """The whole stack on a fresh folder, started once to prepare it and once more to be measured."""
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if name not in FOREIGN} | {
        "DATA_DIR": str(data_dir),
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "OPENAI_BASE_URL": upstream_url,
        "OPENAI_API_KEY": "benchmark",
    }
    stack = Stack(f"http://127.0.0.1:{port}", "")
    try:
        with _up(stack, environment, data_dir.with_suffix(".first.log")) as seconds:
            stack.first_boot = seconds
        with _up(stack, environment, data_dir.with_suffix(".log")) as seconds:
            stack.boot = seconds
            stack.key = json.loads((data_dir / "demo.json").read_text())["keys"]["secret"]
            yield stack
    finally:
        embedded_home.discard(data_dir)


@contextmanager
def _up(stack: Stack, environment: dict[str, str], log: Path) -> Iterator[float]:
    before = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "up"],
            cwd=PROJECT, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True, preexec_fn=end_with_us(signal.SIGTERM),
        )  # fmt: skip
    try:
        wait_healthy(f"{stack.base_url}/v1/ai/health", process, log)
        seconds = time.monotonic() - before
        stack.roots = [process.pid]
        yield seconds
    finally:
        _stop(stack, process)


def wait_healthy(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Return once the URL answers 200; raises NotStarted when the process ends first or time is up."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
            if answer.status == 200:
                return
        if process.poll() is not None:
            break
        time.sleep(0.02)
    raise NotStarted(f"{url} did not become healthy:\n" + log.read_text(errors="replace")[-4000:])


def wait_listening(port: int, process: "subprocess.Popen[str]") -> None:
    """Return once somebody listens there; raises NotStarted when the process ends first or time is up."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
            return
        time.sleep(0.02)
    raise NotStarted(f"nobody listens on port {port}: {process.args!r}")


def _stop(stack: Stack, process: "subprocess.Popen[bytes]") -> None:
    family = set(proc.tree([process.pid]))
    process.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(30)
    left = {pid: found for pid, found in proc.processes().items() if pid in family}
    stack.left_behind += [found.command for found in left.values()]
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if process.pid in left:
        process.wait()
