"""The remote detector: what it asks, what it understands, and each way of going wrong in words."""

from __future__ import annotations

import asyncio
import time
from urllib.parse import parse_qs, urlsplit

import pytest

from reference_server.detectors.remote import RemoteDetector
from reference_server.services.detection.port import Box, DetectorFailed, Frame, Judgement
from tests.fakes.http import Handler, LoopbackServer, drip, flood, reply, silence
from tests.fakes.pictures import jpeg

PICTURE = jpeg()
FRAME = Frame(1, 2, "", "snapshots/1/primary.jpg", PICTURE, (), 1.0, None)
PICTURE_URL = "http://192.168.1.5:3334/media/snapshots/1/primary.jpg?expires=1&digest=ab"


def ask(handler: Handler, token: str | None = None, timeout: float = 5.0) -> tuple[Judgement, LoopbackServer]:
    with LoopbackServer({"/": handler, "/p/": handler}) as server:
        detector = RemoteDetector(server.url + "/", token, lambda frame: PICTURE_URL)
        return asyncio.run(detector.judge(FRAME, timeout)), server


def failure(handler: Handler, timeout: float = 5.0) -> str:
    with pytest.raises(DetectorFailed) as caught:
        ask(handler, timeout=timeout)
    return str(caught.value)


def test_it_asks_as_the_public_ml_api_is_asked() -> None:
    body = b'{"detections": [["failure", 0.54, [320.5, 240, 100, 60]], ["failure", 0.1, [5, 5, 4, 4]]]}'
    judgement, server = ask(reply(200, body), token="s3cret")
    (request,) = server.requests
    parts = urlsplit(request.path)
    assert (request.method, parts.path, parse_qs(parts.query)) == ("GET", "/p/", {"img": [PICTURE_URL]})
    headers = {name.lower(): value for name, value in request.headers.items()}
    assert headers["authorization"] == "Bearer s3cret"
    boxes = (Box("failure", 0.54, 320.5, 240, 100, 60), Box("failure", 0.1, 5, 5, 4, 4))
    assert judgement == Judgement(boxes, (), "remote", 640, 480)


def test_nothing_found_is_an_answer_and_without_a_token_none_is_sent() -> None:
    judgement, server = ask(reply(200, b'{"detections": []}'))
    assert judgement.boxes == ()
    assert "authorization" not in {name.lower() for name in server.requests[0].headers}


@pytest.mark.parametrize(
    ("status", "words"),
    [(400, "could not fetch the picture"), (401, "another token"), (404, "no ML API"), (422, "did not understand"),
     (500, "500"), (302, "302")],
)  # fmt: skip
def test_each_refusal_is_told_in_words(status: int, words: str) -> None:
    said = failure(reply(status, b'{"detections": []}', {"Location": "http://127.0.0.1:1/"}))
    assert words in said
    assert PICTURE_URL not in said


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b'{"detections": 3}', b'{"detections": [["failure", 0.5]]}',
     b'{"detections": [["failure", 0.5, [1, 2, 3]]]}', b'{"detections": [["failure", 0.5, ["a", 2, 3, 4]]]}',
     b'{"detections": [["failure", NaN, [1, 2, 3, 4]]]}', b'{"detections": [["failure", 7, [1, 2, 3, 4]]]}',
     b'{"detections": [[1, 0.5, [1, 2, 3, 4]]]}', b"[" * 100_000],
)  # fmt: skip
def test_nonsense_is_no_detection(body: bytes) -> None:
    assert "something else than detections" in failure(reply(200, body))


def test_it_takes_no_longer_than_it_may() -> None:
    slow = [silence, drip(b"HTTP/1.1 200 OK\r\n\r\n"), drip(b"HTTP/1.1 200 OK\r\nX: ")]
    for handler in slow:
        begun = time.monotonic()
        assert "in time" in failure(handler, timeout=0.3)
        assert time.monotonic() - begun < 2.0


def test_an_answer_without_end_is_refused() -> None:
    assert "too long" in failure(flood(b"HTTP/1.1 200 OK\r\n\r\n"))


def test_nobody_there() -> None:
    with LoopbackServer({}) as server:
        url = server.url
    detector = RemoteDetector(url, None, lambda frame: PICTURE_URL)
    with pytest.raises(DetectorFailed, match="cannot be reached"):
        asyncio.run(detector.judge(FRAME, 2.0))


def test_what_is_no_picture_is_not_sent() -> None:
    detector = RemoteDetector("http://127.0.0.1:1", None, lambda frame: PICTURE_URL)
    with pytest.raises(DetectorFailed, match="picture"):
        asyncio.run(detector.judge(Frame(1, 2, "", "x.jpg", b"<html>", (), 1.0, None), 2.0))
