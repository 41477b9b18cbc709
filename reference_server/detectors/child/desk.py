"""Requests to the vision process, by their `op`; see ../eyes.py for who asks."""

from __future__ import annotations

from pathlib import Path

import cv2

from reference_server.detectors.child import pictures
from reference_server.detectors.child.heuristics import Watches
from reference_server.detectors.child.model import Model
from reference_server.detectors.child.pictures import Refused
from reference_server.detectors.pipe import Message


class Desk:
    def __init__(self) -> None:
        cv2.setNumThreads(1)
        self._model: Model | None = None
        self._watches = Watches()

    def answer(self, request: Message, data: bytes) -> tuple[Message, bytes]:
        """What cannot be done has the reason as `error`."""
        try:
            return self._do(request, data)
        except Refused as error:
            return {"error": str(error)}, b""
        except (cv2.error, MemoryError) as error:
            return {"error": f"OpenCV failed: {' '.join(str(error).split())[:300] or type(error).__name__}"}, b""

    def _do(self, request: Message, data: bytes) -> tuple[Message, bytes]:
        match request:
            case {"op": "tag", "boxes": list(rows)}:
                return {}, pictures.tag(pictures.decode(data), rows)
            case {"op": "model", "model": str(path), "threshold": float(threshold)}:
                pixels = pictures.decode(data)
                found = self._loaded(Path(path)).find(pixels, threshold)
                return {"boxes": found, "findings": [], "width": pixels.shape[1], "height": pixels.shape[0]}, b""
            case {"op": "look", "key": list(key), "masks": list(masks), "expected": expected}:
                pixels = pictures.decode(data)
                boxes, findings = self._watches.look(tuple(key), pixels, masks, expected)
                return {"boxes": boxes, "findings": findings, "width": pixels.shape[1], "height": pixels.shape[0]}, b""
        raise Refused(f"the vision process does not know {request.get('op')!r}")

    def _loaded(self, path: Path) -> Model:
        if self._model is None or self._model.path != path:
            self._model = Model(path)
        return self._model
