"""What a slicer wrote into the comments of a G-code file: print time, filament, layers, thumbnails.

Reads PrusaSlicer, SuperSlicer, OrcaSlicer, BambuStudio, Cura and Simplify3D. The file goes through once, in pieces of
any size, and memory stays bounded whatever the file holds: lines that are no comments are never looked at one by one.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

LONGEST_LINE = 64 * 1024
"""Bytes; what is longer is no comment that tells anything. (OrcaSlicer writes whole profiles into one line.)"""

MOST_THUMBNAILS = 8
MOST_THUMBNAIL_TEXT = 1024 * 1024
"""Base64 characters of one thumbnail; usual ones have less than 100,000."""


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A picture of the model; `format`: `png`, `jpg` or `qoi`. Width and height in pixels, as the slicer says."""

    width: int
    height: int
    format: str
    data: bytes


@dataclass(frozen=True, slots=True)
class GCodeMetadata:
    """Times in s, lengths in mm, weight in g, temperatures in °C; None: the file does not say."""

    slicer: str | None = None
    estimated_time: float | None = None
    filament_total: float | None = None
    filament_weight: float | None = None
    filament_type: str | None = None
    layer_count: int | None = None
    layer_height: float | None = None
    first_layer_height: float | None = None
    object_height: float | None = None
    nozzle_diameter: float | None = None
    first_layer_nozzle: float | None = None
    first_layer_bed: float | None = None
    thumbnails: tuple[Thumbnail, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """All but the thumbnails' pictures."""
        names = [name for name in self.__slots__ if name != "thumbnails"]
        sizes = [{"width": each.width, "height": each.height, "format": each.format} for each in self.thumbnails]
        return {**{name: getattr(self, name) for name in names}, "thumbnails": sizes}


# --- values ----------------------------------------------------------------------------------------------------------

_NUMBER = re.compile(r"\d{1,15}(?:\.\d{1,15})?")
_SPAN = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*(d|h|m|s)[a-z]*")
_UNIT = {"d": 86400, "h": 3600, "m": 60, "s": 1}


def _number(text: str) -> float | None:
    found = _NUMBER.match(text.strip())
    return float(found[0]) if found else None


def _total(text: str) -> float | None:
    """The sum of `1.5, 0.25`, one number a tool."""
    found = [float(number) for number in _NUMBER.findall(text)]
    return sum(found) if found else None


def _metres(text: str) -> float | None:
    """Cura: `0.72473m, 1.2m`; in mm."""
    metres = _total(text)
    return None if metres is None else metres * 1000


def _whole(text: str) -> int | None:
    number = _number(text)
    return None if number is None else int(number)


def _span(text: str) -> float | None:
    """`1d 2h 3m 4s` in seconds."""
    found = _SPAN.findall(text)
    return sum(float(number) * _UNIT[unit] for number, unit in found) if found else None


def _words(text: str) -> str | None:
    return text.strip().strip('"').strip()[:200] or None


def _program(text: str) -> str | None:
    """`PrusaSlicer 2.7.4+linux-x64 on 2024-05-17 at …` without the date."""
    return _words(re.split(r"\s+on\s+\d{4}-", text)[0])


# A comment's beginning (lower case, without its `=` or `:`) -> what it tells, and how to read the rest of the line.
_TELLS: dict[str, tuple[str, Callable[[str], Any]]] = {
    # PrusaSlicer, SuperSlicer, OrcaSlicer, BambuStudio
    "estimated printing time (normal mode)": ("estimated_time", _span),
    "estimated printing time": ("estimated_time", _span),
    "total estimated time": ("estimated_time", _span),
    "filament used [mm]": ("filament_total", _total),
    "total filament length [mm]": ("filament_total", _total),
    "total filament used [g]": ("filament_weight", _total),
    "filament used [g]": ("filament_weight", _total),
    "total filament weight [g]": ("filament_weight", _total),
    "filament_type": ("filament_type", _words),
    "total layers count": ("layer_count", _whole),
    "total layer number": ("layer_count", _whole),
    "layer_height": ("layer_height", _number),
    "first_layer_height": ("first_layer_height", _number),
    "initial_layer_print_height": ("first_layer_height", _number),
    "max_z_height": ("object_height", _number),
    "nozzle_diameter": ("nozzle_diameter", _number),
    "first_layer_temperature": ("first_layer_nozzle", _number),
    "nozzle_temperature_initial_layer": ("first_layer_nozzle", _number),
    "first_layer_bed_temperature": ("first_layer_bed", _number),
    "hot_plate_temp_initial_layer": ("first_layer_bed", _number),
    # Cura
    "time": ("estimated_time", _number),
    "print.time": ("estimated_time", _number),
    "filament used": ("filament_total", _metres),
    "layer height": ("layer_height", _number),
    "layer_count": ("layer_count", _whole),
    "maxz": ("object_height", _number),
    # Simplify3D
    "build time": ("estimated_time", _span),
    "filament length": ("filament_total", _number),
    "plastic weight": ("filament_weight", _number),
}

_SLICER = re.compile(r"generated (?:by|with) (.+)", re.IGNORECASE)
_BAMBU = re.compile(r"BambuStudio [\d.]+")
_BEGIN = re.compile(r"thumbnail(?:_(png|jpg|qoi))? begin (\d{1,5})\s*[x ]\s*(\d{1,5})", re.IGNORECASE)
_END = re.compile(r"thumbnail(?:_(?:png|jpg|qoi))? end", re.IGNORECASE)


@dataclass(slots=True)
class _Picture:
    width: int
    height: int
    format: str
    text: list[str] = field(default_factory=list)
    size: int = 0

    def add(self, text: str) -> None:
        self.size += len(text)
        if self.size <= MOST_THUMBNAIL_TEXT:
            self.text.append(text)

    def finish(self) -> Thumbnail | None:
        """None: too large, or no base64."""
        if self.size > MOST_THUMBNAIL_TEXT:
            return None
        try:
            data = base64.b64decode("".join(self.text), validate=True)
        except (binascii.Error, ValueError):
            return None
        return Thumbnail(self.width, self.height, self.format, data) if data else None


class MetadataReader:
    """`feed` the file piece by piece, then ask `finish`. The first mention of a thing counts."""

    def __init__(self) -> None:
        self._found: dict[str, Any] = {}
        self._thumbnails: list[Thumbnail] = []
        self._picture: _Picture | None = None
        self._rest = b"\n"  # the line that the last piece ended in, with the line end before it

    def feed(self, piece: bytes) -> None:
        block = self._rest + piece
        cut = block.rfind(b"\n")
        if cut <= 0 and len(block) > LONGEST_LINE:
            self._rest = b"\n "  # what follows belongs to a line that is too long: no comment
            return
        for comment in block[:cut].split(b"\n;")[1:]:
            line = comment.partition(b"\n")[0]
            if len(line) <= LONGEST_LINE:
                self._take(line.decode("utf-8", "replace").strip())
        self._rest = block[cut:]

    def finish(self) -> GCodeMetadata:
        self.feed(b"\n")
        return GCodeMetadata(thumbnails=tuple(self._thumbnails), **self._found)

    def _take(self, text: str) -> None:
        if self._picture is not None:
            self._draw(text)
        elif begin := _BEGIN.match(text):
            self._picture = _Picture(int(begin[2]), int(begin[3]), (begin[1] or "png").lower())
        else:
            self._tell(text)

    def _draw(self, text: str) -> None:
        picture = self._picture
        if picture is None or not _END.match(text):
            if picture is not None:
                picture.add(text)
            return
        self._picture = None
        thumbnail = picture.finish()
        if thumbnail is not None and len(self._thumbnails) < MOST_THUMBNAILS:
            self._thumbnails.append(thumbnail)

    def _tell(self, text: str) -> None:
        if "slicer" not in self._found:
            said = _SLICER.match(text)
            name = _program(said[1]) if said else _words(text) if _BAMBU.match(text) else None
            if name:
                self._found["slicer"] = name
                return
        # OrcaSlicer puts two into one line: `model printing time: 1h 2m; total estimated time: 1h 10m`
        for part in text.split("; ") if "; total estimated time" in text else (text,):
            key, value = _pair(part)
            name, read = _TELLS.get(key, ("", _words))
            if name and name not in self._found and (found := read(value)) is not None:
                self._found[name] = found


def _pair(text: str) -> tuple[str, str]:
    """`layer_height = 0.2` and `TIME:363` taken apart; the key in lower case."""
    equals, colon = text.find("="), text.find(":")
    at = colon if equals < 0 or 0 <= colon < equals else equals
    return (text[:at].strip().lower(), text[at + 1 :]) if 0 < at < 60 else ("", "")


def read_metadata(pieces: Iterable[bytes]) -> GCodeMetadata:
    reader = MetadataReader()
    for piece in pieces:
        reader.feed(piece)
    return reader.finish()
