"""What processes cost, read from /proc: CPU time that no exit can hide, and resident memory, by group."""

import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
PROC = Path("/proc")

# A process is of the first group with a mark in its command line, else of its parent's group.
GROUPS = {
    "postgresql": ("postgres",),
    "valkey": ("valkey-server", "redis-server"),
    "scheduler": (" beat",),
    "worker": (" worker",),
    "web": ("uvicorn", "granian", "daphne"),
}
OTHERS = "supervisor"


@dataclass(frozen=True, slots=True)
class Process:
    """One live process; `cpu` is its own seconds and those of its children that have ended."""

    pid: int
    parent: int
    command: str
    cpu: float


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory in MB; `shared_out` counts a page shared by n processes as 1/n (PSS)."""

    resident: float
    shared_out: float
    processes: int


def processes() -> dict[int, Process]:
    """Every live process of this machine by pid."""
    found = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            try:
                found[int(entry.name)] = _read(entry)
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended between the listing and the reading
    return found


def _read(entry: Path) -> Process:
    # The name in parentheses may hold anything, so count the fields from behind it: state is the first.
    fields = (entry / "stat").read_text().rpartition(")")[2].split()
    command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    # Fields 14 to 17: user, system, and both of the children that were waited for.
    return Process(int(entry.name), int(fields[1]), command, sum(map(int, fields[11:15])) / TICK)


def tree(roots: Iterable[int]) -> dict[int, str]:
    """The group of every live process that is one of the roots or descends from one, by pid."""
    everything, children = processes(), defaultdict(list)
    for process in everything.values():
        children[process.parent].append(process)
    groups: dict[int, str] = {}
    waiting = [(everything[root], OTHERS) for root in roots if root in everything]
    while waiting:
        process, parents = waiting.pop()
        groups[process.pid] = group = _group(process.command, parents)
        waiting += [(child, group) for child in children[process.pid]]
    return groups


def _group(command: str, parents: str) -> str:
    if parents == "postgresql":
        return parents  # a backend's title holds the names of clients and databases
    return next((group for group, marks in GROUPS.items() if any(mark in command for mark in marks)), parents)


def cpu(roots: Iterable[int]) -> dict[str, float]:
    """Seconds of CPU so far, by group: a process that has ended is in its parent's figure."""
    everything, seconds = processes(), dict.fromkeys([*GROUPS, OTHERS], 0.0)
    for pid, group in tree(roots).items():
        if pid in everything:
            seconds[group] += everything[pid].cpu
    return seconds


def memory(roots: Iterable[int]) -> dict[str, Memory]:
    """Resident memory by group; PSS is 0 where the kernel does not tell it."""
    kept: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for pid, group in tree(roots).items():
        try:
            pages = int((PROC / str(pid) / "statm").read_text().split()[1])
            kept[group].append((pages * PAGE / 1e6, _shared_out(pid)))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return {
        group: Memory(sum(rss for rss, _ in sizes), sum(pss for _, pss in sizes), len(sizes))
        for group, sizes in kept.items()
    }


def _shared_out(pid: int) -> float:
    try:
        lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    except PermissionError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1000


def machine() -> str:
    """This machine in a line: processor, cores, memory, kernel."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in (PROC / "cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        os.uname().machine,
    )
    total = int((PROC / "meminfo").read_text().split()[1]) / 1e6
    return f"{model}, {os.cpu_count()} cores, {total:.0f} GB, Linux {os.uname().release.split('-')[0]}"
