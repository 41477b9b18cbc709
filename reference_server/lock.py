"""One server per data folder: a lock that goes away with the process that holds it, however it ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Locked(Exception):
    """Another server holds the folder."""


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold the folder. Raises Locked, OSError."""
    path = folder / "server.lock"
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Locked(
                f"another server is using the data folder {folder}: stop it first, or start with another --data-dir"
            ) from None
        yield
    finally:
        os.close(handle)
