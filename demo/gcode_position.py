"""Where a printer is after the lines it received: a small interpreter of G-code, for proofs of exact return."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
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
        x, y, z, e = (round(value, 2) + 0.0 for value in (self.x, self.y, self.z, self.e))
        return x, y, z, e

    @property
    def modes(self) -> tuple[bool, bool, float, float]:
        return (self.relative, self.relative_e, self.flow, self.feed)


@dataclass(frozen=True, slots=True)
class Followed:
    """A received stream of lines beside the file that was printed.

    `sent` lines of the file were received. `worst` is the largest distance in mm, over X, Y, Z and E, between the
    printer and where the file alone would have it, at any line of the file that was received after one of the
    `inserted` lines. `least_e` and `most_z` are the extremes of that distance while inserted lines ran.
    """

    sent: int
    inserted: int
    worst: float
    modes_kept: bool
    least_e: float
    most_z: float


def file_lines(text: str) -> list[str]:
    """The lines of a file that a host sends: no comments, no blanks."""
    found = (line.split(";", 1)[0].strip() for line in text.splitlines())
    return [line for line in found if line]


def follow(file: Sequence[str], received: Iterable[str]) -> Followed:
    """Walks both at once; `received` begins with the print, `file` is as `file_lines` gives it."""
    printer, alone = Position(), Position()
    sent = inserted = 0
    worst = least_e = most_z = 0.0
    modes_kept = True
    for line in received:
        of_file = sent < len(file) and line == file[sent]
        if of_file and inserted:
            worst = max(worst, *(abs(a - b) for a, b in zip(printer.where, alone.where, strict=True)))
            modes_kept = modes_kept and printer.modes == alone.modes
        printer.line(line)
        if of_file:
            alone.line(line)
            sent += 1
        elif _matters(line):
            inserted += 1
            least_e = min(least_e, printer.e - alone.e)
            most_z = max(most_z, printer.z - alone.z)
    return Followed(sent, inserted, worst, modes_kept, least_e, most_z)


_MATTERS = re.compile(r"(G0|G1|G28|G90|G91|G92|M82|M83|M221)\b")


def _matters(line: str) -> bool:
    return _MATTERS.match(line) is not None


def distance(a: Sequence[float], b: Sequence[float]) -> float:
    """The largest difference on any axis, mm."""
    return max((abs(p - q) for p, q in zip(a, b, strict=True)), default=math.inf)
