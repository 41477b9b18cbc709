"""The failure detectors behind services/detection/port.py: a remote one, a model file, and classical vision.

    remote.py     asks a service that speaks the public ML API
    vision.py     starts, feeds, limits and ends the child process that holds OpenCV
    eyes.py       what the child can do, as Detector and Tagger
    pipe.py       what goes over the pipes, both ways
    child/        the child process: the only place that imports cv2 and numpy

Nothing here imports OpenCV into the server's own process, and the child starts with the first picture.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # the vision process imports this file as well, and must stay small
    from reference_server.background import BackgroundWorker
    from reference_server.detectors.vision import VisionProcess
    from reference_server.services.detection.port import Detector, Frame, Tagger


class DetectorSettings(Protocol):
    """The part of ServerConfig that chooses a detector; config.py says what each means."""

    @property
    def detector(self) -> str: ...
    @property
    def ml_api_url(self) -> str | None: ...
    @property
    def ml_api_token(self) -> str | None: ...
    @property
    def detector_model(self) -> Path | None: ...


@dataclass(frozen=True, slots=True)
class Eyes:
    """`detector`: None when detection is off; `worker` ends the vision process when it is idle and with the server."""

    detector: Detector | None
    tagger: Tagger
    worker: BackgroundWorker


def make_detector(
    settings: DetectorSettings, picture_url: Callable[[Frame], str], vision: VisionProcess
) -> Detector | None:
    """The detector of the settings. `picture_url`: where the remote one fetches a frame's picture."""
    from reference_server.detectors.eyes import BuiltinDetector, LocalDetector
    from reference_server.detectors.remote import RemoteDetector

    if settings.detector == "builtin":
        return BuiltinDetector(vision)
    if settings.detector == "local" and settings.detector_model is not None:
        return LocalDetector(vision, settings.detector_model)
    if settings.detector == "remote" and settings.ml_api_url is not None:
        return RemoteDetector(settings.ml_api_url, settings.ml_api_token, picture_url)
    return None


def make_eyes(settings: DetectorSettings, picture_url: Callable[[Frame], str]) -> Eyes:
    """The detector and the tagger, which share one vision process (none runs until a picture comes)."""
    from reference_server.background import BackgroundWorker
    from reference_server.detectors.eyes import VisionTagger
    from reference_server.detectors.vision import VisionProcess

    vision = VisionProcess()
    worker = BackgroundWorker("vision", vision.run)
    return Eyes(make_detector(settings, picture_url, vision), VisionTagger(vision), worker)
