"""The control channel, and the protocol's answer to nonsense."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from demo.klippy.control import Control
from demo.klippy.options import Options
from demo.klippy.protocol import Protocol, Session
from demo.klippy.simulation import Simulation
from demo.klippy_control import ControlFailed, KlippyControl, StandinProcess, StandinState
from demo.klippy_standin import main


class Wire:
    """Calls the control methods without a socket."""

    def __init__(self, simulation: Simulation) -> None:
        self.dropped = 0
        self.control = Control(simulation.host, self._drop)

    def _drop(self) -> None:
        self.dropped += 1

    def call(self, method: str, **params: object) -> Any:
        answer = self.control.handle({"id": 1, "method": method, "params": params})
        assert "error" not in answer, answer
        return answer["result"]


@pytest.fixture
def printer(tmp_path: Path) -> Simulation:
    (tmp_path / "a.gcode").write_text("G28\nG1 X10 F6000\nG1 X20\nG1 X30\n", encoding="utf-8")
    return Simulation(Options(tmp_path))


@pytest.fixture
def wire(printer: Simulation) -> Wire:
    return Wire(printer)


def test_the_state_is_complete(wire: Wire) -> None:
    state = StandinState.from_json(wire.call("state"))
    assert (state.state, state.position, state.extruder.target) == ("ready", (0.0, 0.0, 0.0, 0.0), 0.0)


def test_hold_stops_the_file_and_lets_a_pause_in(printer: Simulation, wire: Wire) -> None:
    wire.call("hold", pattern="X20")
    assert printer.print_file("a.gcode") is None
    printer.until(lambda: wire.call("state")["held"])
    assert wire.call("state")["position"][0] == 10.0
    assert printer.call("pause_resume/pause").error is None
    assert printer.status("print_stats")["state"] == "paused"
    wire.call("release")
    assert printer.call("pause_resume/resume").error is None
    printer.until(lambda: printer.status("print_stats")["state"] == "complete")
    assert wire.call("state")["position"][0] == 30.0


def test_block_keeps_the_lock(printer: Simulation, wire: Wire) -> None:
    wire.call("block", pattern="X20")
    assert printer.print_file("a.gcode") is None
    printer.until(lambda: wire.call("state")["blocked"])
    pause = printer.send("pause_resume/pause")
    printer.run(60.0)
    assert not pause.answered
    wire.call("release")
    printer.until(lambda: pause.answered)
    assert printer.status("print_stats")["state"] == "paused"
    assert wire.call("state")["position"][0] == 20.0


def test_refuse_counts_down(printer: Simulation, wire: Wire) -> None:
    wire.call("refuse", pattern="^M117", message="No", count=2)
    assert [printer.script("M117 x") for _ in range(3)] == ["No", "No", None]


def test_history_tells_lines_sources_and_refusals(printer: Simulation, wire: Wire) -> None:
    printer.script("G28")
    printer.script("G1 X999")
    assert printer.print_file("a.gcode") is None
    printer.until(lambda: printer.status("print_stats")["state"] == "complete")
    lines = [(line["source"], line["line"], line["error"]) for line in wire.call("history", limit=6)]
    assert lines == [
        ("script", "G1 X999", "Move out of range: 999.000 0.000 0.000 [0.000]"),
        ("script", 'SDCARD_PRINT_FILE FILENAME="a.gcode"', None),
        ("file", "G28", None),
        ("file", "G1 X10 F6000", None),
        ("file", "G1 X20", None),
        ("file", "G1 X30", None),
    ]


def test_temperature_speed_and_scripts(printer: Simulation, wire: Wire) -> None:
    wire.call("set_temperature", heater="extruder", value=199.5)
    assert printer.status("extruder")["can_extrude"] is True
    wire.call("set_speed", speed=50)
    begin = printer.clock.now
    assert printer.script("G28") is None
    assert printer.clock.now - begin < 1.0
    wire.call("script", script="M117 local")
    printer.run(0.1)
    assert printer.status("display_status")["message"] == "local"
    wire.call("drop_connection")
    assert wire.dropped == 1


def test_misfortunes(printer: Simulation, wire: Wire) -> None:
    wire.call("lose_mcu")
    printer.run(5.0)
    assert wire.call("state")["state"] == "shutdown"
    assert wire.call("state")["message"].startswith("Lost communication with MCU 'mcu'\n")
    assert printer.call("gcode/firmware_restart").error is None
    printer.run(10.0)
    assert wire.call("state")["state"] == "startup"
    printer.run(100.0)
    assert wire.call("state")["message"].startswith("mcu 'mcu': Unable to connect")
    wire.call("return_mcu")
    assert printer.script("FIRMWARE_RESTART") is None
    printer.run(10.0)
    assert wire.call("state")["state"] == "ready"
    wire.call("shutdown", reason="Timer too close")
    assert wire.call("state")["state"] == "shutdown"


@pytest.mark.parametrize(
    "message",
    [
        7,
        {},
        {"method": "nonsense"},
        {"method": "state", "params": 3},
        {"method": "set_temperature", "params": {"heater": "nose", "value": 1}},
        {"method": "set_temperature", "params": {"heater": "extruder", "value": "hot"}},
        {"method": "set_speed", "params": {"speed": 0}},
        {"method": "hold", "params": {"pattern": "("}},
        {"method": "config_error", "params": {"message": 1}},
    ],
)
def test_nonsense_is_refused_in_words(wire: Wire, message: object) -> None:
    assert len(wire.control.handle(message)["error"]) > 10


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ({"id": 1, "method": "no/such"}, "webhooks: No registered callback for path 'no/such'"),
        ({"id": 1, "method": "gcode/script", "params": {}}, "Missing Argument [script]"),
        ({"id": 1, "method": "objects/query", "params": {"objects": 3}}, "Missing Argument [objects]"),
        ({"id": 1, "method": "objects/query", "params": {"objects": {"fan": "speed"}}}, "Invalid argument"),
        ({"id": 1, "method": 9}, "Invalid request"),
    ],
)
def test_the_protocol_refuses_nonsense(printer: Simulation, message: object, error: str) -> None:
    sent: list[dict[str, Any]] = []
    Protocol(printer.host).handle(Session(sent.append), message)
    assert sent == [{"id": 1, "error": {"error": "WebRequestError", "message": error}}]


def test_only_changed_fields_are_sent(printer: Simulation) -> None:
    sent: list[dict[str, Any]] = []
    protocol = Protocol(printer.host)
    session = Session(sent.append)
    request = {"objects": {"gcode_move": None, "fan": ["speed"]}, "response_template": {"method": "update"}}
    protocol.handle(session, {"id": 1, "method": "objects/subscribe", "params": request})
    protocol.tick([session])
    assert set(sent[0]["result"]["status"]) == {"gcode_move", "fan"}
    printer.run(1.0)
    protocol.tick([session])
    assert len(sent) == 1
    assert printer.script("M83\nM106 S255") is None
    printer.run(0.3)
    protocol.tick([session])
    assert sent[1]["params"]["status"] == {"gcode_move": {"absolute_extrude": False}, "fan": {"speed": 1.0}}


def test_the_client_and_the_process(tmp_path: Path) -> None:
    with pytest.raises(ControlFailed, match="start it with --control"):
        KlippyControl(tmp_path / "nobody.sock")
    with StandinProcess(tmp_path, ("--speed", "100")) as standin:
        control = standin.control
        control.wait_for(lambda s: s.state == "ready")
        control.script("G28\nG1 X10")
        assert control.wait_for(lambda s: not s.moving and s.position[0] == 10.0).homed_axes == "xyz"
        assert [line.line for line in control.history()] == ["G28", "G1 X10"]
        with pytest.raises(ControlFailed, match="No such heater"):
            control.set_temperature("nose", 1.0)
        with pytest.raises(ControlFailed, match="Not within"):
            control.wait_for(lambda s: s.is_paused, timeout=0.1)


def test_the_command_line_refuses_a_missing_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--socket", str(tmp_path / "s"), "--gcodes", str(tmp_path / "none")]) == 2
    assert "is no folder" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["--socket", "s", "--gcodes", ".", "--speed", "0"])
