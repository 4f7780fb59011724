"""Child processes that never outlive the process that started them."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

# prctl(2): the kernel sends a signal to this process when its parent dies, even by kill -9. Linux only.
SET_PARENT_DEATH_SIGNAL = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def die_with_parent(last_signal: int, parent: int) -> None:
    """Have the kernel send this process `last_signal` when its parent ends; exits if it has ended already."""
    if _libc is not None:
        _libc.prctl(SET_PARENT_DEATH_SIGNAL, last_signal, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)


def _before_exec(last_signal: int) -> Callable[[], None]:
    parent = os.getpid()

    def run() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        die_with_parent(last_signal, parent)  # after the change of user, which would undo it

    return run


def start(
    argv: Sequence[str | Path],
    *,
    output: IO[bytes] | int | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    user: int | None = None,
    group: int | None = None,
    last_signal: int = signal.SIGKILL,
) -> subprocess.Popen[bytes]:
    """Start a program in a process group of its own, so that a terminal's Ctrl-C reaches only the parent.

    It gets `last_signal` when this process dies. Call it from the main thread: the kernel counts the
    death of the starting thread as the parent's.
    """
    return subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT if output is not None else None,
        env=env,
        cwd=cwd,
        user=user,
        group=group,
        extra_groups=[] if user is not None else None,
        process_group=0,
        preexec_fn=_before_exec(last_signal),
    )


def stop(*children: "subprocess.Popen[bytes]", by: int = signal.SIGTERM, seconds: float = 10.0) -> None:
    """Ask children to end, all at once, wait, then kill what is left of their process groups."""
    deadline = time.monotonic() + seconds
    for child in children:
        child.send_signal(by)  # does nothing to one that has ended
    for child in children:
        try:
            child.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.kill()
        child.wait()
        kill_group(child.pid)


def kill_group(leader: int) -> None:
    """Kill whatever still runs in the process group of an ended child."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # macOS says the latter of a group of zombies
        return
