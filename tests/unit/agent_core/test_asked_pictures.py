"""A picture on demand: of a camera that is configured, and of nothing else in the network."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

import pytest

from agent_core.config import CameraConfig
from agent_core.errors import CameraFault, Rejected
from agent_core.features.asked_pictures import MOST_BYTES, asked_picture_routes
from agent_core.features.no_streaming import no_streaming_routes
from agent_core.model import CameraInfo
from agent_core.wire.messages import PassthruCall

FRONT = CameraConfig(CameraInfo(name="Front", primary=False), "http://me:geheim@cam1/snap.jpg?key=s3cret", None)
BACK = CameraConfig(
    CameraInfo(name="Back", primary=True), "http://127.0.0.1/webcam/?action=snapshot", "http://127.0.0.1/webcam/?action=stream"
)  # fmt: skip


class Bench:
    def __init__(self, *cameras: CameraConfig) -> None:
        self.fetched: list[str | None] = []
        self.picture: bytes | Exception = b"\xff\xd8picture"
        self.route = asked_picture_routes(lambda: cameras, self.fetch)["jpeg_poster.web_snapshot_request"]

    def fetch(self, camera: CameraConfig) -> bytes:
        self.fetched.append(camera.info.name)
        if isinstance(self.picture, Exception):
            raise self.picture
        return self.picture

    def ask(self, *args: Any, **kwargs: Any) -> Any:
        return self.route.handler(PassthruCall("jpeg_poster", "web_snapshot_request", args, kwargs))


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("Front", "Front"), ("http://me:geheim@cam1/snap.jpg?key=s3cret", "Front"),
        ("http://cam1/snap.jpg?key=s3cret", "Front"), ("http://***@cam1/snap.jpg?key=***", "Front"),
        ("/snap.jpg?key=s3cret", "Front"), ("Back", "Back"), ("/webcam/?action=snapshot", "Back"),
        ("/webcam/?action=stream", "Back"), ("http://127.0.0.1/webcam/?action=stream", "Back"), (None, "Back"),
        ("", "Back"),
    ],
)  # fmt: skip
def test_a_camera_is_known_by_its_name_and_by_its_addresses(wanted: Any, name: str) -> None:
    bench = Bench(FRONT, BACK)
    assert b64decode(bench.ask(wanted)["pic"]) == b"\xff\xd8picture"
    assert bench.fetched == [name]


@pytest.mark.parametrize(
    "wanted",
    [
        "http://169.254.169.254/latest/meta-data/", "http://cam1/other", "http://cam1/", "/", "file:///etc/passwd",
        "http://127.0.0.1/webcam/?action=snapshot&x=1", "front", 7, ["Front"], {"url": "Front"}, True,
    ],
)  # fmt: skip
def test_no_other_address_is_ever_fetched(wanted: Any) -> None:
    bench = Bench(FRONT, BACK)
    with pytest.raises(Rejected, match="there are Front, Back") as refusal:
        bench.ask(wanted)
    assert "geheim" not in str(refusal.value)
    assert bench.fetched == []


def test_what_cannot_be_sent_is_said() -> None:
    with pytest.raises(Rejected, match="no camera"):
        Bench().ask("Front")
    bench = Bench(BACK)
    with pytest.raises(Rejected, match="by a camera's name"):
        bench.ask("Back", "x")
    with pytest.raises(Rejected, match="by a camera's name"):
        bench.ask(url="Back")
    bench.picture = CameraFault("it has nothing at that address (404); check the path")
    with pytest.raises(CameraFault, match="404"):
        bench.ask("Back")
    bench.picture = b"x" * (MOST_BYTES + 1)
    with pytest.raises(Rejected, match="at most 784914 can"):
        bench.ask("Back")
    bench.picture = b"x" * MOST_BYTES
    assert len(bench.ask("Back")["pic"]) <= 1024 * 1024


def test_video_is_not_promised() -> None:
    routes = no_streaming_routes()
    assert set(routes) == {"webcam_streamer.start", "webcam_streamer.shutdown", "nozzlecam.*"}
    with pytest.raises(Rejected, match="does not stream video; it sends pictures"):
        routes["webcam_streamer.start"].handler(PassthruCall("webcam_streamer", "start"))
    assert routes["webcam_streamer.shutdown"].handler(PassthruCall("webcam_streamer", "shutdown")) == "ok"
    with pytest.raises(Rejected, match="no nozzle camera service"):
        routes["nozzlecam.*"].handler(PassthruCall("nozzlecam", "start"))
