"""An answer's body while it is read, outside the C library's heap.

A buffer of some megabytes on the heap, freed again, teaches glibc to keep that much for ever (its mmap threshold
follows the largest block freed): one camera that sends rubbish without end would cost 10 MB of an agent's 32.
Anonymous memory goes back to the system when it is closed.
"""

from __future__ import annotations

import mmap
from types import TracebackType

FIRST_SIZE = 256 * 1024
"""Bytes to begin with; doubled when full. Only pages that are written take memory."""


class GrowingBody:
    """Bytes that are appended and searched; `with` closes it. The BodySoFar of ports.HttpRequest."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, FIRST_SIZE)
        self._size = 0

    def __enter__(self) -> GrowingBody:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._memory.close()

    def __len__(self) -> int:
        return self._size

    def append(self, piece: bytes) -> None:
        end = self._size + len(piece)
        if end > len(self._memory):
            self._grow(end)
        self._memory[self._size : end] = piece
        self._size = end

    def _grow(self, needed: int) -> None:
        larger = mmap.mmap(-1, max(2 * len(self._memory), needed))
        with memoryview(self._memory) as old:
            larger[: self._size] = old[: self._size]
        self._memory.close()
        self._memory = larger

    def find(self, wanted: bytes, start: int = 0) -> int:
        return self._memory.find(wanted, start, self._size)

    def piece(self, start: int, end: int) -> bytes:
        """The bytes from `start` up to `end`, as far as they have come."""
        return self._memory[start : min(end, self._size)]
