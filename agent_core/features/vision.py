"""Scaling large pictures, where the extra `vision` is installed; elsewhere they are sent as they are.

OpenCV takes some 60 MB of memory: it is imported when a picture is too large, and never else.
"""

from __future__ import annotations

import logging
from types import ModuleType

from agent_core.features.jpeg import inspect

_log = logging.getLogger(__name__)

LARGEST_SIDE = 1296
FIT = (1280, 960)
"""Width and height into which a picture with a side over LARGEST_SIDE is shrunk (wire-protocol.md §4, pic)."""

QUALITY = 85


class Shrinker:
    def __init__(self) -> None:
        self._cv2: ModuleType | None = None
        self._missing = False

    def fitted(self, picture: bytes) -> bytes:
        """The JPEG, shrunk if it is too large and can be decoded."""
        size = inspect(picture)
        if max(size.width, size.height) <= LARGEST_SIDE or not self._available():
            return picture
        return self._shrunk(picture, min(FIT[0] / size.width, FIT[1] / size.height))

    def _available(self) -> bool:
        if self._cv2 is None and not self._missing:
            try:
                import cv2
            except ImportError:
                self._missing = True
                _log.info("pictures over %d px are sent unscaled; the extra `vision` would scale them", LARGEST_SIDE)
            else:
                # One picture in 10 s needs no threads beside ours.
                cv2.setNumThreads(1)
                self._cv2 = cv2
        return self._cv2 is not None

    def _shrunk(self, picture: bytes, factor: float) -> bytes:
        import numpy as np

        cv2 = self._cv2
        if cv2 is None:
            return picture
        image = cv2.imdecode(np.frombuffer(picture, dtype=np.uint8), cv2.IMREAD_COLOR)
        if image is None:  # OpenCV cannot read it, another decoder may
            return picture
        small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        done, coded = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        return bytes(coded) if done else picture
