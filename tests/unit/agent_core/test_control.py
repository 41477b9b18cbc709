"""Jog, home and set_temperature as viewers call them: what reaches a printer, and what never does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from agent_core.errors import Rejected
from agent_core.features import gcode_rules
from agent_core.features.control import control_routes, heater_of, plain
from agent_core.wire.messages import PassthruCall


class Hands:
    def __init__(self) -> None:
        self.done: list[Any] = []

    def heaters(self) -> Sequence[str]:
        return ["tool0", "tool1", "bed", "chamber", "dryer"]

    def jog(self, moves: Mapping[str, float]) -> None:
        self.done.append(dict(moves))

    def home(self, axes: Sequence[str]) -> None:
        self.done.append(tuple(axes))

    def set_temperature(self, heater: str, target: float) -> None:
        self.done.append((heater, target))


def call(func: str, *args: Any, **kwargs: Any) -> Any:
    hands = Hands()
    route = control_routes(hands)[f"_printer.{func}"]
    assert route.handler(PassthruCall("_printer", func, args, kwargs)) is None
    return hands.done


@pytest.mark.parametrize(
    ("func", "args", "done"),
    [
        ("jog", [{"x": 10}], {"x": 10.0}),
        ("jog", [{"X": -0.1, "z": 5, "y": 0}], {"x": -0.1, "z": 5.0}),
        ("home", ["z"], ("z",)),
        ("home", [["y", "x"]], ("x", "y")),
        ("home", [["x", "y", "z", "x"]], ("x", "y", "z")),
        ("set_temperature", ["tool0", 180], ("tool0", 180.0)),
        ("set_temperature", ["extruder", 0], ("tool0", 0.0)),
        ("set_temperature", ["extruder1", 250.5], ("tool1", 250.5)),
        ("set_temperature", ["heater_bed", 60], ("bed", 60.0)),
        ("set_temperature", ["bed", 60], ("bed", 60.0)),
        ("set_temperature", ["heater_generic chamber", 50], ("chamber", 50.0)),
        ("set_temperature", ["dryer", 50], ("dryer", 50.0)),
    ],
)
def test_what_is_understood(func: str, args: list[Any], done: Any) -> None:
    assert call(func, *args) == [done]


@pytest.mark.parametrize(
    ("func", "args", "words"),
    [
        ("jog", [], "takes 1 argument, 0 came"),
        ("jog", [{}], "names its axes"),
        ("jog", ["x", 10], "takes 1 argument, 2 came"),
        ("jog", [[1, 2]], "names its axes"),
        ("jog", [{"e": 5}], "no such axis"),
        ("jog", [{"x\nM112": 5}], "no such axis"),
        ("jog", [{"x": "10\nM112"}], "is no number"),
        ("jog", [{"x": float("nan")}], "is no number"),
        ("jog", [{"x": float("inf")}], "is no number"),
        ("jog", [{"x": True}], "is no number"),
        ("jog", [{"x": 10**400}], "is no number"),
        ("jog", [{"x": 1001}], "too far"),
        ("jog", [{"x": 0}], "a jog of 0 mm"),
        ("home", [], "takes 1 argument"),
        ("home", [[]], "names its axes"),
        ("home", [{"x": 1}], "names its axes"),
        ("home", ["xy"], "no such axis"),
        ("home", [["x", "M112"]], "no such axis"),
        ("home", [[None]], "no such axis"),
        ("set_temperature", ["tool0"], "takes 2 arguments"),
        ("set_temperature", ["tool2", 100], "there are tool0, tool1, bed, chamber, dryer"),
        ("set_temperature", ["bed\nM112", 60], "no such heater"),
        ("set_temperature", [7, 60], "no such heater"),
        ("set_temperature", ["tool0", -1], "no temperature for tool0"),
        ("set_temperature", ["tool0", 2000], "no temperature for tool0"),
        ("set_temperature", ["bed", 250], "no temperature for bed: 0 to 200"),
        ("set_temperature", ["dryer", 250], "no temperature for dryer"),
        ("set_temperature", ["tool0", None], "is no number"),
        ("set_temperature", ["tool0", "200"], "is no number"),
    ],
)
def test_what_is_refused_moves_and_heats_nothing(func: str, args: list[Any], words: str) -> None:
    with pytest.raises(Rejected, match=words):
        call(func, *args)


def test_an_absolute_jog_is_not_taken_for_a_relative_one() -> None:
    assert call("jog", {"z": 1}, relative=True) == [{"z": 1.0}]
    for kwargs in ({"relative": False}, {"relative": 1}, {"speed": 99999}, {"force": True}):
        with pytest.raises(Rejected, match="does not take"):
            call("jog", {"z": 1}, **kwargs)


def test_moving_waits_for_the_end_of_a_print_and_heating_does_not() -> None:
    routes = control_routes(Hands())
    assert {name for name, route in routes.items() if route.while_printing} == {"_printer.set_temperature"}


def test_no_heater_at_all_is_said() -> None:
    with pytest.raises(Rejected, match="there are none"):
        heater_of("tool0", [])


@pytest.mark.parametrize(
    ("value", "text"), [(10, "10"), (0.1 + 0.2, "0.3"), (-2.5, "-2.5"), (1e-7, "0"), (100, "100"), (200.0, "200")]
)
def test_numbers_are_written_as_firmwares_read_them(value: float, text: str) -> None:
    assert plain(value) == text


# --- G-code -----------------------------------------------------------------------------------------------------------


def test_lines_are_parted_and_comments_dropped() -> None:
    assert gcode_rules.lines_of(" M83 ; relative\r\nT0\n\n;only this\nG1 E5 F300") == ("M83", "T0", "G1 E5 F300")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "is wanted"), (["G28"], "is wanted"), ("", "no G-code"), (" ;x", "no G-code"),
        ("G28\n" * 51, "51 lines"), ("M117 " + "x" * 300, "305 characters"), ("G28\x00", "no printer reads"),
        ("G28\x1b[2J", "no printer reads"), ("G1 X1\u2028M112", "no printer reads"),
        ("run_shell_command CMD=x", "not taken from afar"),
    ],
)  # fmt: skip
def test_what_is_no_plain_gcode_is_refused(text: object, words: str) -> None:
    with pytest.raises(Rejected, match=words):
        gcode_rules.lines_of(text)


@pytest.mark.parametrize(
    "line",
    [
        "M104 S200", "m140 s60", "M104S200", "M106 S255", "M107", "M220 S120", "M221 S95", "M117 G28 all",
        "SET_FAN_SPEED FAN=part SPEED=1", "set_heater_temperature HEATER=extruder TARGET=0", "TURN_OFF_HEATERS",
    ],
)  # fmt: skip
def test_temperature_fan_and_speed_are_taken_in_a_print(line: str) -> None:
    gcode_rules.check_while_printing([line], "a print is under way")


@pytest.mark.parametrize(
    "line",
    [
        "G1 X10", "G28", "g0 z5", "G91", "M83", "T1", "M109 S200", "M190 S60", "M0", "M25", "M24", "M84", "M600", "M18",
        "M118 A1 action:cancel", "M1040", "M0104 S200", "M104.1", "N1 M104 S200", "PAUSE", "CANCEL_PRINT", "RESTART",
        "FIRMWARE_RESTART", "SAVE_CONFIG", "SET_GCODE_OFFSET Z=-1 MOVE=1", "SDCARD_RESET_FILE", "@pause", "?", "$X",
        "M290 Z-1", "MY_MACRO", "M502", "G29",
    ],
)  # fmt: skip
def test_everything_else_is_refused_in_a_print(line: str) -> None:
    with pytest.raises(Rejected, match=r"refused: a print is under way; .* could harm it"):
        gcode_rules.check_while_printing(["M104 S200", line], "a print is under way")


def test_an_emergency_is_seen_wherever_it_stands_and_nothing_breaks_the_look() -> None:
    assert gcode_rules.is_emergency("M112")
    assert gcode_rules.is_emergency("G28\r\n m112 ;now")
    for text in ("M1120", "M117 M112", "", None, 7, ["M112"], "M0112"):
        assert not gcode_rules.is_emergency(text)
