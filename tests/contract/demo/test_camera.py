"""The demo's camera: pictures, stream, and every way of being broken."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import socket
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from demo.camera import PASSWORD, USER, Camera, Mode, progress_from_file, progress_of
from demo.scene import Failure, Progress

ROOT = Path(__file__).parents[3]


@pytest.fixture
def camera() -> Iterator[Camera]:
    camera = Camera().start()
    yield camera
    camera.stop()


def fetch(url: str) -> tuple[str, bytes]:
    with urllib.request.urlopen(url, timeout=10.0) as answer:
        return answer.headers["Content-Type"], answer.read()


@pytest.mark.parametrize("path", ["/snapshot", "/?action=snapshot", "/camera/snapshot", "/webcam/?action=snapshot"])
def test_a_snapshot_is_a_jpeg_of_the_promised_size(camera: Camera, path: str) -> None:
    kind, body = fetch(camera.url + path)
    image = Image.open(io.BytesIO(body))
    image.load()
    assert (kind, image.format, image.size) == ("image/jpeg", "JPEG", (640, 480))
    assert camera.counts["snapshot"] == 1


def test_the_part_grows_with_the_progress(camera: Camera) -> None:
    def orange() -> int:
        image = Image.open(io.BytesIO(camera.picture(Mode.GOOD))).convert("RGB")
        pixels = image.tobytes()
        return sum(1 for i in range(0, len(pixels), 3) if pixels[i] > 120 > 80 > pixels[i + 2])

    camera.progress = lambda: Progress(0.0)
    little = orange()
    camera.progress = lambda: Progress(1.0)
    camera._seen_at = -10.0
    assert orange() > little + 10000


def test_the_stream_is_multipart_and_counted(camera: Camera) -> None:
    with urllib.request.urlopen(camera.url + "/stream", timeout=10.0) as answer:
        assert answer.headers["Content-Type"].startswith("multipart/x-mixed-replace; boundary=")
        for _ in range(2):
            assert answer.readline().startswith(b"--boundarydonotcross")
            assert answer.readline() == b"Content-Type: image/jpeg\r\n"
            length = int(answer.readline().split(b":")[1])
            assert answer.readline() == b"\r\n"
            Image.open(io.BytesIO(answer.read(length))).load()
            assert answer.readline() == b"\r\n"
        assert json.loads(fetch(camera.url + "/count")[1])["open_streams"] == 1


def test_a_login_page(camera: Camera) -> None:
    kind, body = fetch(camera.url + "/bad/login/snapshot")
    assert kind.startswith("text/html")
    assert b"Log in" in body


def test_a_truncated_jpeg(camera: Camera) -> None:
    kind, body = fetch(camera.url + "/bad/truncated/snapshot")
    assert kind == "image/jpeg"
    assert body.startswith(b"\xff\xd8")
    assert not body.endswith(b"\xff\xd9")


def test_a_cut_answer(camera: Camera) -> None:
    with pytest.raises(http.client.IncompleteRead):
        fetch(camera.url + "/bad/cut/snapshot")


def test_an_endless_answer(camera: Camera) -> None:
    with urllib.request.urlopen(camera.url + "/bad/endless/snapshot", timeout=10.0) as answer:
        assert "Content-Length" not in answer.headers
        assert len(answer.read(3_000_000)) == 3_000_000


@pytest.mark.parametrize("mode", ["slow", "drip"])
def test_an_answer_that_does_not_come(camera: Camera, mode: str) -> None:
    parts = urllib.parse.urlsplit(camera.url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=0.3) as sock:
        sock.sendall(f"GET /bad/{mode}/snapshot HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        received = b""
        with contextlib.suppress(TimeoutError):
            while chunk := sock.recv(65536):
                received += chunk
            pytest.fail("the camera ended its answer")
    assert b"\xff\xd9" not in received
    assert len(received) < 500


def test_basic_authentication(camera: Camera) -> None:
    with pytest.raises(urllib.error.HTTPError, match="401"):
        fetch(camera.url + "/bad/basic/snapshot")
    manager = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    manager.add_password(None, camera.url, USER, PASSWORD)
    opener = urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(manager))
    with opener.open(camera.url + "/bad/basic/snapshot", timeout=10.0) as answer:
        assert answer.read().startswith(b"\xff\xd8")


@pytest.mark.parametrize(("password", "allowed"), [(PASSWORD, True), ("wrong", False)])
def test_digest_authentication(camera: Camera, password: str, allowed: bool) -> None:
    manager = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    manager.add_password(None, camera.url, USER, password)
    opener = urllib.request.build_opener(urllib.request.HTTPDigestAuthHandler(manager))
    url = camera.url + "/bad/digest/?action=snapshot"
    if allowed:
        with opener.open(url, timeout=10.0) as answer:
            assert answer.read().startswith(b"\xff\xd8")
    else:
        with pytest.raises((urllib.error.HTTPError, ValueError)):
            opener.open(url, timeout=10.0)


def test_a_black_picture_and_an_error(camera: Camera) -> None:
    _, body = fetch(camera.url + "/bad/black/snapshot")
    assert Image.open(io.BytesIO(body)).convert("L").getextrema() == (0, 0)
    with pytest.raises(urllib.error.HTTPError, match="500"):
        fetch(camera.url + "/bad/500/snapshot")
    camera.mode = Mode.ERROR
    with pytest.raises(urllib.error.HTTPError, match="500"):
        fetch(camera.url + "/snapshot")
    with pytest.raises(urllib.error.HTTPError, match="404"):
        fetch(camera.url + "/bad/unknown/snapshot")


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (
            {"result": {"status": {"display_status": {"progress": 0.5}, "print_stats": {"state": "printing"}}}},
            Progress(0.5, "printing"),
        ),
        ({"result": {"status": {"virtual_sdcard": {"progress": 0.25}}}}, Progress(0.25)),
        ({"state": "Printing", "progress": {"completion": 40.0}}, Progress(0.4, "Printing")),
        ({"state": "Operational", "progress": {"completion": None}}, Progress(0.0)),
        ({"progress": 7}, Progress(1.0)),
        ({"progress": True}, Progress(0.0)),
        ([], Progress(0.0)),
    ],
)
def test_where_the_progress_comes_from(document: object, expected: Progress) -> None:
    assert progress_of(document) == expected


def test_progress_from_a_file(tmp_path: Path) -> None:
    source = progress_from_file(tmp_path / "progress")
    assert source() == Progress(0.0)
    (tmp_path / "progress").write_text("0.75\n", encoding="utf-8")
    assert source() == Progress(0.75)
    (tmp_path / "progress").write_text("soon", encoding="utf-8")
    assert source() == Progress(0.0)


def test_the_command_line_says_where_it_listens_and_ends_on_sigterm() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "demo.camera", "--port", "0", "--size", "320x240"], cwd=ROOT, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    with process.stdout:
        word, url = process.stdout.readline().decode().split()
        assert word == "ready"
        assert Image.open(io.BytesIO(fetch(url + "/snapshot")[1])).size == (320, 240)
        process.terminate()
        assert process.wait(5.0) == 0


def _still(camera: Camera) -> bytes:
    """A picture's lower part, without the clock's line and the nozzle's."""
    image = Image.open(io.BytesIO(camera.picture(Mode.GOOD))).convert("L").resize((64, 48))
    return image.crop((0, 30, 64, 44)).tobytes()


def _difference(one: bytes, other: bytes) -> float:
    return sum(abs(a - b) for a, b in zip(one, other, strict=True)) / len(one)


@pytest.mark.parametrize("failure", [Failure.SPAGHETTI, Failure.DETACHED, Failure.BLACK])
def test_a_failure_is_injected_and_taken_back_at_run_time(camera: Camera, failure: Failure) -> None:
    camera.progress = lambda: Progress(0.5)
    good = _still(camera)
    request = urllib.request.Request(f"{camera.url}/fail?mode={failure.value}", method="POST")
    with urllib.request.urlopen(request, timeout=10.0) as answer:
        assert json.load(answer) == {"fail": failure.value}
    camera._failing = (0.5, 0.0)  # long ago
    assert _difference(_still(camera), good) > 5
    with urllib.request.urlopen(f"{camera.url}/fail?mode=none", data=b"", timeout=10.0):
        pass
    assert _difference(_still(camera), good) < 2


def test_a_frozen_camera_and_one_that_prints_nothing_from_then_on() -> None:
    fraction = 0.1
    camera = Camera(progress=lambda: Progress(fraction), fail=Failure.FROZEN, fail_at=0.3)
    try:
        fraction, camera._seen_at = 0.3, -10.0
        frozen = camera.picture(Mode.GOOD)
        fraction, camera._seen_at = 0.9, -10.0
        assert camera.picture(Mode.GOOD) == frozen
        camera.fail(Failure.NOTHING)
        before = _still(camera)
        fraction, camera._seen_at = 1.0, -10.0
        assert _difference(_still(camera), before) < 2
    finally:
        camera.stop()


@pytest.mark.parametrize(("path", "status"), [("/fail?mode=earthquake", 400), ("/fail", 400), ("/elsewhere", 404)])
def test_an_unknown_failure_is_refused(camera: Camera, path: str, status: int) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        fetch_with_post(camera.url + path)
    assert caught.value.code == status
    caught.value.close()


def fetch_with_post(url: str) -> None:
    with urllib.request.urlopen(url, data=b"", timeout=10.0):
        pass
