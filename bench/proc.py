"""What a process costs, read from /proc (Linux)."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Event

_TICKS = os.sysconf("SC_CLK_TCK")
_PAUSE = Event()
"""Never set: waiting on it lets time pass."""


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def rss_mb(pid: int) -> float:
    """Resident memory in MB (2**20 bytes)."""
    return int(status(pid)["VmRSS"].split()[0]) / 1024


def tree(pid: int) -> list[int]:
    """The process and all that it has started, and they."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").iterdir():
            found += map(int, (task / "children").read_text(encoding="ascii").split())
    return found


def tree_rss_mb(pid: int) -> float:
    return sum(rss_mb(each) for each in tree(pid))


def threads(pid: int) -> int:
    return int(status(pid)["Threads"])


def cpu_seconds(pid: int) -> float:
    """User and system time since the process began."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


@dataclass(frozen=True, slots=True)
class Cost:
    """Over one stretch of time: RSS and threads as the largest of several looks, CPU as percent of one core."""

    rss_mb: float
    threads: int
    cpu_percent: float


def watch(pid: int, seconds: float, looks: int = 10) -> Cost:
    """What the process costs in the next `seconds`."""
    begin, cpu = time.monotonic(), cpu_seconds(pid)
    sizes, counts = [], []
    for _ in range(looks):
        _PAUSE.wait(seconds / looks)
        sizes.append(rss_mb(pid))
        counts.append(threads(pid))
    used = (cpu_seconds(pid) - cpu) / (time.monotonic() - begin)
    return Cost(max(sizes), max(counts), used * 100)
