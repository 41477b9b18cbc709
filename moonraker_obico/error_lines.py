"""Klipper's `!!` lines: what it complains of, and whether that is why a print has ended."""

from __future__ import annotations

from collections import deque

from moonraker_obico.objects import first_line

EXPLAINS_SECONDS = 5.0
"""A `!!` line so shortly before `cancelled` is why (on_error_gcode: CANCEL_PRINT leaves no other sign)."""

_TOLD_LINES = 20
"""Error lines that were alerted and are not told again."""
_HARMLESS = ("SD busy", "Unable to open file")
"""Refusals of a start; they say nothing about the print that runs."""


class ErrorLines:
    """Times are Unix seconds."""

    def __init__(self) -> None:
        self._last: tuple[str, float] | None = None
        self._told: deque[str] = deque(maxlen=_TOLD_LINES)

    def take(self, line: str, now: float) -> str | None:
        """The complaint in a line of Klipper's; None for any other line."""
        said = first_line(line[2:]) if line.startswith("!!") else ""
        if not said or said in _HARMLESS:
            return None
        self._last = (said, now)
        return said

    def is_news(self, said: str) -> bool:
        """Whether it has not been told yet; from now on it has."""
        if said in self._told:
            return False
        self._told.append(said)
        return True

    def explanation(self, now: float) -> str | None:
        """What was complained of just before `now`."""
        return self._last[0] if self._last is not None and now - self._last[1] <= EXPLAINS_SECONDS else None

    def forget(self) -> None:
        """Another print: what was said before is no reason of its end."""
        self._last = None

    def clock_set(self, moved: float) -> None:
        if self._last is not None:
            self._last = (self._last[0], self._last[1] + moved)
