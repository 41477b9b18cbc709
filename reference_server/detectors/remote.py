"""A detector elsewhere that speaks the public ML API (wire-protocol.md §5.4).

`GET {url}/p/?img=<address of the picture>` -> `{"detections": [["failure", 0.54, [xc, yc, width, height]], …]}`.
The operator chose the address, so one in the private network is as good as any; redirects are not followed, since the
token would go along.
"""

from __future__ import annotations

import asyncio
import http.client
import io
import json
import ssl
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
        try:
            body = await asyncio.wait_for(_fetch(target, self._token), timeout)
        except asyncio.TimeoutError:
            raise DetectorFailed("the ML API did not answer in time") from None
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


async def _fetch(url: str, token: str | None) -> bytes:
    """The body of a 200. Raises DetectorFailed."""
    try:
        status, body = await _get(url, token)
    except asyncio.LimitOverrunError:
        raise DetectorFailed("the ML API's answer is too long") from None
    except asyncio.IncompleteReadError:
        raise DetectorFailed("the ML API cannot be reached (it hung up)") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise DetectorFailed(f"the ML API cannot be reached ({error or type(error).__name__})") from None
    if status != 200:
        meaning = _MEANINGS.get(status, "that means nothing to this server")
        raise DetectorFailed(f"the ML API answered {status}: {meaning}")
    return body


async def _get(url: str, token: str | None) -> tuple[int, bytes]:
    """Over asyncio rather than http.client, so that bytes that drip in prolong nothing: the caller can cancel it."""
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    context = ssl.create_default_context() if secure else None
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port or (443 if secure else 80), ssl=context)
    try:
        lines = [
            f"GET {parts.path}?{parts.query} HTTP/1.1",
            f"Host: {parts.netloc.rpartition('@')[2]}",
            "Accept: application/json",
            "User-Agent: obico-reference-server",
            "Connection: close",
        ]
        if token:
            lines.append(f"Authorization: Bearer {token}")
        writer.write("\r\n".join([*lines, "", ""]).encode("latin-1", "replace"))
        await writer.drain()
        head = await reader.readuntil(b"\r\n\r\n")
        announced = _parsed(head).length
        rest = await _read(reader, announced)
        answer = _parsed(head + rest)
        return answer.status, answer.read()
    finally:
        writer.close()


class _Received:
    """What http.client wants a socket for."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, *_args: object) -> io.BytesIO:
        return io.BytesIO(self._data)


def _parsed(received: bytes) -> http.client.HTTPResponse:
    """Raises HTTPException."""
    answer = http.client.HTTPResponse(_Received(received))  # type: ignore[arg-type]  # it only calls makefile
    answer.begin()
    return answer


async def _read(reader: asyncio.StreamReader, length: int | None) -> bytes:
    """The body as it comes: so many bytes, or (None) until the other side closes."""
    body = bytearray()
    while length is None or len(body) < length:
        piece = await reader.read(65536)
        if not piece:
            break
        body += piece
        if len(body) > MOST_ANSWER:
            raise asyncio.LimitOverrunError("too long", len(body))
    return bytes(body)
