"""Pictures judged by their markers alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_core.errors import CameraFault
from agent_core.features.jpeg import MAX_PADDING, Size, inspect
from tests.fakes.pictures import jpeg, segment


@pytest.mark.parametrize("frame", [0xC0, 0xC1, 0xC2, 0xC3, 0xC9, 0xCA])
def test_size_of_every_kind(frame: int) -> None:
    assert inspect(jpeg(1920, 1080, frame=frame)) == Size(1920, 1080)


def test_other_markers_are_passed_over() -> None:
    thumbnail = segment(0xE1, b"Exif\0\0" + jpeg(160, 120))
    assert inspect(jpeg(800, 600, before=b"\xff\xff" + thumbnail + b"\xff\x01" + segment(0xC4, bytes(5)))) == Size(
        800, 600
    )


def test_padding_after_the_end_is_forgiven() -> None:
    assert inspect(jpeg() + bytes(512)) == Size(640, 480)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html><body>Login", "web page"),
        (b"\n  <HTML>", "web page"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"GIF89a", "GIF"),
        (b"RIFF1234WEBP", "WebP"),
        (b"\0\0\0\x18ftypmp42", "video"),
        (b'{"error": "busy"}', "text"),
        (b"line\x07", "text"),
        (b"\xfe\xfd\xfc", "something else"),
        (jpeg()[:-2], "cut off"),
        (jpeg()[:40], "cut off"),
        (b"\xff\xd8", "cut off"),
        (jpeg() + bytes(MAX_PADDING), "cut off"),
        (b"\xff\xd8" + bytes(20), "damaged"),
        (b"\xff\xd8" + segment(0xDA, b"\1\1\0\0\x3f\0") + b"\xff\xd9", "damaged"),
        (jpeg(0, 480), "no size"),
        (b"\xff\xd8" + segment(0xC0, b"\x08\0") + segment(0xDA, bytes(6)) + b"\xff\xd9", "cut off"),
    ],
)
def test_what_is_no_picture_is_named(data: bytes, reason: str) -> None:
    with pytest.raises(CameraFault, match=reason):
        inspect(data)


def test_a_thumbnails_end_is_not_the_pictures() -> None:
    whole = jpeg(before=segment(0xE1, b"Exif\0\0" + jpeg(160, 120)))
    with pytest.raises(CameraFault, match="cut off"):
        inspect(whole[:-2])


@given(st.binary(max_size=300))
def test_rubbish_is_a_fault_or_a_picture(data: bytes) -> None:
    for candidate in (data, b"\xff\xd8" + data, jpeg()[:30] + data):
        try:
            size = inspect(candidate)
        except CameraFault:
            continue
        assert size.width > 0
        assert size.height > 0


@given(st.integers(0, 600))
def test_every_truncation_is_noticed(length: int) -> None:
    whole = jpeg(filler=300)
    if length >= len(whole):
        return
    with pytest.raises(CameraFault):
        inspect(whole[:length])
