"""What is known of a print's time-lapse beside its videos."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from reference_server.services.model import Json, Printer


class VideoState(str, Enum):
    """NONE: no video is made of this print; `error` says why not."""

    QUEUED = "queued"
    BUILDING = "building"
    DONE = "done"
    FAILED = "failed"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Orientation:
    """How a camera's picture is to be turned: flips first, then clockwise degrees (wire-protocol.md §3.4)."""

    flip_h: bool = False
    flip_v: bool = False
    rotation: int = 0

    @classmethod
    def of(cls, printer: Printer) -> Orientation:
        """Of the printer's primary camera."""
        webcams = printer.settings.get("webcams") or []
        first: Json = next((entry for entry in webcams if entry.get("is_primary_camera")), next(iter(webcams), {}))
        rotation = first.get("rotation")
        return cls(
            first.get("flipH") is True, first.get("flipV") is True, rotation if rotation in {90, 180, 270} else 0
        )


@dataclass(frozen=True, slots=True)
class VideoJob:
    """What becomes of a print's pictures after its end; one a print.

    `wanted`: a video, not just tidying up; `not_before`: nothing is done earlier; `attempts`: failed ones so far.
    """

    id: int
    print_id: int
    printer_id: int
    state: VideoState
    wanted: bool
    created_at: datetime
    not_before: datetime
    flip_h: bool = False
    flip_v: bool = False
    rotation: int = 0
    attempts: int = 0
    error: str | None = None
    ended_at: datetime | None = None  # when the building ended

    @property
    def orientation(self) -> Orientation:
        return Orientation(self.flip_h, self.flip_v, self.rotation)


@dataclass(frozen=True, slots=True)
class VideoPaths:
    """In the media folder; None: there is none."""

    video: str | None
    tagged_video: str | None
    poster: str | None
