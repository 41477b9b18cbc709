"""Pauses that are none: OctoLapse stops the print for a moment at each of its snapshots.

Its lines carry tags with its name; a pause beside one of them is held back, and told only if it lasts.
"""

from __future__ import annotations

import math
from collections.abc import Collection

PARK_SECONDS = 3.0
"""A pause that outlasts OctoLapse's last line by so much is a real one."""


def is_parking(tags: Collection[str] | None) -> bool:
    """Whether a sent line is one of OctoLapse's. The lines of a file, nearly all there are, are seen at once."""
    return tags is not None and "source:file" not in tags and any("octolapse" in tag for tag in tags)


class Parking:
    """Times are Unix seconds."""

    def __init__(self) -> None:
        self._line_at = -math.inf
        self._held: float | None = None

    def line(self, now: float) -> None:
        """OctoLapse has sent something."""
        self._line_at = now

    def hides(self, now: float) -> bool:
        """Whether a pause that is seen now may be OctoLapse's."""
        return 0 <= now - self._line_at < PARK_SECONDS

    def holds_pause(self, now: float) -> bool:
        """The print was paused: True if that is not to be told yet."""
        if self.hides(now):
            self._held = now
        return self._held is not None

    def was_held(self) -> bool:
        """The print goes on, or is over: True if its pause was never told."""
        held, self._held = self._held, None
        return held is not None

    def overdue(self, now: float) -> float | None:
        """When a pause began that turns out to be a real one; once."""
        if self._held is None or self.hides(now):
            return None
        held, self._held = self._held, None
        return held
