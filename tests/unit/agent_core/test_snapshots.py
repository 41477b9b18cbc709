"""The pictures' worker, tick by tick, without network or waiting."""

from __future__ import annotations

import logging
import sys
import tempfile
import threading
from collections.abc import Callable

import pytest

from agent_core.config import AgentConfig, CameraConfig, PictureRules, Secret
from agent_core.errors import AgentError, CameraFault, ServerTrouble, Unreachable
from agent_core.features.load import HostLoad
from agent_core.features.snapshots import Counts, Snapshots, resolve_camera_urls, shown
from agent_core.model import CameraInfo
from agent_core.ports import HttpResponse
from tests.fakes.clock import FakeClock
from tests.fakes.http_port import Answer, FakeHttp, answer
from tests.fakes.pictures import jpeg

OK = answer(200, {"result": "ok"})


class FakeCamera:
    def __init__(self) -> None:
        self.fault: str | None = None
        self.still = False
        self.fetched = 0
        self.on_fetch: Callable[[], None] = lambda: None

    def fetch(self) -> bytes:
        self.fetched += 1
        self.on_fetch()
        if self.fault is not None:
            raise CameraFault(self.fault)
        return jpeg(filler=200 if self.still else 196 + 4 * self.fetched)  # each another one


class Bench:
    """A Snapshots with everything around it faked."""

    def __init__(
        self,
        *infos: CameraInfo,
        answers: tuple[Answer, ...] = (OK,),
        token: str | None = "t0ken",
        limit: float | None = None,
    ) -> None:
        self.clock = FakeClock()
        self.host = HostLoad()
        self.http = FakeHttp(*answers)
        self.cameras = [FakeCamera() for _ in infos]
        self.told: list[tuple[str, bool, str | None]] = []
        config = AgentConfig(
            "moonraker_obico", "3", "http://server", Secret(token) if token else None, "/tmp",
            cameras=tuple(CameraConfig(info) for info in infos), extra_headers=(("X-Way", "1"),),
            pictures=PictureRules(upload_kbit=limit),
        )  # fmt: skip
        self.snapshots = Snapshots(
            config, self.http, self.clock, lambda *state: self.told.append(state), cameras=self.cameras,
            read_host=lambda: self.host,
        )  # fmt: skip

    def run(self, seconds: float) -> None:
        """Ticks as the worker would, for so long."""
        end = self.clock.monotonic() + seconds
        while self.clock.monotonic() < end:
            wait = self.snapshots.tick()
            left = end - self.clock.monotonic()
            self.clock.advance(left if wait is None else min(wait, left) + 1e-6)

    def forms(self) -> list[dict[str, str]]:
        return [dict(request.form or {}) for request in self.http.requests]

    def names(self) -> list[str]:
        return [form["camera_name"] for form in self.forms()]


PRIMARY, SECOND = CameraInfo("Bed", primary=True), CameraInfo("Nozzle", nozzle=True)


def test_the_public_names() -> None:
    assert shown("http://u:p@cam/") == "http://***@cam/"
    assert resolve_camera_urls(None, None).usable is False


def test_what_is_posted() -> None:
    bench = Bench(PRIMARY)
    bench.snapshots.update(printing=True, viewing=False, should_watch=True)
    bench.run(1)
    request = bench.http.requests[0]
    assert (request.method, request.url) == ("POST", "http://server/api/v1/octo/pic/")
    assert dict(request.headers) == {"X-Way": "1", "Authorization": "Token t0ken"}
    assert bench.forms() == [{"is_primary_camera": "true", "is_nozzle_camera": "false", "camera_name": "Bed"}]
    assert request.files["pic"].content == jpeg()
    assert bench.snapshots.counts == Counts(sent=1)


@pytest.mark.parametrize(
    ("viewing", "should_watch", "expected"), [(False, True, 60), (True, True, 61), (True, False, 61), (False, False, 5)]
)
def test_ten_minutes_of_printing(viewing: bool, should_watch: bool, expected: int) -> None:
    bench = Bench(PRIMARY)
    bench.snapshots.update(printing=True, viewing=viewing, should_watch=should_watch)
    bench.run(600)
    assert bench.snapshots.counts.sent == expected


def test_none_when_idle_or_paused() -> None:
    bench = Bench(PRIMARY)
    bench.run(600)
    bench.snapshots.update(printing=True, viewing=False, should_watch=True)
    bench.run(5)
    bench.snapshots.update(printing=False, viewing=False, should_watch=True)
    bench.run(600)
    assert bench.snapshots.counts.sent == 1


def test_a_viewer_gets_a_boosted_picture_of_every_camera_at_once() -> None:
    bench = Bench(SECOND, PRIMARY)
    bench.snapshots.update(printing=False, viewing=True, should_watch=False)
    bench.run(0.1)
    assert bench.names() == ["Bed", "Nozzle"]
    assert [form.get("viewing_boost") for form in bench.forms()] == ["true", "true"]
    assert [form["is_primary_camera"] for form in bench.forms()] == ["true", "false"]
    assert [form["is_nozzle_camera"] for form in bench.forms()] == ["false", "true"]
    bench.run(60)
    assert len(bench.forms()) == 2


def test_boosts_are_three_seconds_apart() -> None:
    bench = Bench(PRIMARY)
    for _ in range(30):
        bench.snapshots.boost()
        bench.run(0.2)
    assert len(bench.forms()) == 2


def test_other_cameras_come_less_often_and_never_as_primary() -> None:
    bench = Bench(PRIMARY, SECOND, CameraInfo("Door"))
    bench.snapshots.update(printing=True, viewing=False, should_watch=True)
    bench.run(119)
    assert bench.names().count("Bed") == 12
    assert (bench.names().count("Nozzle"), bench.names().count("Door")) == (2, 1)
    assert all((form["is_primary_camera"] == "true") is (form["camera_name"] == "Bed") for form in bench.forms())


def test_without_a_word_the_first_camera_is_primary() -> None:
    bench = Bench(CameraInfo("a"), CameraInfo("b"))
    bench.snapshots.boost()
    bench.run(0.1)
    assert [form["is_primary_camera"] for form in bench.forms()] == ["true", "false"]


@pytest.mark.parametrize("bench", [Bench(), Bench(PRIMARY, token=None)])
def test_nothing_to_do_without_camera_or_token(bench: Bench) -> None:
    bench.snapshots.update(printing=True, viewing=True, should_watch=True)
    assert bench.snapshots.tick() is None
    assert bench.http.requests == []


def test_a_broken_camera_is_told_once_and_once_when_it_is_back(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(PRIMARY, SECOND)
    bench.cameras[0].fault = "nothing listens there"
    bench.snapshots.update(printing=True, viewing=False, should_watch=True)
    with caplog.at_level(logging.INFO):
        bench.run(300)
        assert bench.told == [("Bed", False, "nothing listens there"), ("Nozzle", True, None)]
        # it rests after three failures, and the other camera goes on
        assert bench.cameras[0].fetched <= 3 + 300 / 30
        assert "Nozzle" in bench.names()
        bench.cameras[0].fault = None
        bench.run(60)
    assert bench.told[2:] == [("Bed", True, None)]
    assert bench.snapshots.counts.camera_failures <= 13
    assert len([record for record in caplog.records if "Bed" in record.getMessage()]) == 2


def test_a_viewer_makes_a_resting_camera_try_again() -> None:
    bench = Bench(PRIMARY)
    bench.cameras[0].fault = "off"
    bench.snapshots.update(printing=True, viewing=False, should_watch=True)
    bench.run(25)
    assert bench.cameras[0].fetched == 3
    bench.cameras[0].fault = None
    bench.snapshots.update(printing=True, viewing=True, should_watch=True)
    bench.run(0.1)
    assert bench.told[-1] == ("Bed", True, None)


def test_a_picture_that_came_too_late_is_not_sent() -> None:
    bench = Bench(PRIMARY)
    bench.snapshots.update(printing=True, viewing=False, should_watch=True)
    bench.cameras[0].on_fetch = lambda: bench.snapshots.update(printing=False, viewing=False, should_watch=True)
    bench.run(1)
    assert bench.cameras[0].fetched == 1
    assert bench.http.requests == []


@pytest.mark.parametrize(
    ("trouble", "rest"),
    [
        (Unreachable("server:80: refused"), 10),
        (answer(500, b""), 10),
        (answer(503, b"", {"retry-after": "40"}), 40),
        (answer(429, b"", {"retry-after": "25"}), 25),
        (answer(429, b""), 60),
        (answer(401, b""), 300),
        (answer(403, b""), 300),
        (answer(404, b""), 300),
        (answer(302, b""), 300),
    ],
)
def test_trouble_with_the_server_is_told_once_and_waited_out(
    trouble: HttpResponse | AgentError, rest: int, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(PRIMARY, SECOND, answers=(trouble, OK))
    with caplog.at_level(logging.INFO):
        bench.snapshots.boost()
        bench.snapshots.update(printing=True, viewing=True, should_watch=True)
        bench.run(rest - 0.5)
        assert len(bench.http.requests) == 1
        bench.run(30)
    assert bench.snapshots.counts.sent >= 1
    assert bench.snapshots.counts.upload_failures == 1
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2
    assert "t0ken" not in caplog.text
    assert told[1] == "the server takes pictures again"
    assert [works for _, works, _ in bench.told if not works] == []


def test_an_upload_that_fails_does_not_hide_that_the_camera_is_back() -> None:
    bench = Bench(PRIMARY, answers=(ServerTrouble("busy"),))
    bench.cameras[0].fault = "off"
    bench.snapshots.boost()
    bench.run(4)
    bench.cameras[0].fault = None
    bench.snapshots.boost()
    bench.run(1)
    assert [works for _, works, _ in bench.told] == [False, True]


@pytest.mark.parametrize(("status", "words"), [(413, "too large"), (400, "cannot read")])
def test_pictures_the_server_does_not_want_are_the_cameras_fault(status: int, words: str) -> None:
    bench = Bench(PRIMARY, answers=(answer(status, b""),))
    bench.snapshots.update(printing=True, viewing=False, should_watch=True)
    bench.run(300)
    assert len(bench.told) == 1
    assert words in str(bench.told[0][2])
    assert bench.snapshots.counts.sent == 0
    bench.http.answers = [OK]
    bench.run(60)
    assert bench.told[1] == ("Bed", True, None)


def test_no_imaging_library_for_ordinary_pictures() -> None:
    bench = Bench(PRIMARY)
    before = "cv2" in sys.modules
    bench.snapshots.boost()
    bench.run(0.1)
    assert ("cv2" in sys.modules) is before


def test_cameras_learned_later() -> None:
    """On the real thread, which had nothing to wait for until then."""
    sent = threading.Event()

    def taken(_request: object) -> HttpResponse:
        sent.set()
        return OK

    bench = Bench(answers=(taken,))
    bench.snapshots.worker.start()
    try:
        bench.snapshots.boost()
        with tempfile.NamedTemporaryFile() as file:
            file.write(jpeg())
            file.flush()
            later = CameraConfig(PRIMARY, file=file.name)
            assert bench.snapshots.set_cameras([later])
            assert sent.wait(5)
            done = threading.Event()
            assert bench.snapshots.set_cameras([later])
            assert bench.snapshots.submit(done.set)
            assert done.wait(5)
    finally:
        bench.snapshots.worker.stop()
    assert bench.snapshots.worker.join(5)
    assert bench.names()[0] == "Bed"


def test_the_same_state_twice_changes_nothing() -> None:
    bench = Bench(PRIMARY)
    for _ in range(2):
        bench.snapshots.update(printing=False, viewing=True, should_watch=False)
        bench.run(5)
    assert len(bench.forms()) == 1


def test_on_its_own_thread() -> None:
    """Started for real: woken by the core, runs the core's tasks, and stops."""
    bench = Bench(PRIMARY)
    sent, ran = threading.Event(), threading.Event()

    def taken(_request: object) -> HttpResponse:
        sent.set()
        return OK

    bench.http.answers = [taken]
    bench.snapshots.worker.start()
    try:
        bench.snapshots.update(printing=False, viewing=True, should_watch=False)
        assert sent.wait(5)
        assert bench.snapshots.submit(ran.set)
        assert ran.wait(5)
    finally:
        bench.snapshots.worker.stop()
    assert bench.snapshots.worker.join(5)
    assert bench.http.closed


# --- the machine and the network come first ---------------------------------------------------------------------------


def test_a_machine_that_is_short_gets_fewer_pictures_and_a_viewer_still_one() -> None:
    bench = Bench(PRIMARY)
    bench.host = HostLoad(load=2.0)
    bench.snapshots.update(printing=True, viewing=False, should_watch=True)
    bench.run(300)
    assert bench.snapshots.counts.sent == 10
    assert bench.snapshots.load.factor == 3
    assert bench.snapshots.load.why == "load 2.0 for each core"
    bench.snapshots.update(printing=True, viewing=True, should_watch=True)
    bench.run(0.1)
    assert sum("viewing_boost" in form for form in bench.forms()) == 1


def test_an_idle_machine_is_not_looked_at() -> None:
    bench = Bench(PRIMARY)
    looks: list[float] = []

    def look() -> HostLoad:
        looks.append(bench.clock.monotonic())
        return HostLoad()

    bench.snapshots = Snapshots(
        AgentConfig("a", "3", "http://server", Secret("t"), "/tmp", cameras=(CameraConfig(PRIMARY),)), bench.http,
        bench.clock, lambda *_state: None, cameras=bench.cameras, read_host=look,
    )  # fmt: skip
    bench.run(600)
    assert looks == []
    bench.snapshots.update(printing=True, viewing=False, should_watch=True)
    bench.run(100)
    assert 9 <= len(looks) <= 11


def test_a_picture_that_does_not_change_is_sent_once_a_minute() -> None:
    bench = Bench(PRIMARY)
    bench.cameras[0].still = True
    bench.snapshots.update(printing=True, viewing=False, should_watch=True)
    bench.run(600)
    assert bench.snapshots.counts.sent == 10
    assert bench.snapshots.load.unchanged == 50
    assert bench.told == [("Bed", True, None)]
    bench.snapshots.boost()
    bench.run(0.1)
    assert bench.snapshots.counts.sent == 11  # who looks gets one
    bench.snapshots.update(printing=False, viewing=False, should_watch=True)
    bench.run(1)
    bench.snapshots.update(printing=True, viewing=False, should_watch=True)
    bench.run(20)
    assert bench.snapshots.counts.sent == 12  # another print's first


def test_a_picture_that_was_not_taken_is_sent_again() -> None:
    bench = Bench(PRIMARY, answers=(Unreachable("gone"), OK))
    bench.cameras[0].still = True
    bench.snapshots.update(printing=True, viewing=False, should_watch=True)
    bench.run(25)
    assert bench.snapshots.counts.sent == 1


def test_the_bandwidth_limit_holds_on_average() -> None:
    bench = Bench(PRIMARY, SECOND, limit=8.0)
    bench.snapshots.update(printing=True, viewing=True, should_watch=True)
    for camera in bench.cameras:
        camera.on_fetch = bench.snapshots.boost
    bench.run(600)
    size = sum(len(request.files["pic"].content) for request in bench.http.requests)
    assert size * 8 / 1000 / 600 <= 8.5
    assert bench.snapshots.counts.sent > 20
    assert bench.snapshots.load.limit == 8.0
