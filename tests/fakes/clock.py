"""A clock that moves only when told."""

from __future__ import annotations


class FakeClock:
    def __init__(self, now: float = 1_767_000_000.0) -> None:
        self._now = now
        self._monotonic = 1000.0

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        self._now += seconds
        self._monotonic += seconds

    def set_back(self, seconds: float) -> None:
        """The time of day is put right; monotonic time runs on."""
        self._now -= seconds
