"""The QR encoder, held against segno's and against OpenCV's reader."""

from __future__ import annotations

import re

import pytest

from agent_core.features import qr

FULL = (14, 26, 42, 62, 84, 106, 122, 152, 180, 213)
"""Bytes that fill versions 1 to 10. (Of a text that does not, segno pads with one more word than the standard has.)"""


@pytest.mark.parametrize("length", FULL)
def test_as_segno_does(length: int) -> None:
    segno = pytest.importorskip("segno")
    text = ("https://app.obico.io/printers/wizard/link/?one_time_passcode=k3x9a&" * 4)[:length]
    ours = qr.encode(text)
    drawn = [
        segno.make_qr(text, error="m", mode="byte", boost_error=False, mask=mask).matrix for mask in range(8)
    ]  # fmt: skip
    assert ours in [tuple(tuple(bool(cell) for cell in row) for row in matrix) for matrix in drawn]
    assert len(ours) == 21 + 4 * FULL.index(length)


@pytest.mark.parametrize(
    "text", ["k3x9a", "http://192.168.1.20:3334/#/link?passcode=k3x9a", "https://ü.example/" + "x" * 90]
)
def test_it_can_be_read(text: str) -> None:
    cv2 = pytest.importorskip("cv2")
    numpy = pytest.importorskip("numpy")
    picture = numpy.array([[0 if dark else 255 for dark in row] for row in qr.encode(text)], dtype=numpy.uint8)
    picture = numpy.kron(numpy.pad(picture, qr.QUIET, constant_values=255), numpy.ones((6, 6), dtype=numpy.uint8))
    read, _, _ = cv2.QRCodeDetector().detectAndDecode(picture)
    assert read == text


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(ValueError, match="holds 213 bytes, not 214"):
        qr.encode("x" * 214)


def test_the_drawings_show_each_module() -> None:
    matrix = qr.encode("k3x9a")
    size, dark = len(matrix), sum(map(sum, matrix))
    drawn = qr.svg(matrix)
    assert drawn.count("h1v1h-1z") == dark
    assert f'viewBox="0 0 {size + 8} {size + 8}"' in drawn
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in qr.terminal(matrix).split("\n")]
    assert {len(line) for line in lines} == {size + 8}
    # One row more than there is, since two stand in a line: it is dark ground.
    light = sum({"█": 2, "▀": 1, "▄": 1, " ": 0}[char] for line in lines for char in line)
    assert light == (size + 8) * 2 * len(lines) - dark
