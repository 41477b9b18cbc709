"""Addresses of cameras (payload-mapping.md §8)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_core.errors import ConfigInvalid
from agent_core.features.camera_urls import CameraUrls, resolve_camera_urls, shown, without_credentials
from agent_core.features.digest import Credentials


@pytest.mark.parametrize(
    ("snapshot", "stream", "expected"),
    [
        (None, None, (None, None)),
        ("", "  ", (None, None)),
        # OctoPrint's and Mainsail's defaults
        (None, "/webcam/?action=stream", ("http://127.0.0.1/webcam/?action=snapshot", "http://127.0.0.1/webcam/?action=stream")),
        ("/webcam/?action=snapshot", "/webcam/?action=stream", ("http://127.0.0.1/webcam/?action=snapshot", "http://127.0.0.1/webcam/?action=stream")),
        ("webcam/?action=snapshot", None, ("http://127.0.0.1/webcam/?action=snapshot", "http://127.0.0.1/webcam/?action=stream")),
        ("http://cam:8080/?action=snapshot&n=1", None, ("http://cam:8080/?action=snapshot&n=1", "http://cam:8080/?action=stream&n=1")),
        # the stream in the snapshot's place
        ("http://cam/?action=stream", None, ("http://cam/?action=snapshot", "http://cam/?action=stream")),
        # camera-streamer's webrtc entry
        (None, "/webcam/?action=snapshot", ("http://127.0.0.1/webcam/?action=snapshot", "http://127.0.0.1/webcam/?action=stream")),
        ("//cam/x.jpg", None, ("http://cam/x.jpg", None)),
        ("cam.lan:8080/x.jpg", None, ("http://cam.lan:8080/x.jpg", None)),
        (None, "http://cam/video.mjpg", (None, "http://cam/video.mjpg")),
        (None, "rtsp://cam/1", (None, None)),
        ("https://u:p@cam/x", "webrtc://cam", ("https://u:p@cam/x", None)),
    ],
)  # fmt: skip
def test_resolve(snapshot: str | None, stream: str | None, expected: tuple[str | None, str | None]) -> None:
    found = resolve_camera_urls(snapshot, stream)
    assert (found.snapshot, found.stream) == expected
    assert found.usable is (expected != (None, None))


def test_another_base() -> None:
    found = resolve_camera_urls(None, "/webcam/?action=stream", "http://192.168.1.5:4408/")
    assert found == CameraUrls(
        "http://192.168.1.5:4408/webcam/?action=snapshot", "http://192.168.1.5:4408/webcam/?action=stream"
    )


def test_unreadable() -> None:
    with pytest.raises(ConfigInvalid) as caught:
        resolve_camera_urls("http://user:secret@cam:99999/x?token=abc", None)
    assert "secret" not in str(caught.value)
    assert "abc" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://cam/x.jpg", "http://cam/x.jpg"),
        ("http://user:pw@cam:81/x?action=stream", "http://***@cam:81/x?action=stream"),
        ("http://us@er:p@w@cam/", "http://***@cam/"),
        ("http://cam/x?user=a&pwd=b&width=640#frag", "http://cam/x?user=***&pwd=***&width=640"),
        ("http://cam/x?s3cr3t", "http://cam/x?***"),
        ("/webcam/?action=stream", "/webcam/?action=stream"),
        ("user:pw@cam/x", "***@cam/x"),
        ("http://cam/\nx", "http://cam/x"),
        ("http://[::1/x", "(an address that cannot be read)"),
    ],
)
def test_shown(url: str, expected: str) -> None:
    assert shown(url).replace("user:***@", "***@") == expected


@given(st.from_regex(r"[a-z0-9]{12}", fullmatch=True), st.sampled_from(["http", "https", "rtsp"]))
def test_shown_never_tells(secret: str, scheme: str) -> None:
    text = shown(f"{scheme}://me:{secret}@cam.lan/x?key={secret}&token={secret}&action=snapshot#{secret}")
    assert secret not in text
    assert "action=snapshot" in text


@given(st.text())
def test_shown_takes_anything(text: str) -> None:
    assert "\n" not in shown(text)


def test_without_credentials() -> None:
    assert without_credentials("http://cam/x?a=1") == ("http://cam/x?a=1", None)
    assert without_credentials("http://me:p%40w:x@cam:81/x?a=1#f") == (
        "http://cam:81/x?a=1",
        Credentials("me", "p@w:x"),
    )
    assert without_credentials("http://me@cam/") == ("http://cam/", Credentials("me", ""))
