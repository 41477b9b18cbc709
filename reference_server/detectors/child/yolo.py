"""From a network's numbers to boxes of the picture: letter-boxing, the outputs of the YOLO family, suppression.

Known outputs (N boxes, C classes; one picture):

    [N, 5+C], [1, N, 5+C]   x, y, width, height, objectness, class scores (darknet regions, YOLOv5)
    [1, 4+C, N]             x, y, width, height, class scores (YOLOv8 and later)
    [1, N, 1, 4] + [1, N, C]  two outputs: corners x1, y1, x2, y2, and class scores (YOLOv4 converted)

Coordinates are those of the network's input, in its pixels or as fractions of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

SUPPRESSION = 0.45
"""Boxes of one class that overlap by more (intersection over union) are one thing; the surest stays."""

GREY = 127
"""What fills the input beside a picture of another shape: the middle, as darknet does."""

MOST_CANDIDATES = 2000
MOST_BOXES = 100
LARGEST_FRACTION = 2.0
"""Where no centre is beyond this, coordinates are fractions."""


class UnknownOutput(Exception):
    """The network's output is of no form listed above."""


@dataclass(frozen=True, slots=True)
class Letterbox:
    """Where a picture of `width` x `height` lies in the network's input, scaled evenly, centred."""

    width: int
    height: int
    input_width: int
    input_height: int

    @property
    def size(self) -> tuple[int, int]:
        """Of the scaled picture, pixels."""
        scale = min(self.input_width / self.width, self.input_height / self.height)
        return max(1, round(self.width * scale)), max(1, round(self.height * scale))

    @property
    def corner(self) -> tuple[int, int]:
        """Of the scaled picture, in the input."""
        width, height = self.size
        return (self.input_width - width) // 2, (self.input_height - height) // 2

    def fill(self, pixels: Any) -> Any:
        """The input: the picture with grey beside it."""
        width, height = self.size
        left, top = self.corner
        filled: Any = np.full((self.input_height, self.input_width, 3), GREY, np.uint8)
        method = cv2.INTER_AREA if width < self.width else cv2.INTER_LINEAR
        filled[top : top + height, left : left + width] = cv2.resize(pixels, (width, height), interpolation=method)
        return filled

    def back(self, boxes: Any) -> Any:
        """Boxes [n, 4] (centre and size, pixels of the input) in the picture's pixels, cut off at its borders."""
        width, height = self.size
        left, top = self.corner
        centres, halves = boxes[:, :2], boxes[:, 2:] / 2
        scale = np.array([self.width / width, self.height / height])
        limits = np.array([self.width, self.height], float)
        first = np.clip((centres - halves - [left, top]) * scale, 0, limits)
        last = np.clip((centres + halves - [left, top]) * scale, 0, limits)
        return np.concatenate([(first + last) / 2, last - first], axis=1)


def read_outputs(outputs: Sequence[Any], input_size: tuple[int, int], *, darknet: bool = False) -> tuple[Any, Any]:
    """Boxes [n, 4] (centre and size in the input's pixels) and class scores [n, C]. Raises UnknownOutput.

    `darknet`: OpenCV's region layers, whose class scores hold the objectness already.
    """
    if len(outputs) == 2:
        for corners, scores in (tuple(outputs), tuple(outputs)[::-1]):
            pair = _corners_and_scores(corners, scores)
            if pair is not None:
                return _in_pixels(pair[0], input_size), pair[1]
    parts = [_rows(np.asarray(output, float), darknet) for output in outputs]
    if not parts:
        raise UnknownOutput("the network has no output")
    boxes = np.concatenate([part[0] for part in parts])
    return _in_pixels(boxes, input_size), np.concatenate([part[1] for part in parts])


def _corners_and_scores(corners: Any, scores: Any) -> tuple[Any, Any] | None:
    corners, scores = np.asarray(corners, float), np.asarray(scores, float)
    if corners.ndim != 4 or corners.shape[2:] != (1, 4) or scores.ndim != 3 or scores.shape[:2] != corners.shape[:2]:
        return None
    first, last = corners[0, :, 0, :2], corners[0, :, 0, 2:]
    return np.concatenate([(first + last) / 2, last - first], axis=1), scores[0]


def _rows(output: Any, darknet: bool) -> tuple[Any, Any]:
    while output.ndim > 2 and output.shape[0] == 1:
        output = output[0]
    if output.ndim != 2:
        raise UnknownOutput(f"a network's output of shape {list(output.shape)} is not known")
    count, width = output.shape
    if width >= 6 and (width <= count or count < 5):
        return output[:, :4], output[:, 5:] * (1.0 if darknet else output[:, 4:5])
    if count >= 5:
        return output[:4].T, output[4:].T
    raise UnknownOutput(f"a network's output of shape {[count, width]} is not known")


def _in_pixels(boxes: Any, input_size: tuple[int, int]) -> Any:
    if len(boxes) and float(np.max(np.abs(boxes[:, :2]))) <= LARGEST_FRACTION:
        return boxes * np.array([*input_size, *input_size], float)
    return boxes


def choose(boxes: Any, scores: Any, threshold: float) -> list[tuple[int, float, int]]:
    """(index of the box, confidence, class) of those at or above the threshold that survive suppression within their
    class, the surest first."""
    if not len(boxes) or not scores.shape[1]:
        return []
    classes = np.argmax(scores, axis=1)
    best = np.clip(scores[np.arange(len(scores)), classes], 0.0, 1.0)
    usable = (best >= threshold) & np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] > 0).all(axis=1)
    order = [int(i) for i in np.argsort(-best, kind="stable") if usable[i]][:MOST_CANDIDATES]
    chosen: list[int] = []
    for index in order:
        if len(chosen) == MOST_BOXES:
            break
        rivals = [other for other in chosen if classes[other] == classes[index]]
        if not rivals or float(np.max(_overlap(boxes[index], boxes[rivals]))) <= SUPPRESSION:
            chosen.append(index)
    return [(index, float(best[index]), int(classes[index])) for index in chosen]


def _overlap(box: Any, others: Any) -> Any:
    """Intersection over union of one box with others, each as centre and size."""
    first = np.maximum(box[:2] - box[2:] / 2, others[:, :2] - others[:, 2:] / 2)
    last = np.minimum(box[:2] + box[2:] / 2, others[:, :2] + others[:, 2:] / 2)
    shared = np.prod(np.clip(last - first, 0, None), axis=1)
    return shared / (np.prod(box[2:]) + np.prod(others[:, 2:], axis=1) - shared)
