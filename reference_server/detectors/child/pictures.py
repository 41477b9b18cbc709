"""JPEG to pixels and back, and the boxes drawn on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from reference_server.media.jpeg import NotJpeg, read_size

MOST_PIXELS = 24_000_000
"""Of a picture that is decoded: 72 MB of pixels."""

GREEN = (0, 255, 0)
THICKNESS = 3
SHOWN_ABOVE = 0.2
"""Boxes with more confidence are drawn (wire-protocol.md §5.4)."""

QUALITY = 90


class Refused(Exception):
    """The request cannot be done; the message is one line for a person."""


def decode(jpeg: bytes) -> Any:
    """BGR pixels, rows first. Not turned by an EXIF orientation: boxes refer to the pixels as sent. Raises Refused."""
    try:
        size = read_size(jpeg)
    except NotJpeg as error:
        raise Refused(f"the picture cannot be read: {error}") from None
    if size.width * size.height > MOST_PIXELS:
        raise Refused(f"the picture is too large: {size.width} x {size.height} pixels")
    pixels = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if pixels is None:
        raise Refused("the picture cannot be read: it is damaged")
    return pixels


def tag(pixels: Any, rows: Sequence[Sequence[Any]]) -> bytes:
    """The picture with the boxes of `rows` (label, confidence, x, y, width, height) drawn, as JPEG."""
    for _, confidence, x, y, width, height in rows:
        if confidence > SHOWN_ABOVE:
            _outline(pixels, round(x - width / 2), round(y - height / 2), round(x + width / 2), round(y + height / 2))
    done, jpeg = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not done:
        raise Refused("the picture cannot be written")
    return bytes(jpeg)


def _outline(pixels: Any, left: int, top: int, right: int, bottom: int) -> None:
    """THICKNESS pixels with the box's border in their middle; OpenCV's own thick lines are two pixels wider."""
    out = THICKNESS // 2
    for bar in (
        (left - out, top - out, right + out, top + out),
        (left - out, bottom - out, right + out, bottom + out),
        (left - out, top - out, left + out, bottom + out),
        (right - out, top - out, right + out, bottom + out),
    ):
        cv2.rectangle(pixels, bar[:2], bar[2:], GREEN, cv2.FILLED)
