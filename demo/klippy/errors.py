"""What a refused line or request raises."""

from __future__ import annotations


class GcodeError(Exception):
    """A line that the printer refuses; the text is Klipper's own, several lines are possible."""
