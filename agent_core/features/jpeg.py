"""What a JPEG says of itself, read from its markers (ITU T.81, annex B); no imaging library, nothing decoded."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from agent_core.errors import CameraFault

_SOI, _EOI = b"\xff\xd8", b"\xff\xd9"
_SOS = 0xDA
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""SOF0 to SOF15, baseline to progressive and lossless; three numbers of the row mean other things."""
_BARE = frozenset({0x01, *range(0xD0, 0xD8)})
"""Markers without a length: TEM, RST0 to RST7."""

MAX_PADDING = 64 * 1024
"""Bytes after the end of the picture; some cameras pad to a block, some append notes of their own."""

_OTHERS = (
    (b"\x89PNG", "a PNG picture"), (b"GIF8", "a GIF picture"), (b"RIFF", "a WebP picture or a video"),
    (b"BM", "a BMP picture"), (b"\x00\x00\x00", "a video"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Size:
    """Pixels."""

    width: int
    height: int


def inspect(data: bytes) -> Size:
    """The size of a whole JPEG. Raises CameraFault if it is none, or not whole, with what it is instead."""
    if not data:
        raise CameraFault("the answer is empty")
    if not data.startswith(_SOI):
        raise CameraFault(f"the answer is {_guess(data)}, not a JPEG picture")
    size, scan = _header(data)
    end = data.rfind(_EOI, scan)
    if end < 0 or len(data) - end > MAX_PADDING:
        raise CameraFault(f"the picture is cut off (after {len(data)} bytes)")
    return size


def _guess(data: bytes) -> str:
    head = data[:512].lstrip().lower()
    if head.startswith((b"<!doctype html", b"<html")) or b"<head" in head or b"<body" in head:
        return "a web page (the camera's own page, or a login)"
    for magic, name in _OTHERS:
        if data.startswith(magic):
            return name
    try:
        text = data[:60].decode()
    except UnicodeDecodeError:
        return "something else"
    return f"text ({' '.join(text.split())[:40]!r})" if text.isprintable() else "text"


def _header(data: bytes) -> tuple[Size, int]:
    """The size, and where the scan data begins."""
    size: Size | None = None
    at = 2
    while True:
        # A marker may be preceded by any number of fill bytes 0xff.
        while data[at : at + 2] == b"\xff\xff":
            at += 1
        if len(data) < at + 4:
            raise CameraFault(f"the picture is cut off (after {len(data)} bytes)")
        if data[at] != 0xFF:
            raise CameraFault("the picture is damaged")
        marker = data[at + 1]
        if marker in _BARE:
            at += 2
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        if marker == _SOS:
            break
        if marker in _FRAMES:
            size = _size(data[at + 4 : at + 2 + length])
        at += 2 + max(2, length)
    if size is None:
        raise CameraFault("the picture is damaged")
    return size, at


def _size(frame: bytes) -> Size:
    """A frame header: precision, height, width, …"""
    if len(frame) < 5:
        raise CameraFault("the picture is cut off in its header")
    height, width = struct.unpack_from(">HH", frame, 1)
    if not height or not width:
        raise CameraFault("the picture has no size")
    return Size(width, height)
