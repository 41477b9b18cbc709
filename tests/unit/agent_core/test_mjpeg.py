"""The first frame of a stream, however its pieces arrive."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_core.features.mjpeg import HEADER_LIMIT, PROBE, FirstFrame, is_stream
from agent_core.transport.http_body import GrowingBody
from tests.fakes.pictures import jpeg, mjpeg_part

HEADERS = {"content-type": "multipart/x-mixed-replace; boundary=frame"}
PICTURE = jpeg(filler=4000)


def _first(stream: bytes, sizes: list[int]) -> tuple[bool, bytes, int]:
    """Whether a frame was found, the frame, and how much was read."""
    reader, at = FirstFrame(), 0
    with GrowingBody() as body:
        for size in [*sizes, len(stream)]:
            body.append(stream[at : at + size])
            at = len(body)
            if reader(HEADERS, body):
                return True, reader.frame(body.piece(0, at)), at
        return False, reader.frame(body.piece(0, at)), at


def _body(data: bytes) -> GrowingBody:
    body = GrowingBody()
    body.append(data)
    return body


@given(
    sizes=st.lists(st.integers(1, 700), max_size=40),
    length=st.booleans(),
    end=st.sampled_from(["\r\n", "\n"]),
    before=st.sampled_from([b"", b"\r\n", b"\r\n\r\n"]),
)
def test_any_pieces(sizes: list[int], length: bool, end: str, before: bytes) -> None:
    part = mjpeg_part(PICTURE, length=length, end=end)
    found, frame, _ = _first(before + part + part, sizes)
    assert found
    assert frame == PICTURE


def test_no_more_is_read_than_needed() -> None:
    part = mjpeg_part(PICTURE)
    found, frame, read = _first(part * 50, [1000] * 200)
    assert found
    assert frame == PICTURE
    assert read < len(part) + 1000


def test_dashes_of_the_delimiter_come_from_the_body() -> None:
    found, frame, _ = _first(mjpeg_part(PICTURE, "--odd", length=False) * 2, [10])
    assert found
    assert frame == PICTURE


def test_a_stream_that_ends_early() -> None:
    assert _first(b"--frame\r\nContent-Type: image/jpeg", [])[:2] == (False, b"")
    assert _first(b"nothing", [])[:2] == (False, b"")
    found, frame, _ = _first(mjpeg_part(PICTURE, length=False)[:-100], [])
    assert not found
    assert PICTURE.startswith(frame)
    found, frame, _ = _first(mjpeg_part(PICTURE)[:-100], [])
    assert not found
    assert PICTURE.startswith(frame)


@pytest.mark.parametrize("kind", ["image/jpeg", "text/html", ""])
def test_anything_else_is_read_to_its_end(kind: str) -> None:
    headers = {"content-type": kind}
    assert not is_stream(headers)
    assert not FirstFrame()(headers, _body(PICTURE * 2))


def test_what_will_be_no_picture_is_not_read_to_its_end() -> None:
    page = b"<html>" + bytes(PROBE)
    assert FirstFrame()({}, _body(page))
    assert not FirstFrame()({}, _body(page[: PROBE - 1]))
    found, frame, read = _first(b"--f\r\n\r\n" + page * 1000, [500] * 2000)
    assert found
    assert read < PROBE + 1000
    assert frame.startswith(page)
    found, frame, read = _first(b"x" * 100_000, [500] * 2000)
    assert (found, frame, read) == (True, b"", HEADER_LIMIT + 116)


@given(st.binary(max_size=400), st.integers(1, 50))
def test_rubbish_does_no_harm(data: bytes, size: int) -> None:
    found, frame, _ = _first(data, [size] * 20)
    assert isinstance(found, bool)
    assert len(frame) <= len(data)
