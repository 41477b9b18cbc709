"""JPEG files made by hand: right in every marker, with nothing worth seeing in them."""

from __future__ import annotations

import struct


def segment(marker: int, payload: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def jpeg(width: int = 640, height: int = 480, *, frame: int = 0xC0, filler: int = 200, before: bytes = b"") -> bytes:
    """`frame`: the SOF marker (0xC2 is progressive); `filler`: bytes of scan data; `before`: segments before SOF."""
    sof = struct.pack(">BHHB", 8, height, width, 1) + b"\x01\x11\x00"
    scan = segment(0xDA, b"\x01\x01\x00\x00\x3f\x00") + b"\x12\xff\x00\x34" * (filler // 4)
    quantisation = segment(0xDB, bytes(65))
    return (
        b"\xff\xd8"
        + segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0")
        + before
        + quantisation
        + segment(frame, sof)
        + (segment(0xC4, bytes(20)) + scan + b"\xff\xd9")
    )


def mjpeg_part(picture: bytes, boundary: str = "frame", *, length: bool = True, end: str = "\r\n") -> bytes:
    said = f"Content-Length: {len(picture)}{end}" if length else ""
    return f"--{boundary}{end}Content-Type: image/jpeg{end}{said}{end}".encode() + picture + end.encode()
