"""G-code on the stand-in: modes, refusals, saved states, waits. The pause matrix is in tests/contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from demo.klippy.options import Options
from demo.klippy.simulation import Simulation


@pytest.fixture
def printer(tmp_path: Path) -> Simulation:
    return Simulation(Options(tmp_path))


def homed(printer: Simulation) -> Simulation:
    assert printer.script("G28\nM109 S200") is None
    return printer


def position(printer: Simulation) -> tuple[float, ...]:
    return tuple(printer.status("toolhead")["position"])


def test_an_unhomed_axis_does_not_move(printer: Simulation) -> None:
    assert printer.script("G1 X10") == "Must home axis first: 10.000 0.000 0.000 [0.000]"
    assert printer.responses[-1] == "!! Must home axis first: 10.000 0.000 0.000 [0.000]"
    assert printer.script("G28 X\nG1 X10") is None
    assert printer.status("toolhead")["homed_axes"] == "x"


def test_a_script_stops_at_the_refused_line_and_leaves_its_modes(printer: Simulation) -> None:
    homed(printer)
    assert printer.script("G91\nG1 X999 F3000\nG90\nM117 never") == "Move out of range: 999.000 0.000 0.000 [0.000]"
    status = printer.status("gcode_move")
    assert (status["absolute_coordinates"], status["speed"]) == (False, 3000.0)
    assert status["position"] == [0.0, 0.0, 0.0, 0.0]
    assert printer.status("display_status")["message"] is None


def test_an_error_of_two_lines_is_told_as_klipper_does(printer: Simulation) -> None:
    assert printer.script("G28") is None
    error = "Extrude below minimum temp\nSee the 'min_extrude_temp' config option for details"
    assert printer.script("G1 E5") == error
    assert printer.responses[-2:] == ["// " + error.replace("\n", "\n// "), "!! Extrude below minimum temp"]


def test_g91_makes_e_relative_whatever_m82_says(printer: Simulation) -> None:
    homed(printer)
    assert printer.script("M82\nG92 E0\nG91\nG1 E2\nG1 E2") is None
    assert position(printer)[3] == pytest.approx(4.0)
    assert printer.script("G90\nG1 E1") is None
    assert position(printer)[3] == pytest.approx(1.0)


def test_factors_and_offsets(printer: Simulation) -> None:
    homed(printer)
    assert printer.script("M83\nM221 S90\nG1 E10\nSET_GCODE_OFFSET Z=0.3\nG1 Z5\nM220 S50\nG1 X10 F6000") is None
    status = printer.status("gcode_move")
    assert status["position"] == pytest.approx([10.0, 0.0, 5.3, 9.0])
    assert status["gcode_position"] == pytest.approx([10.0, 0.0, 5.0, 10.0])
    assert (status["speed"], status["speed_factor"], status["extrude_factor"]) == (6000.0, 0.5, 0.9)
    assert status["homing_origin"] == [0.0, 0.0, 0.3, 0.0]


def test_restore_brings_modes_back_and_moves_only_when_told(printer: Simulation) -> None:
    homed(printer)
    assert printer.script("G1 X20 Y20 Z5\nSAVE_GCODE_STATE NAME=a\nG91\nM83\nG1 Z10\nG1 E-5") is None
    assert printer.script("RESTORE_GCODE_STATE NAME=a") is None
    assert position(printer) == pytest.approx((20.0, 20.0, 15.0, -5.0))
    assert printer.status("gcode_move")["gcode_position"][3] == pytest.approx(0.0)
    assert printer.script("RESTORE_GCODE_STATE NAME=a MOVE=1 MOVE_SPEED=50") is None
    assert position(printer) == pytest.approx((20.0, 20.0, 5.0, -5.0))
    assert printer.script("RESTORE_GCODE_STATE NAME=b") == "Unknown g-code state: b"


@pytest.mark.parametrize(
    ("line", "response"),
    [
        ("NO_SUCH_MACRO X=1", '// Unknown command:"NO_SUCH_MACRO"'),
        ("M601", '// Unknown command:"M601"'),
        ("M114", "X:0.000 Y:0.000 Z:0.000 E:0.000"),
        ("M27", "Not SD printing."),
        ('RESPOND TYPE=command MSG="action:x y"', "// action:x y"),
        ("M118 hello", "echo: hello"),
        ("SET_IDLE_TIMEOUT TIMEOUT=900", "// idle_timeout: Timeout set to 900.00 s"),
        ("M105", "B:25.0 /0.0 T0:25.0 /0.0"),
        ("PAUSE", "// action:paused"),
        ("RESUME", "// Print is not paused, resume aborted"),
        ("CANCEL_PRINT", "// action:cancel"),
    ],
)
def test_what_klipper_answers(printer: Simulation, line: str, response: str) -> None:
    assert printer.script(line) is None
    assert printer.responses[-1] == response


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("SDCARD_PRINT_FILE FILENAME=no_such.gcode", "Unable to open file"),
        ("SDCARD_PRINT_FILE FILENAME=../../etc/passwd", "Unable to open file"),
        ("SET_HEATER_TEMPERATURE HEATER=nose TARGET=1", "The value 'nose' is not valid for HEATER"),
        ("M104 S999", "Requested temperature (999.0) out of range (-20.0:280.0)"),
        ("G1 X1..2", "Unable to parse move 'G1 X1..2'"),
        ("SET_IDLE_TIMEOUT TIMEOUT=nan", "Error on 'SET_IDLE_TIMEOUT TIMEOUT=nan': unable to parse nan"),
        ("SET_GCODE_OFFSET Z=up", "Error on 'SET_GCODE_OFFSET Z=up': unable to parse up"),
        ("G1 F0", "Invalid speed in 'G1 F0'"),
        ("G20", "Machine does not support G20 (inches) command"),
        ('RESPOND MSG="', "Malformed command 'RESPOND MSG=\"'"),
    ],
)
def test_what_klipper_refuses(printer: Simulation, line: str, error: str) -> None:
    assert printer.script(line) == error


def test_a_heating_wait_holds_the_lock_but_not_the_queries(printer: Simulation) -> None:
    heating = printer.send("gcode/script", script="M109 S200")
    message = printer.send("gcode/script", script="M117 later")
    printer.run(5.0)
    assert not heating.answered
    assert not message.answered
    query = printer.call("objects/query", objects={"extruder": ["target"]})
    assert query.result is not None
    assert query.result["status"] == {"extruder": {"target": 200.0}}
    assert not message.answered
    printer.until(lambda: message.answered)
    assert printer.status("extruder")["temperature"] == 200.0
    assert printer.status("display_status")["message"] == "later"


def test_an_emergency_stop_ends_the_wait_at_once(printer: Simulation) -> None:
    heating = printer.send("gcode/script", script="M109 S200")
    printer.run(2.0)
    assert printer.call("emergency_stop").error is None
    assert heating.answered
    assert printer.host.state == "shutdown"
    assert printer.status("extruder")["power"] == 0.0
    temperature = printer.status("extruder")["temperature"]
    printer.run(30.0)
    assert printer.status("extruder")["temperature"] < temperature


def test_m112_in_a_script_shuts_down_and_refuses_the_rest(printer: Simulation) -> None:
    assert printer.script("M112\nM117 never") == "Shutdown due to M112 command"
    printer.run(0.1)
    assert printer.host.state == "shutdown"


def test_motion_lags_behind_what_is_accepted(printer: Simulation) -> None:
    homed(printer)
    assert printer.script("G1 X100 F3000") is None  # 2 s, of which 1 s is read ahead
    report = printer.status("motion_report")
    assert position(printer)[0] == 100.0
    assert report["live_position"][0] == pytest.approx(50.0, abs=1.0)
    assert report["live_velocity"] == pytest.approx(50.0)
    assert printer.script("M400") is None
    assert printer.status("motion_report")["live_position"][0] == 100.0


def test_idle_goes_ready_and_then_switches_all_off(printer: Simulation) -> None:
    homed(printer)
    assert printer.status("idle_timeout")["state"] == "Printing"
    printer.run(2.0)
    assert printer.status("idle_timeout")["state"] == "Ready"
    printer.run(597.0)
    assert printer.status("toolhead")["homed_axes"] == "xyz"
    printer.run(5.0)
    assert printer.status("idle_timeout")["state"] == "Idle"
    assert printer.status("toolhead")["homed_axes"] == ""
    assert printer.status("extruder")["target"] == 0.0


def test_speed_changes_time_and_not_positions(tmp_path: Path) -> None:
    (tmp_path / "a.gcode").write_text("G28\nG1 X10 Y10 Z5 F600\nG1 X90.125\n", encoding="utf-8")
    times = []
    for speed in (1.0, 20.0):
        printer = Simulation(Options(tmp_path, speed=speed))
        begin = printer.clock.now
        assert printer.print_file("a.gcode") is None
        printer.until(lambda p=printer: p.status("print_stats")["state"] == "complete")  # type: ignore[misc]
        printer.settle()
        times.append(printer.host.printer.toolhead.queue_end - begin)
        assert position(printer) == (90.125, 10.0, 5.0, 0.0)
    assert times[0] == pytest.approx(20.0 * times[1], rel=0.01)


def test_a_runout_pauses_first_the_file_and_then_properly(tmp_path: Path) -> None:
    (tmp_path / "a.gcode").write_text("G28\n" + "G1 X100 F600\nG1 X0\n" * 20, encoding="utf-8")
    printer = Simulation(Options(tmp_path))
    assert printer.print_file("a.gcode") is None
    printer.run(30.0)
    printer.host.filament_runout()
    printer.until(lambda: printer.status("print_stats")["state"] == "paused")
    printer.until(lambda: printer.status("pause_resume")["is_paused"])
    assert printer.status("filament_switch_sensor runout")["filament_detected"] is False


def test_a_pause_in_the_file_goes_on_behind_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.gcode").write_text("G28\nPAUSE\nM117 behind\n", encoding="utf-8")
    printer = Simulation(Options(tmp_path))
    assert printer.print_file("a.gcode") is None
    printer.until(lambda: printer.status("print_stats")["state"] == "paused")
    assert printer.status("display_status")["message"] is None
    assert printer.call("pause_resume/resume").error is None
    printer.until(lambda: printer.status("print_stats")["state"] == "complete")
    assert printer.status("display_status")["message"] == "behind"


def test_sd_busy_and_reset(tmp_path: Path) -> None:
    (tmp_path / "a.gcode").write_text("G28\nSDCARD_RESET_FILE\n", encoding="utf-8")
    printer = Simulation(Options(tmp_path, cancel_on_error=False))
    assert printer.print_file("a.gcode") is None
    printer.run(1.0)
    assert printer.print_file("a.gcode") == "SD busy"
    printer.until(lambda: printer.status("print_stats")["state"] == "error")
    assert printer.status("print_stats")["message"] == "SDCARD_RESET_FILE cannot be run from the sdcard"
    assert printer.script("SDCARD_RESET_FILE") is None
    assert printer.status("print_stats")["filename"] == ""


def test_layers_and_progress(printer: Simulation) -> None:
    info = "SET_PRINT_STATS_INFO TOTAL_LAYER=3\nSET_PRINT_STATS_INFO CURRENT_LAYER=9\nM73 P40"
    assert printer.script(info) is None
    assert printer.status("print_stats")["info"] == {"total_layer": 3, "current_layer": 3}
    assert printer.status("display_status")["progress"] == 0.4
    printer.run(6.0)
    assert printer.status("display_status")["progress"] == 0.0
    assert printer.script("SET_PRINT_STATS_INFO TOTAL_LAYER=0") is None
    assert printer.status("print_stats")["info"] == {"total_layer": None, "current_layer": None}
