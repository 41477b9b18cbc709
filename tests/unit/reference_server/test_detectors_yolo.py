"""From a network's numbers to boxes: letter-boxing, known outputs, thresholds, suppression, an ONNX file's input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reference_server.detectors.child.onnx_file import NotOnnx, input_size
from reference_server.detectors.child.yolo import Letterbox, UnknownOutput, choose, read_outputs
from tests.fakes.networks import red_finder

INPUT = (416, 416)


def array(*rows: Any) -> Any:
    return np.array(rows, float)


@pytest.mark.parametrize(
    ("picture", "size", "corner"),
    [((1280, 960), (416, 312), (0, 52)), ((480, 640), (312, 416), (52, 0)), ((208, 208), (416, 416), (0, 0))],
)
def test_a_picture_lies_in_the_middle_of_the_input(
    picture: tuple[int, int], size: tuple[int, int], corner: tuple[int, int]
) -> None:
    frame = Letterbox(*picture, *INPUT)
    assert (frame.size, frame.corner) == (size, corner)
    filled = frame.fill(np.full((picture[1], picture[0], 3), 200, np.uint8))
    assert filled.shape == (416, 416, 3)
    left, top = corner
    assert (filled[top : 416 - top, left : 416 - left] == 200).all()
    assert (filled == 200).sum() == size[0] * size[1] * 3


def test_boxes_come_back_into_the_picture_and_are_cut_off_at_its_borders() -> None:
    frame = Letterbox(1280, 960, *INPUT)
    whole, beyond = frame.back(array([208, 208, 416, 312], [416, 52, 100, 60]))
    assert whole == pytest.approx([640, 480, 1280, 960], abs=1e-6)
    assert beyond == pytest.approx([1280 - 50 * 1280 / 416 / 2, 15 * 960 / 312, 50 * 1280 / 416, 30 * 960 / 312])


@pytest.mark.parametrize("shape", ["rows", "one picture", "columns", "fractions", "corners", "corners second"])
def test_every_known_output_gives_the_same(shape: str) -> None:
    rows = array(*[[100 + i, 200, 40, 60, 0.5, 0.8, 0.2] for i in range(8)])
    scores = rows[:, 4:5] * rows[:, 5:]
    corners = np.concatenate([rows[:, :2] - rows[:, 2:4] / 2, rows[:, :2] + rows[:, 2:4] / 2], axis=1)
    outputs = {
        "rows": [rows[:4], rows[4:]],
        "one picture": [rows[None]],
        "columns": [np.concatenate([rows[:, :4], scores], axis=1).T[None]],
        "fractions": [rows / [416, 416, 416, 416, 1, 1, 1]],
        "corners": [corners[None, :, None, :] / 416, scores[None]],
        "corners second": [scores[None], corners[None, :, None, :]],
    }[shape]
    boxes, found = read_outputs(outputs, INPUT)
    assert boxes == pytest.approx(rows[:, :4])
    assert found == pytest.approx(scores)


def test_darknets_scores_hold_the_objectness_already() -> None:
    _, scores = read_outputs([array([0.5, 0.5, 0.1, 0.1, 0.5, 0.3])], INPUT, darknet=True)
    assert scores.tolist() == [[0.3]]


@pytest.mark.parametrize("shape", [(1, 3), (2, 4, 5, 6), (7,)])
def test_an_unknown_output_is_said(shape: tuple[int, ...]) -> None:
    with pytest.raises(UnknownOutput):
        read_outputs([np.zeros(shape)], INPUT)


def test_only_what_is_sure_enough_is_chosen_the_surest_first() -> None:
    boxes = array([10, 10, 5, 5], [50, 50, 5, 5], [90, 90, 5, 5], [130, 130, 5, 5])
    scores = array([0.08, 0.0], [0.0799, 0.0], [0.1, 0.7], [1.4, 0.0])
    assert choose(boxes, scores, 0.08) == [(3, 1.0, 0), (2, 0.7, 1), (0, 0.08, 0)]


def test_of_overlapping_boxes_of_a_class_the_surest_stays() -> None:
    boxes = array([50, 50, 20, 20], [52, 50, 20, 20], [50, 50, 20, 20], [62, 50, 20, 20])
    scores = array([0.5, 0.0], [0.6, 0.0], [0.0, 0.4], [0.3, 0.0])  # the last overlaps by a third only
    assert [index for index, _, _ in choose(boxes, scores, 0.08)] == [1, 2, 3]


def test_numbers_that_are_none_are_no_boxes() -> None:
    boxes = array([np.nan, 50, 20, 20], [50, 50, -1, 20], [50, 50, np.inf, 20])
    assert choose(boxes, np.full((3, 1), 0.9), 0.08) == []
    assert choose(np.zeros((0, 4)), np.zeros((0, 1)), 0.08) == []


def test_the_inputs_size_is_read_from_an_onnx_file(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    red_finder(path, width=320, height=192)
    assert input_size(path.read_bytes()) == (320, 192)
    red_finder(path, width=320, height=192, open_size=True)
    assert input_size(path.read_bytes()) is None


@pytest.mark.parametrize("data", [b"", b"hello, world", b"\xff" * 30, b"\x3a\x80\x01\x00"])
def test_other_files_are_no_onnx(data: bytes) -> None:
    with pytest.raises(NotOnnx):
        input_size(data)
