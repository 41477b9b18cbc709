"""Simulated time: one line of seconds for everybody, and wall clocks that may be set wrongly."""

from __future__ import annotations

from datetime import datetime, timezone

BEGIN = 1_795_000_000.0
"""Unix time at which the week begins."""


class Time:
    """`seconds` since the beginning; only the week moves it."""

    def __init__(self) -> None:
        self.seconds = 0.0


class WallClock:
    """agent_core.ports.Clock for one machine; `wrong`: how many seconds it is ahead of the truth."""

    def __init__(self, time: Time) -> None:
        self._time = time
        self.wrong = 0.0

    def now(self) -> float:
        return BEGIN + self._time.seconds + self.wrong

    def monotonic(self) -> float:
        return 1000.0 + self._time.seconds

    def utc(self) -> datetime:
        return datetime.fromtimestamp(self.now(), timezone.utc)
