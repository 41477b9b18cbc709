"""What the server asks of a failure detector, and of whoever draws its boxes. `reference_server/detectors` has both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Box:
    """Something found in a picture: centre and size in pixels of the picture as it was sent (not flipped or turned);
    `confidence` 0 to 1 (wire-protocol.md §5.4)."""

    label: str
    confidence: float
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a detector says of one picture. `findings`: words a person can read, such as "camera black"; `detector`:
    its name; `width`, `height`: the picture's pixels, to which the boxes refer."""

    boxes: tuple[Box, ...]
    findings: tuple[str, ...]
    detector: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Mask:
    """A part of a camera's picture that is not judged: corners as fractions (0 to 1) of its width and height."""

    camera: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class ExpectedPart:
    """How far the print is as its printer says; None = not known. `completion` percent, `z` mm, layers from 1."""

    layer: int | None
    layer_count: int | None
    completion: float | None
    z: float | None


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture to judge. `jpeg_path`: its place in the media folder; `data`: its bytes; `masks`: of this camera;
    `sensitivity`: the printer's, 0.8 to 1.2, for a detector that wants to know (the scoring applies it anyway)."""

    printer_id: int
    print_id: int
    camera: str
    jpeg_path: str
    data: bytes
    masks: tuple[Mask, ...]
    sensitivity: float
    expected: ExpectedPart | None


class DetectorFailed(Exception):
    """It cannot judge now (the service is away, the child process died, too slow); one line, for a person to read."""


class Detector(Protocol):
    @property
    def name(self) -> str: ...

    async def judge(self, frame: Frame, timeout: float) -> Judgement:
        """Raises DetectorFailed, also when `timeout` seconds have passed."""


class Tagger(Protocol):
    async def tag(self, jpeg: bytes, boxes: tuple[Box, ...], timeout: float) -> bytes:
        """The picture with its boxes drawn, green and 3 px wide, as JPEG. Raises DetectorFailed."""
