"""Where a printer is after the lines it received; the demo's check rests on the same interpreter."""

from __future__ import annotations

from demo.gcode_position import Position

__all__ = ["Position"]
