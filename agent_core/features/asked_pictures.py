"""`jpeg_poster.web_snapshot_request`: a picture for a client that cannot reach the camera itself (wire-protocol.md §8).

The public agents fetch whatever address they are given. Here an address only chooses among the configured cameras;
what is fetched is always a camera's own.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from agent_core.config import CameraConfig
from agent_core.errors import Rejected
from agent_core.features.camera_urls import shown, without_credentials
from agent_core.passthru import MAX_REPLY, Route
from agent_core.wire.messages import PassthruCall

MOST_BYTES = (MAX_REPLY - 1000) * 3 // 4
"""Of a JPEG: as base64 it must fit into one frame."""


def asked_picture_routes(
    cameras: Callable[[], Sequence[CameraConfig]], fetch: Callable[[CameraConfig], bytes]
) -> dict[str, Route]:
    """`fetch` gives one checked JPEG; it may take seconds, and raises AgentError."""

    def snapshot(call: PassthruCall) -> Any:
        if len(call.args) > 1 or call.kwargs:
            raise Rejected("a picture is asked for by a camera's name or address")
        picture = fetch(chosen(call.args[0] if call.args else None, cameras()))
        if len(picture) > MOST_BYTES:
            raise Rejected(
                f"the picture has {len(picture)} bytes, at most {MOST_BYTES} can be sent this way: lower the camera's "
                "resolution, or install the extra `vision`, which scales it"
            )
        return {"pic": b64encode(picture).decode("ascii")}

    return {"jpeg_poster.web_snapshot_request": Route(snapshot)}


def chosen(wanted: object, cameras: Sequence[CameraConfig]) -> CameraConfig:
    """The camera of that name or address, or the primary one if none is named. Raises Rejected.

    Addresses are known to clients from the host's own settings: whole, without what is before the path, or masked.
    """
    if not cameras:
        raise Rejected("there is no camera")
    if wanted in (None, ""):
        return next((camera for camera in cameras if camera.info.primary), cameras[0])
    if isinstance(wanted, str):
        for forms in (_whole, _without_host):
            found = [camera for camera in cameras if wanted in forms(camera)]
            if found:
                return found[0]
    names = ", ".join(camera.info.name or "(unnamed)" for camera in cameras)
    raise Rejected(f"this is no camera of this printer; there are {names}")


def _whole(camera: CameraConfig) -> set[str]:
    found = {camera.info.name or ""}
    for url in (camera.snapshot_url, camera.stream_url):
        if url:
            found |= {url, shown(url), without_credentials(url)[0]}
    return found - {""}


def _without_host(camera: CameraConfig) -> set[str]:
    found = set[str]()
    for url in (camera.snapshot_url, camera.stream_url):
        if url:
            parts = urlsplit(url)
            path = parts.path + (f"?{parts.query}" if parts.query else "")
            if path not in ("", "/"):
                found.add(path)
    return found
