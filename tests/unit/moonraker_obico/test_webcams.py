"""Which cameras are used (payload-mapping.md §8)."""

from __future__ import annotations

from typing import Any

from moonraker_obico.config import WebcamSection
from moonraker_obico.webcams import cameras


def listed(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"webcams": [{"enabled": True, "service": "mjpegstreamer-adaptive", **entry} for entry in entries]}


FRONT = {
    "name": "front", "stream_url": "/webcam/?action=stream", "snapshot_url": "/webcam/?action=snapshot",
    "flip_horizontal": True, "rotation": 90, "aspect_ratio": "16:9",
}  # fmt: skip


def test_moonrakers_camera_with_relative_addresses() -> None:
    (camera,) = cameras((), listed(FRONT), "printer.local")
    assert camera.snapshot_url == "http://printer.local/webcam/?action=snapshot"
    assert camera.stream_url == "http://printer.local/webcam/?action=stream"
    info = camera.info
    assert (info.name, info.flip_h, info.flip_v, info.rotation, info.ratio, info.primary) == (
        "front", True, False, 90, "16:9", True,
    )  # fmt: skip


def test_mjpeg_comes_first_and_disabled_ones_never() -> None:
    webrtc = {"name": "rtc", "service": "webrtc-camerastreamer", "stream_url": "/rtc", "snapshot_url": "/snap.jpg"}
    off = {**FRONT, "name": "off", "enabled": False}
    found = cameras((), listed(webrtc, off, FRONT), "h")
    assert [camera.info.name for camera in found] == ["front", "rtc"]
    assert (found[1].snapshot_url, found[1].stream_url) == ("http://h/snap.jpg", None)
    assert [camera.info.primary for camera in found] == [True, False]


def test_own_addresses_win_over_everything() -> None:
    own = WebcamSection("mine", snapshot_url="http://10.0.0.2/snap.jpg", rotation=180, verify_tls=False)
    (camera,) = cameras((own, WebcamSection("")), listed(FRONT), "h")
    assert (camera.info.name, camera.snapshot_url, camera.info.rotation) == ("mine", "http://10.0.0.2/snap.jpg", 180)
    assert not camera.verify_tls


def test_sections_without_addresses_speak_for_moonrakers_cameras() -> None:
    side = {**FRONT, "name": "side"}
    found = cameras((WebcamSection("", flip_h=False), WebcamSection("side", rotation=0)), listed(FRONT, side), "h")
    assert [(camera.info.name, camera.info.flip_h, camera.info.rotation) for camera in found] == [
        ("front", False, 90), ("side", True, 0),
    ]  # fmt: skip


def test_names_are_unique_and_one_is_primary() -> None:
    nozzle = {**FRONT, "location": "nozzle"}
    found = cameras((), listed(nozzle, FRONT, FRONT), "h")
    assert [camera.info.name for camera in found] == ["front", "front 2", "front 3"]
    assert [camera.info.primary for camera in found] == [False, True, False]


def test_rubbish_gives_no_cameras() -> None:
    strange: list[Any] = [None, [], {"webcams": "x"}, {"webcams": [None, 3, {}, {"snapshot_url": 5}]}]
    for wire in strange:
        assert cameras((), wire, "h") == ()
