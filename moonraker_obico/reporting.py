"""When the printer's figures are reported, and the height without z-hops that goes with them."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from agent_core.model import Phase
from moonraker_obico.report import height

ACTIVE_SECONDS = 1.0
IDLE_SECONDS = 2.0
"""Reports are at least so far apart unless the phase changes: temperatures change four times a second."""


class Reporting:
    """Times are Unix seconds."""

    def __init__(self) -> None:
        self.phase: Phase | None = None
        """Of the last report; None: none since the printer was last out of sight."""
        self.dirty = False
        """Something changed since."""
        self._heights: deque[float] = deque(maxlen=3)
        self._at = 0.0

    @property
    def settled_z(self) -> float | None:
        """mm; the lowest of the last three looks: a z-hop is over by then, a new layer stays."""
        return min(self._heights, default=None)

    @property
    def due_at(self) -> float:
        return self._at + (IDLE_SECONDS if self.phase is Phase.OPERATIONAL else ACTIVE_SECONDS)

    def begin(self, phase: Phase, status: Mapping[str, Mapping[str, Any]], now: float) -> None:
        """A report is about to be made."""
        self.phase = phase
        z = height(status) if phase is Phase.PRINTING else None
        if z is not None:
            self._heights.append(z)
        self.dirty = False
        self._at = now

    def forget(self) -> None:
        """The printer is out of sight."""
        self.phase = None
        self.dirty = False
        self._heights.clear()

    def clock_set(self, moved: float) -> None:
        self._at += moved
