"""A model file in OpenCV's DNN module: darknet or ONNX."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import cv2

from reference_server.detectors.child import yolo
from reference_server.detectors.child.onnx_file import NotOnnx, input_size
from reference_server.detectors.child.pictures import Refused

OPEN_SIZE = (640, 640)
"""Of the input of a model that leaves its size open."""

LARGEST_INPUT = 2048
FIRST_CLASS = "failure"
"""What the public model's only class is called; a file `<model>.names` beside the model tells others, one a line."""


class Model:
    """A loaded network. `size`: of its input, width and height."""

    def __init__(self, path: Path) -> None:
        """Raises Refused."""
        self.path = path
        self.darknet = path.suffix.lower() in {".weights", ".darknet"}
        try:
            self._net, self.size = _darknet(path) if self.darknet else _onnx(path)
        except (cv2.error, OSError) as error:
            raise Refused(f"the model {path.name} cannot be loaded: {_one_line(error)}") from None
        if max(self.size) > LARGEST_INPUT:
            raise Refused(f"the model {path.name} wants pictures of {self.size[0]} x {self.size[1]}: too large")
        self._names = _names(path)

    def find(self, pixels: Any, threshold: float) -> list[list[Any]]:
        """Rows of label, confidence, x, y, width, height in the picture's pixels. Raises Refused."""
        height, width = pixels.shape[:2]
        frame = yolo.Letterbox(width, height, *self.size)
        blob = cv2.dnn.blobFromImage(frame.fill(pixels), 1 / 255, swapRB=True)
        try:
            self._net.setInput(blob)
            outputs = self._net.forward(self._net.getUnconnectedOutLayersNames())
            boxes, scores = yolo.read_outputs(outputs, self.size, darknet=self.darknet)
        except (cv2.error, yolo.UnknownOutput) as error:
            raise Refused(f"the model {self.path.name} cannot be used: {_one_line(error)}") from None
        chosen = yolo.choose(boxes, scores, threshold)
        if not chosen:
            return []
        placed = frame.back(boxes[[index for index, _, _ in chosen]])
        return [
            [self._label(kind), confidence, *(float(number) for number in box)]
            for (_, confidence, kind), box in zip(chosen, placed, strict=True)
        ]

    def _label(self, kind: int) -> str:
        return self._names[kind] if kind < len(self._names) else f"class {kind}"


def _darknet(path: Path) -> tuple[Any, tuple[int, int]]:
    config = path.with_suffix(".cfg")
    text = config.read_text(encoding="utf-8", errors="replace")
    sides = [re.search(rf"^\s*{side}\s*=\s*(\d+)", text, re.MULTILINE) for side in ("width", "height")]
    if not hasattr(cv2.dnn, "readNetFromDarknet"):
        raise Refused(
            f"OpenCV {cv2.__version__} reads no darknet models any more: pip install 'opencv-python-headless<5',"
            " or use an ONNX model"
        )
    width, height = (int(side[1]) if side else 416 for side in sides)
    return cv2.dnn.readNetFromDarknet(str(config), str(path)), (width, height)


def _onnx(path: Path) -> tuple[Any, tuple[int, int]]:
    try:
        size = input_size(path.read_bytes())
    except NotOnnx as error:
        raise Refused(f"{path.name} is no ONNX model: {error}") from None
    return cv2.dnn.readNetFromONNX(str(path)), size or OPEN_SIZE


def _names(path: Path) -> list[str]:
    try:
        lines = path.with_suffix(".names").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return [FIRST_CLASS]
    return [line.strip()[:40] for line in lines if line.strip()] or [FIRST_CLASS]


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
