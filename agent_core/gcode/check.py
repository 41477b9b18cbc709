"""Is this a G-code file that a printer can print, and all of it? One pass, in pieces of any size, bounded memory.

What counts as wrong: nothing in it; binary; no movement (G0 to G3 with an axis); cut off. That a file was cut off is
seen where its slicer says how it ends (a block of settings or a thumbnail that never ends, Cura's count of layers), and
in a last line that breaks off in the middle of a word.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

LONGEST_TAIL = 4096
"""Bytes of an unfinished line that are kept; a longer one is no command."""

_MOVE = re.compile(rb"\n[ \t]*(?:[Nn]\d+[ \t]+)?[Gg]0*[0-3](?![0-9.])[^\n;(]*?[XYZxyz][ \t]*[-+.\d]")
_MARK = re.compile(
    rb"\n;[ \t]*(?:(?P<thumb>thumbnail(?:_[A-Za-z0-9]+)?) (?P<what>begin|end)"
    rb"|(?P<block>[A-Za-z]+_config|CONFIG_BLOCK)(?:[ \t]*=[ \t]*|_)(?P<edge>begin|end|START|END)"
    rb"|LAYER_COUNT:(?P<count>\d{1,9})|LAYER:(?P<layer>-?\d{1,9}))"
)
# A movement that breaks off, a letter without its number or a number that ends in its sign or point; a lone G or M.
_BROKEN = re.compile(
    rb"^[ \t]*(?:[Gg]0*[0-3][ \t]+(?:[^;]*[ \t])?[XYZEFIJRxyzefijr][-+]?\.?|[GMgm])$"
)


@dataclass(frozen=True, slots=True)
class Fault:
    """`kind`: empty, binary, no_movement or truncated; `line` from 1, where there is one; `text` for people."""

    kind: str
    text: str
    line: int | None = None


class GCodeCheck:
    """`feed` the file piece by piece, then ask `finish`. A fault that is certain is there at once (`fault`)."""

    def __init__(self) -> None:
        self.fault: Fault | None = None
        self._rest = b"\n"  # the line that the last piece ended in, with the line end before it
        self._cut = False  # its beginning was too long and is gone
        self._lines = 0  # line ends before `_rest`
        self._said = False  # anything but white space
        self._moved = False
        self._open: dict[bytes, int] = {}  # what has begun and not ended -> its line; a few names
        self._layers: tuple[int, int] | None = None  # how many, and their line
        self._last_layer = -1

    @property
    def line(self) -> int:
        """The line that the last piece ended in, from 1."""
        return self._lines + 1

    def feed(self, piece: bytes) -> None:
        if self.fault is not None:
            return
        zero = piece.find(b"\0")
        if zero >= 0:
            line = self._lines + 1 + piece.count(b"\n", 0, zero)
            self.fault = Fault("binary", f"The file is binary: there is a NUL byte in line {line}.", line)
            return
        self._said = self._said or bool(piece.strip())
        block = self._rest + piece
        if not self._moved and _MOVE.search(block) is not None:
            self._moved = True
        end = block.rfind(b"\n")
        whole = block[:end]
        if b"\n;" in whole:
            self._read(whole)
        self._lines += block.count(b"\n", 1, end + 1)
        self._rest = block[end:]
        self._cut = self._cut and end == 0
        if len(self._rest) > LONGEST_TAIL:
            self._rest, self._cut = self._rest[:1] + b" " + self._rest[-1:], True

    def _read(self, whole: bytes) -> None:
        counted, line = 1, self._lines + 1
        for found in _MARK.finditer(whole):
            if found["layer"] is not None:
                self._last_layer = max(self._last_layer, int(found["layer"]))
                continue
            line += whole.count(b"\n", counted, found.start() + 1)
            counted = max(counted, found.start() + 1)
            if found["count"] is not None:
                self._layers = int(found["count"]), line
            else:
                name = found["thumb"] or found["block"]
                if (found["what"] or found["edge"]).lower() in {b"begin", b"start"}:
                    self._open[name] = line
                else:
                    self._open.pop(name, None)

    def finish(self) -> Fault | None:
        """The first fault of the whole file; None: it is fine."""
        if self.fault is not None:
            return self.fault
        last = self._rest[1:]
        last_line = self._lines + bool(last)
        self.feed(b"\n")
        if not self._said:
            self.fault = Fault("empty", "The file is empty.")
        elif self._open:
            name, line = min(self._open.items(), key=lambda item: item[1])
            text = f"The file is cut off: its {name.decode()} begins in line {line} and does not end."
            self.fault = Fault("truncated", text, last_line)
        elif not self._cut and last and _BROKEN.match(last.rstrip(b"\r")) is not None:
            self.fault = Fault("truncated", f"The file is cut off in line {last_line}.", last_line)
        elif self._layers is not None and -1 < self._last_layer < self._layers[0] - 1:
            text = f"The file is cut off: it tells of {self._layers[0]} layers and has {self._last_layer + 1}."
            self.fault = Fault("truncated", text, last_line)
        elif not self._moved:
            text = f"There is no movement (G0 to G3) up to its end, line {last_line}."
            self.fault = Fault("no_movement", text, last_line)
        return self.fault
