"""Each camera: whether it answers, with a picture, of what size, how fast."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from agent_core.config import CameraConfig
from agent_core.errors import CameraFault
from agent_core.features.camera import FETCH_SECONDS, HttpCamera
from agent_core.features.camera_urls import shown
from agent_core.features.doctor.model import Check, Finding, Level
from agent_core.features.jpeg import inspect
from agent_core.features.vision import LARGEST_SIDE
from agent_core.ports import Http

PICTURES = 3
SLOW_SECONDS = 2.0
SMALL_SIDE = 320
HEAVY_BYTES = 1_000_000


def camera_check(camera: CameraConfig, http: Http, monotonic: Callable[[], float] = time.monotonic) -> Check:
    return Check("camera", lambda: _examined(camera, http, monotonic), FETCH_SECONDS * (PICTURES + 1))


def _examined(camera: CameraConfig, http: Http, monotonic: Callable[[], float]) -> Iterator[Finding]:
    name = camera.info.name or "(unnamed)"
    where = shown(camera.snapshot_url or camera.stream_url or "")
    fetcher = HttpCamera(camera, http)
    pictures: list[bytes] = []
    began = monotonic()
    try:
        while len(pictures) < PICTURES and monotonic() - began < FETCH_SECONDS:
            pictures.append(fetcher.fetch())
        size = inspect(pictures[0])
    except CameraFault as fault:
        if pictures:
            yield Finding(Level.WARN, "camera", f"{name} gives pictures only now and then: {fault} ({where})")
        else:
            yield Finding(Level.FAIL, "camera", f"{name} gives no picture: {fault} ({where})")
        return
    each = (monotonic() - began) / len(pictures)
    largest = max(len(picture) for picture in pictures)
    rate = f"{1 / each:.1f} a second" if each > 0 else "at once"
    seen = f"{name} gives pictures of {size.width} x {size.height}, {largest // 1024} kB, {rate} ({where})"
    advice = ""
    if each > SLOW_SECONDS:
        advice = "it is slow; lower its resolution, or look at its network"
    elif largest > HEAVY_BYTES:
        advice = "the pictures are heavy; lower its resolution or its quality"
    elif min(size.width, size.height) < SMALL_SIDE // 2 or max(size.width, size.height) < SMALL_SIDE:
        advice = "failures can hardly be seen in pictures that small; raise its resolution"
    elif max(size.width, size.height) > LARGEST_SIDE and not _can_shrink():
        advice = f"more than {LARGEST_SIDE} pixels are of no use to a server; lower its resolution and save the traffic"
    yield Finding(Level.WARN if advice else Level.OK, "camera", seen, advice)


def _can_shrink() -> bool:
    from importlib.util import find_spec

    return find_spec("cv2") is not None
