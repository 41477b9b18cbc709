"""Where in a G-code file is which layer: the file is read once, then any position maps to layer, height and filament.

Reads the comments of PrusaSlicer, SuperSlicer, OrcaSlicer, BambuStudio, Cura, Simplify3D, ideaMaker and KISSlicer;
without any, a layer begins where something is extruded higher than before. The user's file is never changed.

Memory is bounded: some numbers a layer, and a piece of the file. A pass looks at whole pieces with a few regular
expressions, not at lines: half a gigabyte takes well under a minute (`python -m bench gcode`).
"""

from __future__ import annotations

import json
import re
from array import array
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

MOST_LAYERS = 100_000
"""A part of 2 m in layers of 0.02 mm; beyond it the file is no print, and the rest counts as one layer."""

MOST_TIME_MARKS = 200_000
"""M73 comes once a minute, or once a percent; some slicers write it once a layer."""

LONGEST_LINE = 64 * 1024
"""Bytes of an unfinished line that are kept for the next piece; a longer one is cut."""

PIECE = 1024 * 1024
"""Bytes read at once."""


FORMAT = "gcode index 1"
"""First words of a stored index; another version is not read but made anew."""

_ARRAYS = (("offsets", "Q"), ("heights", "d"), ("filaments", "d"), ("time_offsets", "Q"), ("times_left", "d"))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a print is. `layer`: 1 is the first, 0 before it; `z` mm, `filament` mm (net), `time_left` s, if known."""

    layer: int
    z: float | None
    filament: float
    time_left: float | None


@dataclass(frozen=True, slots=True)
class GCodeIndex:
    """The layers of a file. All arrays are by layer, in the file's order; `offset` in bytes from its beginning."""

    size: int
    offsets: array[int]
    heights: array[float]
    filaments: array[float]
    total_filament: float
    time_offsets: array[int]
    times_left: array[float]

    @property
    def layer_count(self) -> int:
        return len(self.offsets)

    @property
    def max_z(self) -> float | None:
        known = [height for height in self.heights if height == height]  # NaN: not known
        return max(known) if known else None

    def at(self, position: int) -> Place:
        """The place of a position in bytes; what lies outside the file counts as its ends."""
        position = min(max(position, 0), self.size)
        layer = bisect_right(self.offsets, position)
        height = self.heights[layer - 1] if layer else None
        return Place(
            layer,
            height if height is not None and height == height else None,
            self._filament(layer, position),
            self._time_left(position),
        )

    def to_bytes(self) -> bytes:
        """For a file on this machine; see from_bytes."""
        lengths = {name: len(getattr(self, name)) for name, _ in _ARRAYS}
        head = {"format": FORMAT, "size": self.size, "total_filament": self.total_filament, "lengths": lengths}
        return json.dumps(head).encode() + b"\n" + b"".join(getattr(self, name).tobytes() for name, _ in _ARRAYS)

    @classmethod
    def from_bytes(cls, data: bytes) -> GCodeIndex | None:
        """None for anything that is not what to_bytes wrote."""
        head, found, rest = data.partition(b"\n")
        try:
            facts = json.loads(head)
            if not found or facts["format"] != FORMAT:
                return None
            arrays: dict[str, array[Any]] = {}
            for name, kind in _ARRAYS:
                values: array[Any] = array(kind)
                end = int(facts["lengths"][name]) * values.itemsize
                values.frombytes(rest[:end])
                if len(values) != int(facts["lengths"][name]):
                    return None
                arrays[name], rest = values, rest[end:]
            return cls(size=int(facts["size"]), total_filament=float(facts["total_filament"]), **arrays)
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
            return None

    def _filament(self, layer: int, position: int) -> float:
        """In between, filament runs with the bytes."""
        begin, used = (self.offsets[layer - 1], self.filaments[layer - 1]) if layer else (0, 0.0)
        last = layer == len(self.offsets)
        end, later = (self.size, self.total_filament) if last else (self.offsets[layer], self.filaments[layer])
        return later if end <= begin else used + (later - used) * (position - begin) / (end - begin)

    def _time_left(self, position: int) -> float | None:
        if not self.time_offsets:
            return None
        mark = bisect_right(self.time_offsets, position)
        if mark == 0:
            return self.times_left[0]
        begin, left = self.time_offsets[mark - 1], self.times_left[mark - 1]
        last = mark == len(self.time_offsets)
        end, later = (self.size, 0.0) if last else (self.time_offsets[mark], self.times_left[mark])
        return left if end <= begin else max(0.0, left + (later - left) * (position - begin) / (end - begin))


# --- what lines are looked at ----------------------------------------------------------------------------------------

# Each begins with the line feed before it: that makes the search jump from line to line.
_MARK = re.compile(
    rb"\n(?:"
    rb";[ ]?(?P<change>LAYER_CHANGE|CHANGE_LAYER)"
    rb"|;LAYER:(?P<cura>-?\d+)"
    rb"|;[ ]layer[ ](?P<s3d>\d+), ?Z ?= ?(?P<s3dz>-?[\d.]+)"
    rb"|;[ ]BEGIN_LAYER_OBJECT[ ]z=(?P<kiss>-?[\d.]+)"
    rb"|;[ ]?(?:Z|Z_HEIGHT):[ ]?(?P<z>-?[\d.]+)"
    rb"|;TIME_ELAPSED:(?P<elapsed>[\d.]+)"
    rb"|;TIME:(?P<time>[\d.]+)"
    rb"|M73[^\n;]*?R(?P<left>[\d.]+)"
    rb"|(?P<mode>M8[23]|G9[01])\b"
    rb"|G92[^\n;]*?E(?P<reset>-?[\d.]+)"
    rb")"
)
_COMMENT = re.compile(rb";[^\n]*")
_MOVE_E = re.compile(rb"\n[ ]*G0*[0-3](?!\d)[^\n]*?E(-?[\d.]+)")
_MOVE_Z = re.compile(rb"\n[ ]*G0*[0-3](?!\d)[^\n]*?Z(-?[\d.]+)")
_PRINTED = re.compile(rb"\n[ ]*G0*[1-3](?!\d)(?=[^\n]*[XY])[^\n]*E-?[\d.]")


def _number(text: bytes) -> float:
    """A number as slicers write it; what is none counts as 0, as firmwares read it."""
    try:
        return float(text)
    except ValueError:
        return 0.0


def _sum(texts: list[bytes]) -> float:
    try:
        return sum(map(float, texts))
    except ValueError:
        return sum(map(_number, texts))


class GCodeIndexer:
    """Takes the file piece by piece; `finish` gives the index. It never raises, whatever the bytes are."""

    def __init__(self) -> None:
        self._rest = b"\n"  # an unfinished line, with the line feed before it
        self._rest_at = -1  # where it lies in the file
        self._size = 0
        self._offsets, self._heights, self._filaments = array("Q"), array("d"), array("d")
        self._time_offsets, self._times_left = array("Q"), array("d")
        self._total_time: float | None = None
        self._absolute_e, self._absolute = True, True
        self._e = 0.0  # the last absolute E
        self._used = 0.0
        self._commented = False
        self._height_given = False
        # Without comments: where something was extruded higher than before.
        self._z, self._z_at, self._z_used = 0.0, 0, 0.0  # height, where it was reached, filament used until then
        self._risen: tuple[array[int], array[float], array[float]] = (array("Q"), array("d"), array("d"))

    def feed(self, piece: bytes) -> None:
        """The next bytes of the file."""
        self._size += len(piece)
        text = self._rest + piece.replace(b"\r", b"\n") if b"\r" in piece else self._rest + piece
        end = text.rfind(b"\n")
        self._take(text[:end], self._rest_at)
        self._rest_at += end
        self._rest = text[end : end + LONGEST_LINE]

    def finish(self) -> GCodeIndex:
        self._take(self._rest, self._rest_at)
        self._rest = b"\n"
        if self._commented:
            offsets, heights, filaments = self._offsets, self._heights, self._filaments
        else:
            offsets, heights, filaments = self._risen
        return GCodeIndex(
            self._size, offsets, heights, filaments, self._used, self._time_offsets, self._times_left
        )  # fmt: skip

    # --- a piece of whole lines -----------------------------------------------------------------------------------

    def _take(self, text: bytes, at: int) -> None:
        begin = 0
        for mark in _MARK.finditer(text):
            self._moves(text, begin, mark.start(), at)
            begin = mark.end()
            self._mark(mark, at + mark.start() + 1)
        self._moves(text, begin, len(text), at)

    def _mark(self, mark: re.Match[bytes], at: int) -> None:
        kind, value = mark.lastgroup, mark[mark.lastgroup or 0]
        if kind in {"change", "cura"}:
            self._layer(at, None)
        elif kind == "s3dz":
            self._layer(at, _number(value))
        elif kind == "kiss":
            height = _number(value)
            if not self._offsets or self._heights[-1] != height:  # once an object
                self._layer(at, height)
        elif kind == "z":
            if self._offsets and not self._height_given:
                self._heights[-1], self._height_given = _number(value), True
        elif kind == "mode":
            self._mode(value)
        elif kind == "reset":
            self._e = _number(value)
        else:
            self._time(kind, at, _number(value))

    def _mode(self, word: bytes) -> None:
        if word in {b"M82", b"M83"}:
            self._absolute_e = word == b"M82"
        else:
            self._absolute = word == b"G90"

    def _time(self, kind: str | None, at: int, value: float) -> None:
        if kind == "time":  # Cura: the whole print
            self._total_time = value
            return
        if kind == "left":
            left = value * 60
        elif self._total_time is not None:
            left = max(0.0, self._total_time - value)
        else:
            return
        if len(self._time_offsets) < MOST_TIME_MARKS:
            self._time_offsets.append(at)
            self._times_left.append(left)

    def _layer(self, at: int, height: float | None) -> None:
        self._commented = True
        if len(self._offsets) < MOST_LAYERS:
            self._offsets.append(at)
            self._heights.append(float("nan") if height is None else height)
            self._filaments.append(self._used)
            self._height_given = height is not None

    # --- moves ----------------------------------------------------------------------------------------------------

    def _moves(self, text: bytes, begin: int, end: int, at: int) -> None:
        """The moves of lines that no mark stands between; a line that a mark began is passed over."""
        begin = text.find(b"\n", begin, end)
        if begin < 0:
            return
        body = text[begin:end]
        if b";" in body:
            body = _COMMENT.sub(lambda comment: b" " * len(comment[0]), body)
        if not self._commented:
            self._rises(body, at + begin)
            return
        if not self._height_given:
            self._find_height(body)
        self._extrude(body, 0, len(body))

    def _extrude(self, body: bytes, begin: int, end: int) -> None:
        found = _MOVE_E.findall(body, begin, end)
        if not found:
            return
        if self._absolute and self._absolute_e:  # G91 makes E relative too
            last = _number(found[-1])
            self._used += last - self._e
            self._e = last
        else:
            pushed = _sum(found)
            self._used += pushed
            self._e += pushed

    def _find_height(self, body: bytes) -> None:
        """The lowest height of a layer's moves: what hops over the part is higher."""
        heights = _MOVE_Z.findall(body) if self._absolute else []
        if not heights or not self._heights:
            return
        lowest = min(map(_number, heights))
        known = self._heights[-1]
        self._heights[-1] = lowest if known != known else min(known, lowest)

    def _rises(self, body: bytes, at: int) -> None:
        """Where something is printed higher than before, as long as no comment has named a layer."""
        begin = 0
        for move in _MOVE_Z.finditer(body):
            self._rise(body, begin, move.start())
            height = _number(move[1])
            self._z = height if self._absolute else self._z + height
            self._z_at, self._z_used = at + move.start() + 1, self._used
            begin = move.start()
        self._rise(body, begin, len(body))

    def _rise(self, body: bytes, begin: int, end: int) -> None:
        """Moves at one height. A hop over the part prints nothing up there."""
        offsets, heights, filaments = self._risen
        higher = self._z > (heights[-1] if heights else 0.0)
        if higher and len(offsets) < MOST_LAYERS and _PRINTED.search(body, begin, end):
            offsets.append(self._z_at)
            heights.append(self._z)
            filaments.append(self._z_used)
        self._extrude(body, begin, end)


def index(pieces: Iterable[bytes]) -> GCodeIndex:
    """The index of a file that comes in pieces of any size."""
    indexer = GCodeIndexer()
    for piece in pieces:
        indexer.feed(piece)
    return indexer.finish()
