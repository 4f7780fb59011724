"""Named points at which a process can be made to die: how the tests prove what is promised of crashes.

`FAULTS="action.claimed=0.05,action.sent=once:/tmp/flag"` kills this process (SIGKILL) at a point with a probability, or
once for all processes that share a flag file: whoever makes the file dies. `stop:/tmp/flag` stops it (SIGSTOP) instead.
Unset, as it is anywhere but in such tests, a point costs next to nothing.
"""

import os
import random
import signal

_faults = [part.partition("=")[::2] for part in os.environ.get("FAULTS", "").split(",") if "=" in part]


def reach(point: str) -> None:
    """Die or stop here, if that is what this process was started for."""
    for name, how in _faults:
        if name == point:
            _happen(how)


def _happen(how: str) -> None:
    kind, by_flag, flag = how.partition(":")
    if by_flag:
        try:
            os.close(os.open(flag, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
    elif random.random() >= float(how):
        return
    os.kill(os.getpid(), signal.SIGSTOP if kind == "stop" else signal.SIGKILL)
