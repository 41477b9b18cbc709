"""One agent for one configuration: a lock that the kernel gives back whatever happens to its holder."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path


class Running(Exception):
    """Another copy holds the lock; `pid` is its process, if it told."""

    def __init__(self, pid: int | None) -> None:
        super().__init__(f"another copy of the agent runs with this configuration (process {pid or 'unknown'})")
        self.pid = pid


def take(path: Path) -> int:
    """The locked file's descriptor, to be kept open. Raises Running, OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        told = os.read(handle, 20)
        os.close(handle)
        raise Running(int(told) if told.strip().isdigit() else None) from None
    # The number is for people; a full disk is no reason not to start.
    with contextlib.suppress(OSError):
        os.ftruncate(handle, 0)
        os.write(handle, f"{os.getpid()}\n".encode())
    return handle


def holder(path: Path) -> int | None:
    """The process of the agent that runs with this lock (0: it did not tell), None if none runs. Raises OSError."""
    if not path.exists():
        return None
    try:
        os.close(take(path))
    except Running as running:
        return running.pid or 0
    return None
