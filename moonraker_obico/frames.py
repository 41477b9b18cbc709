"""Pauses that are none: moonraker-timelapse parks the head for each of its frames, by PAUSE and RESUME."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moonraker_obico.objects import TIMELAPSE_MACRO, field

FRAME_SECONDS = 2.0
"""`paused` may outlast the time-lapse macro's own flag by so much."""
LONGEST_FRAME = 60.0
"""A macro that was cut off leaves its flag set for ever; a frame with its parking takes some seconds."""


class Frames:
    """Whether Klipper's `paused` is a pause. Times are Unix seconds."""

    def __init__(self) -> None:
        self._until = 0.0
        self._began: float | None = None

    def paused(
        self, status: Mapping[str, Mapping[str, Any]], now: float, *, says_paused: bool, was_paused: bool
    ) -> bool:
        """What `says_paused` means, if the print stood as `was_paused` before."""
        if field(status, TIMELAPSE_MACRO, "is_paused") is not True:
            self._began = None
        elif self._began is None or now < self._began + LONGEST_FRAME:
            self._began = now if self._began is None else self._began
            self._until = now + FRAME_SECONDS
            return was_paused
        return was_paused if says_paused and now < self._until else says_paused

    def outlasted(self, now: float) -> bool:
        """True once when a frame's time is up: a pause that is still on is a real one after all."""
        if not self._until or now < self._until:
            return False
        self._until = 0.0
        return True

    def clock_set(self, moved: float) -> None:
        self._until = self._until and self._until + moved
        self._began = None if self._began is None else self._began + moved
