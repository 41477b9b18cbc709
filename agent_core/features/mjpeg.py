"""The first frame of an MJPEG stream (`multipart/x-mixed-replace`, as mjpg-streamer, ustreamer and IP cameras send)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from agent_core.ports import BodySoFar

_HEADER_END = re.compile(rb"\r?\n\r?\n")
PROBE = 2048
"""Bytes of a body that is no JPEG from its first byte: enough to say what it is instead, without fetching megabytes."""

HEADER_LIMIT = 16 * 1024
"""Bytes before the first frame of a stream; a part's header has some hundred."""

_SOI = b"\xff\xd8"
_LENGTH = re.compile(rb"^content-length:\s*(\d{1,9})\s*$", re.IGNORECASE | re.MULTILINE)


def is_stream(headers: Mapping[str, str]) -> bool:
    return headers.get("content-type", "").lower().startswith("multipart/")


class FirstFrame:
    """Told after each piece what has come so far, it knows when a frame is whole, or when it is clear that there will
    be no picture. To be used once, as `until` of a request; a single JPEG is let through to its end.

    The delimiter is taken from the body, since cameras disagree with their own header on its dashes. Where a part
    does not tell its length, the next delimiter ends it.
    """

    def __init__(self) -> None:
        self._begin = -1
        self._end = -1
        self._length = 0
        self._delimiter = b""
        # How far the search for the next delimiter has come: each byte is looked at once.
        self._searched = 0

    def __call__(self, headers: Mapping[str, str], body: BodySoFar) -> bool:
        if not is_stream(headers):
            return len(body) >= PROBE and body.piece(0, 2) != _SOI
        if self._begin < 0 and not self._part_header(body):
            return len(body) >= HEADER_LIMIT
        if len(body) >= self._begin + PROBE and body.piece(self._begin, self._begin + 2) != _SOI:
            self._end = len(body)
            return True
        if self._length:
            self._end = self._begin + self._length
            return len(body) >= self._end
        self._end = body.find(b"\n" + self._delimiter, self._searched)
        self._searched = max(self._begin, len(body) - len(self._delimiter))
        return self._end >= 0

    def _part_header(self, body: BodySoFar) -> bool:
        so_far = body.piece(0, HEADER_LIMIT)
        start = so_far.find(b"--")
        end = _HEADER_END.search(so_far, start) if start >= 0 else None
        if end is None:
            return False
        head = so_far[start : end.start()]
        self._delimiter = head.split(b"\n", 1)[0].strip()
        length = _LENGTH.search(head.replace(b"\r", b""))
        self._length = int(length[1]) if length else 0
        self._begin = self._searched = end.end()
        return True

    def frame(self, body: bytes) -> bytes:
        """The frame in what was read; empty if the stream ended before there was one."""
        if self._begin < 0:
            return b""
        found = body[self._begin : self._end] if self._end >= 0 else body[self._begin :]
        # The line end before a delimiter is none of the picture's, which ends with another byte.
        return found.removesuffix(b"\r")
