"""Which cameras there are: the configuration's, else those that Moonraker knows (payload-mapping.md §8). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from agent_core.config import CameraConfig
from agent_core.errors import ConfigInvalid
from agent_core.features.camera_urls import resolve_camera_urls
from agent_core.model import CameraInfo
from moonraker_obico.config import WebcamSection

CAMERA_LIMIT = 8
"""Cameras that are used; each picture costs bandwidth on both sides."""

_MJPEG = ("mjpeg", "ipstream", "uv4l")
"""Parts of the names of services whose stream is MJPEG over HTTP; of others only the snapshot is of use."""


def cameras(sections: Sequence[WebcamSection], listed: Any, moonraker_host: str) -> tuple[CameraConfig, ...]:
    """The cameras to use, the primary one marked, with unique names.

    `listed`: the result of server.webcams.list, None if not known (yet). A section with an address of its own is a
    camera; if there is none, Moonraker's enabled cameras are used, and what sections say beside wins.
    """
    base = f"http://{f'[{moonraker_host}]' if ':' in moonraker_host else moonraker_host}/"
    own = [_own(section, base) for section in sections if section.has_address]
    found = own or [_overridden(camera, index, sections) for index, camera in enumerate(discovered(listed, base))]
    usable = [camera for camera in found if camera is not None][:CAMERA_LIMIT]
    return _one_primary(_unique(usable))


def discovered(listed: Any, base: str) -> list[CameraConfig]:
    """Moonraker's enabled cameras, those with MJPEG first, otherwise in its order."""
    entries = listed.get("webcams") if isinstance(listed, dict) else None
    wires = [wire for wire in entries if isinstance(wire, dict)] if isinstance(entries, list) else []
    wires.sort(key=lambda wire: not _is_mjpeg(wire))
    return [camera for camera in (_discovered(wire, base) for wire in wires) if camera is not None]


def _is_mjpeg(wire: dict[str, Any]) -> bool:
    service = str(wire.get("service") or "").lower()
    return any(part in service for part in _MJPEG)


def _discovered(wire: dict[str, Any], base: str) -> CameraConfig | None:
    if wire.get("enabled") is False:
        return None
    stream = wire.get("stream_url") if _is_mjpeg(wire) else None
    snapshot = wire.get("snapshot_url")
    try:
        urls = resolve_camera_urls(_text(snapshot), _text(stream), base)
    except ConfigInvalid:
        return None
    if not urls.usable:
        return None
    rotation = wire.get("rotation")
    info = CameraInfo(
        name=_text(wire.get("name")) or "",
        flip_h=wire.get("flip_horizontal") is True,
        flip_v=wire.get("flip_vertical") is True,
        rotation=rotation if rotation in {90, 180, 270} else 0,
        ratio="16:9" if wire.get("aspect_ratio") == "16:9" else "4:3",
        nozzle=str(wire.get("location") or "").lower() in {"nozzle", "toolhead"},
    )
    return CameraConfig(info, snapshot_url=urls.snapshot, stream_url=urls.stream)


def _own(section: WebcamSection, base: str) -> CameraConfig | None:
    """Raises ConfigInvalid for an address that cannot be read."""
    urls = resolve_camera_urls(section.snapshot_url, section.stream_url, base)
    if not urls.usable:
        return None
    info = _with_section(CameraInfo(name=section.name), section)
    return CameraConfig(info, snapshot_url=urls.snapshot, stream_url=urls.stream, verify_tls=section.verify_tls)


def _overridden(camera: CameraConfig, index: int, sections: Sequence[WebcamSection]) -> CameraConfig:
    """The section of the camera's name speaks for it; one without a name speaks for the first."""
    for section in sections:
        if section.name == camera.info.name or (not section.name and index == 0):
            return replace(camera, info=_with_section(camera.info, section), verify_tls=section.verify_tls)
    return camera


def _with_section(info: CameraInfo, section: WebcamSection) -> CameraInfo:
    return replace(
        info,
        flip_h=info.flip_h if section.flip_h is None else section.flip_h,
        flip_v=info.flip_v if section.flip_v is None else section.flip_v,
        rotation=info.rotation if section.rotation is None else section.rotation,
        ratio=info.ratio if section.ratio is None else section.ratio,
        primary=info.primary if section.primary is None else section.primary,
        nozzle=info.nozzle if section.nozzle is None else section.nozzle,
    )


def _unique(found: Sequence[CameraConfig]) -> list[CameraConfig]:
    taken: set[str] = set()
    unique = []
    for camera in found:
        name, count = camera.info.name, 2
        while name in taken:
            name = f"{camera.info.name} {count}".strip()
            count += 1
        taken.add(name)
        unique.append(replace(camera, info=replace(camera.info, name=name)))
    return unique


def _one_primary(found: Sequence[CameraConfig]) -> tuple[CameraConfig, ...]:
    chosen = next((i for i, camera in enumerate(found) if camera.info.primary), 0)
    if not any(camera.info.primary for camera in found):
        # A nozzle camera sees no failures: the first other one watches.
        chosen = next((i for i, camera in enumerate(found) if not camera.info.nozzle), 0)
    return tuple(
        replace(camera, info=replace(camera.info, primary=index == chosen)) for index, camera in enumerate(found)
    )


def _text(value: Any) -> str | None:
    return value.strip() or None if isinstance(value, str) else None
