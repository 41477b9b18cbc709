"""A detector elsewhere that speaks the public ML API (wire-protocol.md §5.4).

`GET {url}/p/?img=<address of the picture>` -> `{"detections": [["failure", 0.54, [xc, yc, width, height]], …]}`.
The operator chose the address, so one in the private network is as good as any; redirects are not followed, since the
token would go along.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import ssl
import time
from collections.abc import Callable
from urllib.parse import urlencode, urlsplit

from reference_server.detectors.eyes import MOST_BOXES, box_of
from reference_server.media.jpeg import NotJpeg, read_size
from reference_server.services.detection.port import Box, DetectorFailed, Frame, Judgement

MOST_ANSWER = 1_000_000
"""Bytes."""

_MEANINGS = {
    400: "it could not fetch the picture; is the server's address reachable from there (--public-url)?",
    401: "it wants another token (--ml-api-token)",
    403: "it wants another token (--ml-api-token)",
    404: "there is no ML API at that address (--ml-api-url)",
    422: "it did not understand the request",
}

PictureUrl = Callable[[Frame], str]


class RemoteDetector:
    """`url`: of the service, http or https; `token`: sent as bearer token; `picture_url`: where the service can fetch
    a frame's picture."""

    name = "remote"

    def __init__(self, url: str, token: str | None, picture_url: PictureUrl) -> None:
        self._url = url.rstrip("/")
        self._token = token
        self._picture_url = picture_url

    async def judge(self, frame: Frame, timeout: float) -> Judgement:
        """Raises DetectorFailed."""
        size = _size(frame.data)
        target = f"{self._url}/p/?{urlencode({'img': self._picture_url(frame)})}"
        body = await asyncio.to_thread(_fetch, target, self._token, time.monotonic() + timeout)
        return Judgement(parse(body), (), self.name, *size)


def _size(data: bytes) -> tuple[int, int]:
    try:
        size = read_size(data)
    except NotJpeg as error:
        raise DetectorFailed(f"the picture cannot be judged: {error}") from None
    return size.width, size.height


def parse(body: bytes) -> tuple[Box, ...]:
    """The boxes of an answer. Raises DetectorFailed."""
    try:
        rows = json.loads(body)["detections"]
        boxes = [box_of(label, confidence, *numbers) for label, confidence, numbers in rows[:MOST_BOXES]]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise DetectorFailed("the ML API answered something else than detections") from None
    return tuple(boxes)


def _fetch(url: str, token: str | None, deadline: float) -> bytes:
    """The body of a 200. Blocks, until `deadline` (monotonic seconds) at the latest. Raises DetectorFailed."""
    parts = urlsplit(url)
    left = max(0.001, deadline - time.monotonic())
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(
            parts.hostname or "", parts.port, timeout=left, context=ssl.create_default_context()
        )
    else:
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=left)
    headers = {"Accept": "application/json", "User-Agent": "obico-reference-server"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    try:
        connection.request("GET", f"{parts.path}?{parts.query}", headers=headers)
        answer = connection.getresponse()
        if answer.status != 200:
            meaning = _MEANINGS.get(answer.status, "that means nothing to this server")
            raise DetectorFailed(f"the ML API answered {answer.status}: {meaning}")
        return _read(answer, connection, deadline)
    except TimeoutError:
        raise DetectorFailed("the ML API did not answer in time") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise DetectorFailed(f"the ML API cannot be reached ({error or type(error).__name__})") from None
    finally:
        connection.close()


def _read(answer: http.client.HTTPResponse, connection: http.client.HTTPConnection, deadline: float) -> bytes:
    """Piece by piece, so that bytes that drip in do not prolong the time."""
    body = b""
    while piece := answer.read1(65536):
        body += piece
        if len(body) > MOST_ANSWER:
            raise DetectorFailed("the ML API's answer is too long")
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        if connection.sock is not None:
            connection.sock.settimeout(left)
    return body
