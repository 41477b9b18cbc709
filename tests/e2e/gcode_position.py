"""Where a printer is after the lines it received: a small interpreter of G-code, for proofs of exact return."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_WORD = re.compile(r"([A-Z])\s*(-?[0-9]*\.?[0-9]+)")


@dataclass
class Position:
    """mm. `e` is all filament pushed (retractions count negative), whatever G92 called it.

    `g90_governs_e`: as on Marlin 2, where G90 and G91 set the extruder's mode too.
    """

    g90_governs_e: bool = False
    x: float = 0.0
    y: float = 0.0
    z: float = 0.0
    e: float = 0.0
    relative: bool = False
    relative_e: bool = False
    flow: float = 100.0
    shown_e: float = 0.0
    feed: float = 0.0

    def run(self, lines: Iterable[str]) -> Position:
        for line in lines:
            self.line(line)
        return self

    def line(self, line: str) -> None:
        text = line.split(";", 1)[0].upper().strip()
        if not text:
            return
        code = text.split()[0]
        words = {letter: float(value) for letter, value in _WORD.findall(text[len(code) :])}
        if code in {"G0", "G1"}:
            self._move(words)
        elif code in {"G90", "G91"}:
            self.relative = code == "G91"
            if self.g90_governs_e:
                self.relative_e = self.relative
        elif code in {"M82", "M83"}:
            self.relative_e = code == "M83"
        elif code == "G92" and "E" in words:
            self.shown_e = words["E"]
        elif code == "G28":
            self.x = self.y = self.z = 0.0
        elif code == "M221" and "S" in words:
            self.flow = words["S"]

    def _move(self, words: dict[str, float]) -> None:
        for axis in "XYZ":
            if axis in words:
                before = getattr(self, axis.lower())
                setattr(self, axis.lower(), words[axis] + (before if self.relative else 0.0))
        if "E" in words:
            step = words["E"] if self.relative_e else words["E"] - self.shown_e
            self.shown_e += step
            self.e += step * self.flow / 100.0
        self.feed = words.get("F", self.feed)

    @property
    def where(self) -> tuple[float, float, float, float]:
        """X, Y, Z and E to 0.01 mm; no -0.0."""
        return tuple(round(value, 2) + 0.0 for value in (self.x, self.y, self.z, self.e))  # type: ignore[return-value]

    @property
    def modes(self) -> tuple[bool, bool, float, float]:
        return (self.relative, self.relative_e, self.flow, self.feed)
