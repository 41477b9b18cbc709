"""Is it a JPEG picture, and how large? Read from the headers, without an imaging library.

Source: ITU-T T.81 annex B (markers and segments).
"""

from __future__ import annotations

from dataclasses import dataclass

MOST_BYTES = 7_000_000
"""The larger of what agents take from a camera (wire-protocol.md §4)."""

MOST_PIXELS = 100_000_000
"""More than any camera on a printer has; whoever decodes the picture later must not run out of memory."""

_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD8)})
_START_OF_SCAN, _END = 0xDA, b"\xff\xd9"
_TAIL = 64 * 1024
"""Some cameras append padding or metadata after the end marker."""


class NotJpeg(Exception):
    """No whole JPEG picture; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Size:
    width: int
    height: int


def read_size(data: bytes) -> Size:
    """The size in pixels of a whole JPEG. Raises NotJpeg."""
    if not data.startswith(b"\xff\xd8\xff"):
        raise NotJpeg("it does not begin like a JPEG")
    size: Size | None = None
    position = 2
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            raise NotJpeg("a segment is damaged")
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if marker in _WITHOUT_LENGTH:
            position += 2
            continue
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        if length < 2 or position + 2 + length > len(data):
            raise NotJpeg("it is cut off")
        if marker in _START_OF_FRAME:
            size = _frame_size(data[position + 4 : position + 2 + length])
        elif marker == _START_OF_SCAN:
            return _whole(data, position + 2 + length, size)
        position += 2 + length
    raise NotJpeg("it holds no picture")


def _frame_size(segment: bytes) -> Size:
    if len(segment) < 5:
        raise NotJpeg("its frame header is too short")
    size = Size(int.from_bytes(segment[3:5], "big"), int.from_bytes(segment[1:3], "big"))
    if not size.width or not size.height or size.width * size.height > MOST_PIXELS:
        raise NotJpeg(f"a size of {size.width} x {size.height} cannot be")
    return size


def _whole(data: bytes, scan: int, size: Size | None) -> Size:
    if size is None:
        raise NotJpeg("it has no frame header")
    if data.rfind(_END, max(scan, len(data) - _TAIL)) < 0:
        raise NotJpeg("it is cut off")
    return size


_ORIENTATIONS = {
    (False, 0): 1, (False, 90): 6, (False, 180): 3, (False, 270): 8,
    (True, 0): 2, (True, 90): 7, (True, 180): 4, (True, 270): 5,
}  # fmt: skip
"""(mirrored, then turned clockwise by so many degrees) -> EXIF orientation."""


def turned(data: bytes, *, flip_h: bool, flip_v: bool, rotation: int) -> bytes:
    """The JPEG with a note of how to show it: flips first, then clockwise degrees. Its pixels stay as they are.

    The note is EXIF's orientation (EXIF 2.32 §4.6.4, tag 0x0112), which browsers, mail programs and image libraries
    follow; what the camera itself noted of that kind is taken out.
    """
    quarter = (rotation + (180 if flip_v else 0)) % 360  # a vertical flip is a horizontal one, turned by half
    orientation = _ORIENTATIONS.get((flip_h != flip_v, quarter), 1)
    if orientation == 1 or not data.startswith(b"\xff\xd8"):
        return data
    entry = b"\x01\x12\x00\x03\x00\x00\x00\x01" + orientation.to_bytes(2, "big") + b"\0\0"
    exif = b"Exif\0\0MM\0*\x00\x00\x00\x08\x00\x01" + entry + b"\x00\x00\x00\x00"
    return b"\xff\xd8\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + _without_exif(data[2:])


def _without_exif(segments: bytes) -> bytes:
    """Application segments come first in a JPEG."""
    kept, position = b"", 0
    while position + 4 <= len(segments) and segments[position] == 0xFF and segments[position + 1] in _APPLICATION:
        length = 2 + int.from_bytes(segments[position + 2 : position + 4], "big")
        if segments[position + 1] != 0xE1:
            kept += segments[position : position + length]
        position += length
    return kept + segments[position:]


_APPLICATION = range(0xE0, 0xF0)
