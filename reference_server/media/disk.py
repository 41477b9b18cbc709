"""Is there room for pictures that are kept? Below a reserve they are only shown, never stored."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

log = logging.getLogger(__name__)

LOOK_EVERY = 5.0
"""Seconds that an answer is good for: the disk is not asked at each picture."""


def free_bytes(folder: Path) -> int:
    """Raises OSError."""
    return shutil.disk_usage(folder).free


class Room:
    """Whether pictures and videos may be kept. Says so once when the room is gone, and once when it is back.

    `reserve`: bytes that stay free for the database and for whatever else lives on the disk.
    """

    def __init__(
        self, folder: Path, reserve: int, clock: Callable[[], float], free: Callable[[Path], int] = free_bytes
    ) -> None:
        self._folder, self._reserve, self._clock, self._free = folder, reserve, clock, free
        self._lock = threading.Lock()
        self._looked_at = float("-inf")
        self._there = True

    def is_there(self) -> bool:
        with self._lock:
            now = self._clock()
            if now - self._looked_at >= LOOK_EVERY:
                self._looked_at = now
                self._look()
            return self._there

    def ran_out(self) -> None:
        """A write has failed for want of room: no more of them until somebody has looked again."""
        with self._lock:
            self._looked_at = self._clock()
            if self._there:
                self._there = False
                self._complain()

    def _look(self) -> None:
        try:
            there = self._free(self._folder) >= self._reserve
        except OSError:
            return  # nothing new is known
        if there and not self._there:
            log.info("the disk of %s has room again: pictures are kept for time-lapses as before", self._folder)
        elif self._there and not there:
            self._complain()
        self._there = there

    def _complain(self) -> None:
        log.warning(
            "the disk of %s is nearly full (less than %d MB free): pictures are still shown but not kept, and no video "
            "is built; free some room, or let less media be kept (--media-max-age-days, --media-max-prints, "
            "--media-max-disk-percent)",
            self._folder, self._reserve // 1_000_000,
        )  # fmt: skip
