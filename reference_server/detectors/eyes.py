"""What the vision process can do, as the services ask for it: two detectors and the drawing of boxes."""

from __future__ import annotations

import logging
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from reference_server.detectors.pipe import Message
from reference_server.detectors.vision import NOT_INSTALLED, VisionProcess, opencv_installed
from reference_server.services.detection.port import Box, DetectorFailed, Frame, Judgement

log = logging.getLogger(__name__)

BUILTIN = "builtin-heuristics"
MOST_BOXES, MOST_FINDINGS = 100, 10


def box_of(label: object, confidence: object, *numbers: object) -> Box:
    """A box from foreign values. Raises ValueError."""
    values = [confidence, *numbers]
    if not isinstance(label, str) or len(numbers) != 4 or not all(_number(value) for value in values):
        raise ValueError("no box")
    certain, x, y, width, height = (float(value) for value in values)  # type: ignore[arg-type]
    if not 0.0 <= certain <= 1.0 or width < 0 or height < 0:
        raise ValueError("no box")
    return Box(label[:40], certain, x, y, width, height)


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def judgement_of(answer: Message, detector: str) -> Judgement:
    """Raises DetectorFailed."""
    try:
        boxes = tuple(box_of(*row) for row in answer["boxes"][:MOST_BOXES])
        findings = tuple(str(finding)[:200] for finding in answer["findings"][:MOST_FINDINGS])
        return Judgement(boxes, findings, detector, int(answer["width"]), int(answer["height"]))
    except (KeyError, TypeError, ValueError):
        raise DetectorFailed("the vision process answered nonsense") from None


class BuiltinDetector:
    """Classical vision without a model; child/heuristics.py says what it sees and what it cannot."""

    name = BUILTIN

    def __init__(self, vision: VisionProcess) -> None:
        self._vision = vision

    async def judge(self, frame: Frame, timeout: float) -> Judgement:
        request: dict[str, Any] = {
            "op": "look",
            "key": [frame.printer_id, frame.print_id, frame.camera],
            "masks": [mask.points for mask in frame.masks],
            "expected": asdict(frame.expected) if frame.expected else None,
        }
        answer, _ = await self._vision.ask(request, frame.data, timeout)
        return judgement_of(answer, self.name)


class LocalDetector:
    """A model file: darknet (.weights with its .cfg beside it) or ONNX, in OpenCV's DNN module.

    `threshold`: boxes with less confidence are dropped (0.08 in wire-protocol.md §5.4).
    """

    def __init__(self, vision: VisionProcess, model: Path, threshold: float = 0.08) -> None:
        self._vision = vision
        self._model = model
        self._threshold = threshold
        self.name = f"local:{model.name}"

    async def judge(self, frame: Frame, timeout: float) -> Judgement:
        request: Message = {"op": "model", "model": str(self._model.resolve()), "threshold": self._threshold}
        answer, _ = await self._vision.ask(request, frame.data, timeout)
        return judgement_of(answer, self.name)


class VisionTagger:
    """Draws boxes in the vision process; without OpenCV the picture stays as it is, which is said once."""

    def __init__(self, vision: VisionProcess) -> None:
        self._vision = vision
        self._said = False

    async def tag(self, jpeg: bytes, boxes: tuple[Box, ...], timeout: float) -> bytes:
        if not opencv_installed():
            if not self._said:
                self._said = True
                log.warning("Pictures keep no boxes: %s", NOT_INSTALLED)
            return jpeg
        rows = [[box.label, box.confidence, box.x, box.y, box.width, box.height] for box in boxes]
        _, tagged = await self._vision.ask({"op": "tag", "boxes": rows}, jpeg, timeout)
        return tagged
