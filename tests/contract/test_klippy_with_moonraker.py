"""The stand-in behind a real Moonraker: it becomes ready, prints, pauses, and the job is in the history."""

from __future__ import annotations

import json
import os
import select
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.klippy_control import StandinProcess

ROOT = Path(__file__).parents[2]
GCODES = Path(__file__).parents[1] / "data" / "recordings" / "moonraker" / "gcode"
MOONRAKER = ROOT / ".venvs" / "moonraker" / "bin" / "moonraker"

pytestmark = [
    pytest.mark.moonraker,
    pytest.mark.skipif(not MOONRAKER.exists(), reason="no Moonraker environment: make envs"),
]


class Moonraker:
    """A Moonraker 0.11 of its own, on a free port."""

    def __init__(self, folder: Path, klippy: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        (folder / "config").mkdir(exist_ok=True)
        (folder / "config" / "moonraker.conf").write_text(
            f"[server]\nhost: 127.0.0.1\nport: {self.port}\nklippy_uds_address: {klippy}\n"
            "[authorization]\ntrusted_clients:\n    127.0.0.1\n[history]\n[announcements]\n",
            encoding="utf-8",
        )
        self._process = subprocess.Popen(
            [str(MOONRAKER), "-d", str(folder), "-n"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={**os.environ, "TMPDIR": str(folder)},  # two Moonrakers would take each other's uploads
        )  # fmt: skip

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(10.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5.0)

    def ask(self, path: str, *, post: bool = False) -> Any:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", method="POST" if post else "GET")
        with urllib.request.urlopen(request, timeout=20.0) as answer:
            return json.load(answer)["result"]

    def wait(self, path: str, condition: Callable[[Any], bool], timeout: float = 40.0) -> Any:
        deadline = time.monotonic() + timeout
        result: Any = None
        while time.monotonic() < deadline:
            try:
                result = self.ask(path)
            except (urllib.error.URLError, ConnectionError):
                result = None
            if result is not None and condition(result):
                return result
            select.select([], [], [], 0.1)
        raise AssertionError(f"{path} still gives {result}")

    def job(self) -> dict[str, Any]:
        jobs: list[dict[str, Any]] = self.ask("/server/history/list?limit=1&order=desc")["jobs"]
        return jobs[0] if jobs else {}


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="moonraker-") as name:
        path = Path(name)
        (path / "gcodes").mkdir()
        for file in ("short_three_layers.gcode", "m83_g91.gcode", "err_move_out_of_range.gcode"):
            shutil.copy(GCODES / file, path / "gcodes")
        yield path


@pytest.fixture
def standin(folder: Path) -> Iterator[StandinProcess]:
    with StandinProcess(folder, ("--speed", "60", "--on-error-gcode", "none")) as process:
        yield process


@pytest.fixture
def moonraker(folder: Path, standin: StandinProcess) -> Iterator[Moonraker]:
    server = Moonraker(folder, standin.socket)
    try:
        server.wait("/server/info", lambda r: r["klippy_state"] == "ready")
        server.wait("/server/info", lambda r: not r["missing_klippy_requirements"])
        standin.control.wait_for(lambda s: s.extruder.temperature > 0 and s.state == "ready")
        yield server
    finally:
        server.stop()


PRINT_STATS = "/printer/objects/query?print_stats&pause_resume"


def start(moonraker: Moonraker, filename: str) -> None:
    """Start, and wait until Moonraker has noticed the job."""
    moonraker.ask(f"/printer/print/start?filename={urllib.parse.quote(filename)}", post=True)
    newest = "/server/history/list?limit=1&order=desc"
    moonraker.wait(newest, lambda r: bool(r["jobs"]) and r["jobs"][0]["filename"] == filename)


def settled(moonraker: Moonraker) -> None:
    """A second after "ready", as the recordings' README advises before a start."""
    begin = moonraker.ask("/printer/objects/query?toolhead=estimated_print_time")["status"]["toolhead"]
    moonraker.wait(
        "/printer/objects/query?toolhead=estimated_print_time",
        lambda r: r["status"]["toolhead"]["estimated_print_time"] > begin["estimated_print_time"] + 1.2,
    )


def test_moonraker_prints_pauses_and_records_the_job(moonraker: Moonraker, standin: StandinProcess) -> None:
    settled(moonraker)
    standin.control.hold("X60.000 Y58.000|X10.000 Y0.000 E0.4000")
    start(moonraker, "m83_g91.gcode")
    standin.control.wait_for(lambda s: s.held)
    assert moonraker.ask("/printer/print/pause", post=True) == "ok"
    moonraker.wait(PRINT_STATS, lambda r: r["status"]["print_stats"]["state"] == "paused")
    assert standin.control.state().is_paused
    standin.control.release()
    assert moonraker.ask("/printer/print/resume", post=True) == "ok"
    moonraker.wait(PRINT_STATS, lambda r: r["status"]["print_stats"]["state"] == "complete")
    moonraker.wait("/server/history/list?limit=1&order=desc", lambda r: r["jobs"][0]["status"] == "completed")
    assert moonraker.job()["filename"] == "m83_g91.gcode"
    state = standin.control.wait_for(lambda s: not s.moving)
    assert state.position == pytest.approx((50.0, 90.0, 0.4, 16.0), abs=1e-9)


def test_a_refused_line_ends_the_job_as_error(moonraker: Moonraker) -> None:
    settled(moonraker)
    start(moonraker, "err_move_out_of_range.gcode")
    result = moonraker.wait(PRINT_STATS, lambda r: r["status"]["print_stats"]["state"] == "error")
    assert result["status"]["print_stats"]["message"].startswith("Move out of range: 999.000 100.000 0.600")
    moonraker.wait("/server/history/list?limit=1&order=desc", lambda r: r["jobs"][0]["status"] == "error")


def test_emergency_stop_and_firmware_restart_through_moonraker(moonraker: Moonraker) -> None:
    settled(moonraker)
    start(moonraker, "short_three_layers.gcode")
    moonraker.ask("/printer/emergency_stop", post=True)
    moonraker.wait("/server/info", lambda r: r["klippy_state"] == "shutdown")
    moonraker.wait("/server/history/list?limit=1&order=desc", lambda r: r["jobs"][0]["status"] == "klippy_shutdown")
    moonraker.ask("/printer/firmware_restart", post=True)
    moonraker.wait("/server/info", lambda r: r["klippy_state"] == "ready")
    result = moonraker.wait(PRINT_STATS, lambda r: r["status"]["print_stats"]["state"] == "standby")
    assert result["status"]["pause_resume"]["is_paused"] is False


def test_restart_and_kill_in_mid_print(moonraker: Moonraker, standin: StandinProcess, folder: Path) -> None:
    """Recordings 05 and 06: the job ends as klippy_disconnect; a killed klippy comes up in error."""
    settled(moonraker)
    newest = "/server/history/list?limit=1&order=desc"
    standin.control.block("^M109")
    start(moonraker, "m83_g91.gcode")
    standin.control.wait_for(lambda s: s.blocked)
    standin.control.hold("^G92 E0")
    standin.control.release()
    moonraker.ask("/printer/restart", post=True)
    moonraker.wait(newest, lambda r: r["jobs"][0]["status"] == "klippy_disconnect")
    moonraker.wait("/server/info", lambda r: r["klippy_state"] == "ready")
    moonraker.wait(PRINT_STATS, lambda r: r["status"]["print_stats"]["state"] == "standby")
    settled(moonraker)
    standin.control.hold("X60.000 Y58.000|X10.000 Y0.000 E0.4000")
    start(moonraker, "short_three_layers.gcode")
    standin.kill()
    moonraker.wait("/server/info", lambda r: r["klippy_state"] == "disconnected")
    moonraker.wait(newest, lambda r: r["jobs"][0]["filename"] == "short_three_layers.gcode")
    moonraker.wait(newest, lambda r: r["jobs"][0]["status"] == "klippy_disconnect")
    with StandinProcess(folder, ("--speed", "60", "--mcu-shutdown")):
        moonraker.wait("/server/info", lambda r: r["klippy_state"] == "error")
        moonraker.ask("/printer/firmware_restart", post=True)
        moonraker.wait("/server/info", lambda r: r["klippy_state"] == "ready")
