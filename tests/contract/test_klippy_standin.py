"""The klippy stand-in over its real socket, held against recording 20 (what Moonraker and a real klippy said)."""

from __future__ import annotations

import json
import select
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.klippy_control import StandinProcess

RECORDINGS = Path(__file__).parents[1] / "data" / "recordings" / "moonraker"
# Fields whose whole history is compared; everything else moves with time.
STATES = (
    ("webhooks", "state"),
    ("print_stats", "state"),
    ("print_stats", "filename"),
    ("virtual_sdcard", "is_active"),
    ("pause_resume", "is_paused"),
    ("extruder", "target"),
    ("heater_bed", "target"),
)
FAST = ("--speed", "40", "--tick", "0.05", "--macros", "client", "--restart-delay", "0.05", "--refuse-time", "0.2",
        "--startup-time", "0.3", "--idle-timeout", "1800")  # fmt: skip


class Klippy:
    """A client of klippy's socket, as Moonraker is one. Merges status updates and keeps what came."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._id = 0
        self.responses: list[str] = []
        self.status: dict[str, dict[str, Any]] = {}
        self.changes: dict[tuple[str, str], list[Any]] = {}
        self.connect()

    def connect(self) -> None:
        deadline = time.monotonic() + 10.0
        while True:
            self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                self._sock.connect(str(self._path))
            except OSError:
                self._sock.close()
                assert time.monotonic() < deadline, "the socket keeps refusing"
                select.select([], [], [], 0.02)
            else:
                break
        self._buffer = b""
        self._answers: dict[int, dict[str, Any]] = {}

    def close(self) -> None:
        self._sock.close()

    def send(self, method: str, params: dict[str, Any]) -> int:
        self._id += 1
        message = {"id": self._id, "method": method, "params": params}
        self._sock.sendall(json.dumps(message).encode() + b"\x03")
        return self._id

    def call(self, method: str, params: dict[str, Any] | None = None, timeout: float = 20.0) -> dict[str, Any]:
        request = self.send(method, params or {})
        self.pump(lambda: request in self._answers, timeout)
        return self._answers.pop(request)

    def script(self, script: str) -> dict[str, Any]:
        return self.call("gcode/script", {"script": script})

    def pump(self, condition: Callable[[], bool], timeout: float = 20.0) -> None:
        """Read until `condition`; fails when the socket ends or the time is over."""
        deadline = time.monotonic() + timeout
        while not condition():
            assert self._read(max(0.0, deadline - time.monotonic())), "klippy closed the socket"
            assert time.monotonic() < deadline, f"nothing came of it: {self.responses[-5:]} {self.changes}"

    def wait_info(self, *states: str) -> dict[str, Any]:
        """Ask as Moonraker does until klippy is in one of these states; its info."""
        deadline = time.monotonic() + 10.0
        while True:
            info: dict[str, Any] = self.call("info")["result"]
            if info["state"] in states:
                return info
            assert time.monotonic() < deadline, info
            self._read(0.02)

    def pump_to_end(self) -> None:
        """Read until klippy closes the connection."""
        deadline = time.monotonic() + 10.0
        while self._read(max(0.0, deadline - time.monotonic())):
            assert time.monotonic() < deadline, "klippy kept the connection"
        self.close()

    def _read(self, timeout: float) -> bool:
        if not select.select([self._sock], [], [], timeout)[0]:
            return True
        try:
            data = self._sock.recv(65536)
        except ConnectionResetError:
            data = b""
        *messages, self._buffer = (self._buffer + data).split(b"\x03")
        for message in messages:
            self._take(json.loads(message))
        return bool(data)

    def _take(self, message: dict[str, Any]) -> None:
        if message.get("method") == "process_status_update":
            self._merge(message["params"]["status"])
        elif message.get("method") == "process_gcode_response":
            self.responses.append(message["params"]["response"])
        elif "id" in message:
            self._answers[message["id"]] = message
            if isinstance(message.get("result"), dict) and "status" in message["result"]:
                self._merge(message["result"]["status"])

    def _merge(self, status: dict[str, dict[str, Any]]) -> None:
        for name, fields in status.items():
            known = self.status.setdefault(name, {})
            for key, value in fields.items():
                if (name, key) in STATES and known.get(key, object) != value:
                    self.changes.setdefault((name, key), []).append(value)
                known[key] = value


def recording(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (RECORDINGS / name).read_text(encoding="utf-8").splitlines()]


UDS = "20_klippy_uds_moonraker_side.jsonl"


def request_of(frames: list[dict[str, Any]], method: str, nth: int = 0) -> tuple[dict[str, Any], dict[str, Any]]:
    """The parameters of the nth recorded request of that method, and its answer."""
    indexes = [i for i, f in enumerate(frames) if isinstance(f["frame"], dict) and f["frame"].get("method") == method]
    index = indexes[nth]
    request = frames[index]["frame"]
    answer = next(
        f["frame"]
        for f in frames[index + 1 :]
        if f["frame"].get("id") == request["id"] and ("result" in f["frame"] or "error" in f["frame"])
    )
    return request["params"], answer


def shape(value: Any) -> Any:
    """Keys and kinds of a status, without the values."""
    if isinstance(value, dict):
        return {key: shape(v) for key, v in value.items()}
    if isinstance(value, list):
        return [len(value)]
    if isinstance(value, bool) or value is None:
        return type(value).__name__
    return "number" if isinstance(value, int | float) else "text"


@pytest.fixture
def folder() -> Iterator[Path]:
    # Not pytest's: its folders are too long for a unix socket.
    with tempfile.TemporaryDirectory(prefix="klippy-") as name:
        path = Path(name)
        (path / "gcodes").mkdir()
        for file in (RECORDINGS / "gcode").iterdir():
            shutil.copy(file, path / "gcodes")
        yield path


@pytest.fixture
def standin(folder: Path) -> Iterator[StandinProcess]:
    with StandinProcess(folder, FAST) as process:
        yield process


@pytest.fixture
def klippy(standin: StandinProcess) -> Iterator[Klippy]:
    client = Klippy(standin.socket)
    yield client
    client.close()


def subscribe(klippy: Klippy) -> dict[str, Any]:
    """What Moonraker does once klippy is ready."""
    klippy.wait_info("ready", "error", "shutdown")
    klippy.call("gcode/subscribe_output", {"response_template": {"method": "process_gcode_response"}})
    params, _ = request_of(recording(UDS), "objects/subscribe", 4)
    return klippy.call("objects/subscribe", params)


def test_the_handshake_is_answered_as_by_the_real_klippy(klippy: Klippy) -> None:
    frames = recording(UDS)
    info, recorded = request_of(frames, "info")
    answer = klippy.call("info", info)
    assert shape(answer["result"]) == shape(recorded["result"])
    assert answer["result"]["state"] == recorded["result"]["state"] == "startup"
    assert answer["result"]["state_message"] == recorded["result"]["state_message"]
    assert klippy.call("list_endpoints")["result"] == request_of(frames, "list_endpoints", 0)[1]["result"]
    klippy.wait_info("ready")
    assert klippy.call("list_endpoints")["result"] == request_of(frames, "list_endpoints", 1)[1]["result"]
    for nth in range(2):
        params, recorded = request_of(frames, "objects/subscribe", nth)
        assert klippy.call("objects/subscribe", params)["result"]["status"] == recorded["result"]["status"]
    assert klippy.call("objects/list")["result"] == request_of(frames, "objects/list")[1]["result"]
    params, recorded = request_of(frames, "register_remote_method")
    assert klippy.call("register_remote_method", params)["result"] == recorded["result"] == {}
    params, recorded = request_of(frames, "objects/query", 1)
    assert klippy.call("objects/query", params)["result"]["status"] == recorded["result"]["status"]


def test_every_object_has_the_fields_of_the_real_one(klippy: Klippy) -> None:
    _, recorded = request_of(recording(UDS), "objects/subscribe", 4)
    status = subscribe(klippy)["result"]["status"]
    assert shape(status) == shape(recorded["result"]["status"])
    moving = {"system_stats", "extruder", "heater_bed", "temperature_sensor chamber", "toolhead",
              "filament_switch_sensor runout"}  # fmt: skip
    for name in set(status) - moving:
        assert status[name] == recorded["result"]["status"][name]
    changing = {"print_time", "estimated_print_time"}
    head, real = (s["toolhead"] for s in (status, recorded["result"]["status"]))
    assert {k: v for k, v in head.items() if k not in changing} == {k: v for k, v in real.items() if k not in changing}


def test_configfile_names_the_sections_and_the_gcodes_folder(klippy: Klippy, folder: Path) -> None:
    subscribe(klippy)
    params, recorded = request_of(recording(UDS), "objects/query", 0)
    mine = klippy.call("objects/query", params)["result"]["status"]["configfile"]
    real = recorded["result"]["status"]["configfile"]
    assert shape({**mine, "config": 0, "settings": 0}) == shape({**real, "config": 0, "settings": 0})
    assert set(mine["config"]) == set(real["config"]) - {"thermistor sim_100k"}
    for name in ("gcode_macro PAUSE", "gcode_macro RESUME", "gcode_macro PRINT_START", "idle_timeout", "printer"):
        assert mine["config"][name] == real["config"][name]
    assert mine["config"]["virtual_sdcard"]["path"] == str((folder / "gcodes").resolve())
    assert mine["settings"]["extruder"]["min_extrude_temp"] == real["settings"]["extruder"]["min_extrude_temp"]
    assert mine["settings"]["pause_resume"] == real["settings"]["pause_resume"]


def recorded_changes(frames: list[dict[str, Any]]) -> dict[tuple[str, str], list[Any]]:
    """The history of the state fields in a recording, from the full subscription to the next connection."""
    collector = Klippy.__new__(Klippy)
    collector.status, collector.changes = {}, {}
    for frame in frames:
        content = frame["frame"]
        if "method" in content and content["method"] == "process_status_update":
            collector._merge(content["params"]["status"])
        elif isinstance(content.get("result"), dict) and "status" in content["result"]:
            collector._merge({k: v for k, v in content["result"]["status"].items() if k != "configfile"})
    return collector.changes


def wait(klippy: Klippy, name: str, key: str, value: Any) -> None:
    klippy.pump(lambda: klippy.status.get(name, {}).get(key) == value)


def test_a_print_with_pause_and_resume_shows_the_recorded_states(standin: StandinProcess, klippy: Klippy) -> None:
    frames = recording(UDS)
    notes = {f["frame"]["note"]: i for i, f in enumerate(frames) if f["dir"] == "note" and "note" in f["frame"]}
    subscribe(klippy)
    standin.control.hold(r"X83\.500 Y109\.000 E9\.80841|X84\.750 Y109\.000")
    assert klippy.script('SDCARD_PRINT_FILE FILENAME="short_three_layers.gcode"')["result"] == {}
    standin.control.wait_for(lambda s: s.held)
    assert klippy.call("pause_resume/pause")["result"] == {}
    wait(klippy, "print_stats", "state", "paused")
    standin.control.release()
    params, recorded = request_of(frames, "gcode/script", 1)
    assert klippy.call("gcode/script", params)["result"] == recorded["result"]
    wait(klippy, "display_status", "message", "paused by the app")
    assert klippy.call("pause_resume/resume")["result"] == {}
    wait(klippy, "print_stats", "state", "complete")
    params, recorded = request_of(frames, "gcode/script", 2)
    answer = klippy.call("gcode/script", params)
    # The extruder's count depends on what was printed before.
    assert answer["error"]["error"] == recorded["error"]["error"]
    assert answer["error"]["message"].split("[")[0] == recorded["error"]["message"].split("[")[0]
    assert klippy.responses[-1] == f"!! {answer['error']['message']}"
    wait(klippy, "idle_timeout", "state", "Ready")

    begin, end = notes["a websocket client connects, identifies, subscribes"], notes["printer.restart"]
    real = recorded_changes(frames[begin:end])
    for field in STATES:
        assert klippy.changes[field] == real[field], field
    temperatures = ("B:",)
    mine = [r for r in klippy.responses if not r.startswith(temperatures)]
    assert [r.split(" Size:")[0] for r in mine[:3]] == [
        "File opened:short_three_layers.gcode", "File selected", "Done printing file",
    ]  # fmt: skip


def test_restart_keeps_the_process_and_refuses_for_a_while(standin: StandinProcess, klippy: Klippy) -> None:
    subscribe(klippy)
    assert klippy.script("G28")["result"] == {}
    before = klippy.call("info")["result"]["process_id"]
    assert klippy.script("RESTART")["result"] == {}
    klippy.pump_to_end()
    assert klippy.responses[-1] == "// Klipper state: Disconnect"
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with probe, pytest.raises(ConnectionRefusedError):
        probe.connect(str(standin.socket))
    klippy.connect()
    info = klippy.call("info")["result"]
    assert (info["state"], info["process_id"]) == ("startup", before)
    klippy.status.clear()
    subscribe(klippy)
    assert klippy.status["toolhead"]["homed_axes"] == ""
    assert klippy.status["print_stats"]["state"] == "standby"


def test_emergency_stop_in_mid_print(standin: StandinProcess, klippy: Klippy) -> None:
    """Recording 07: shutdown, then a "pause" that is none; RESTART does not help, FIRMWARE_RESTART does."""
    subscribe(klippy)
    standin.control.hold("Y80.000 E1.99")
    klippy.script('SDCARD_PRINT_FILE FILENAME="bracket_cura.gcode"')
    standin.control.wait_for(lambda s: s.live_position[0] > 0.0 and s.print_state == "printing")
    assert klippy.call("emergency_stop")["result"] == {}
    wait(klippy, "print_stats", "state", "paused")
    assert "// Klipper state: Shutdown" in klippy.responses
    assert klippy.changes["webhooks", "state"] == ["ready", "shutdown"]
    assert klippy.status["pause_resume"]["is_paused"] is False
    shutdown = request_message("07_emergency_stop.jsonl", "shutdown")
    assert klippy.status["webhooks"]["state_message"] == shutdown
    for refused in (klippy.script("M117 x"), klippy.call("pause_resume/resume")):
        assert refused["error"]["message"] == shutdown
    assert klippy.responses[-1] == "!! Shutdown due to webhooks request"
    assert klippy.script("RESTART")["result"] == {}
    klippy.pump_to_end()
    klippy.connect()
    klippy.wait_info("error")
    assert klippy.call("info")["result"]["state_message"] == request_message("07_emergency_stop.jsonl", "error")
    assert klippy.script("FIRMWARE_RESTART")["result"] == {}
    klippy.pump_to_end()
    klippy.connect()
    klippy.wait_info("ready")


def request_message(name: str, state: str) -> str:
    """The state_message that a recording's printer.info gave in `state`."""
    for frame in recording(name):
        result = frame["frame"].get("result") if isinstance(frame["frame"], dict) else None
        if isinstance(result, dict) and result.get("state") == state and "state_message" in result:
            return str(result["state_message"])
    raise AssertionError(f"{name} has no state {state}")


def test_a_config_error_and_its_repair(standin: StandinProcess, klippy: Klippy) -> None:
    """Recording 14."""
    subscribe(klippy)
    standin.control.config_error("Section 'no_such_module' is not a valid config section")
    klippy.script("RESTART")
    klippy.pump_to_end()
    klippy.connect()
    klippy.wait_info("error")
    message = klippy.call("info")["result"]["state_message"]
    assert message == request_message("14_klippy_config_error.jsonl", "error")
    assert klippy.script('SDCARD_PRINT_FILE FILENAME="x.gcode"')["error"]["message"] == message
    standin.control.config_error()
    klippy.script("RESTART")
    klippy.pump_to_end()
    klippy.connect()
    klippy.wait_info("ready")


def test_a_shutdown_that_nobody_asked_for(standin: StandinProcess, klippy: Klippy) -> None:
    """Recording 10; in a print, with the scripts that wait answered."""
    recorded = [
        f["frame"]["params"][0]["webhooks"]["state_message"]
        for f in recording("10_unexpected_mcu_shutdown_mid_print.jsonl")
        if f["dir"] == "recv" and "shutdown" in str(f["frame"].get("params", [{}])[0])
        and f["frame"].get("method") == "notify_status_update"
    ]  # fmt: skip
    subscribe(klippy)
    standin.control.block("^M190")
    klippy.script('SDCARD_PRINT_FILE FILENAME="bracket_cura.gcode"')
    standin.control.wait_for(lambda s: s.blocked)
    waiting = klippy.send("pause_resume/pause", {})
    standin.control.shutdown(recorded[0].split("\nOnce the underlying")[0])
    wait(klippy, "print_stats", "state", "paused")
    assert klippy.status["webhooks"]["state_message"] == recorded[0]
    klippy.pump(lambda: waiting in klippy._answers)
    assert klippy._answers[waiting]["error"]["message"] == recorded[0]


def test_a_lost_mcu(folder: Path) -> None:
    """Recording 16: a shutdown some seconds later; startup until the micro-controller is back."""
    args = (*FAST, "--mcu-loss-time", "0.1", "--mcu-retry-time", "0.1", "--mcu-give-up-time", "30")
    with StandinProcess(folder, args) as standin:
        klippy = Klippy(standin.socket)
        subscribe(klippy)
        standin.control.lose_mcu()
        wait(klippy, "webhooks", "state", "shutdown")
        assert klippy.status["webhooks"]["state_message"] == request_message("16_mcu_lost_mid_print.jsonl", "shutdown")
        klippy.script("FIRMWARE_RESTART")
        klippy.pump_to_end()
        klippy.connect()
        standin.control.wait_for(lambda s: s.online and s.state == "startup")
        assert klippy.call("objects/query", {"objects": {"webhooks": None, "toolhead": None}})["result"]["status"] == {
            "webhooks": {"state": "startup", "state_message": request_message("16_mcu_lost_mid_print.jsonl", "startup")}
        }
        standin.control.return_mcu()
        standin.control.wait_for(lambda s: s.state == "ready")
        klippy.close()


def test_a_killed_klippy_comes_up_in_error(folder: Path) -> None:
    """Recording 06: the socket's file stays and refuses; the MCU has shut itself down."""
    standin = StandinProcess(folder, FAST)
    standin.start()
    klippy = Klippy(standin.socket)
    standin.kill()
    klippy.pump_to_end()
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with probe, pytest.raises(ConnectionRefusedError):
        probe.connect(str(standin.socket))
    with StandinProcess(folder, (*FAST, "--mcu-shutdown")) as again:
        klippy.connect()
        klippy.wait_info("ready", "error", "shutdown")
        message = klippy.call("info")["result"]["state_message"]
        assert message == request_message("06b_after_kill_firmware_restart.jsonl", "error")
        klippy.script("FIRMWARE_RESTART")
        klippy.pump_to_end()
        again.control.wait_for(lambda s: s.state == "ready")


def test_the_connection_can_be_dropped_without_a_word(standin: StandinProcess, klippy: Klippy) -> None:
    subscribe(klippy)
    standin.control.drop_connection()
    klippy.pump_to_end()
    assert "// Klipper state: Disconnect" not in klippy.responses
    klippy.connect()
    assert klippy.call("info")["result"]["state"] == "ready"


def test_sigterm_ends_it_within_a_second_and_leaves_no_socket(folder: Path) -> None:
    standin = StandinProcess(folder, FAST)
    standin.start()
    begin = time.monotonic()
    assert standin.stop() == 0
    assert time.monotonic() - begin < 1.0
    assert not standin.socket.exists()
    assert not standin.control_socket.exists()
