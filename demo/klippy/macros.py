"""The gcode_macro sections of the recordings' configuration. They are rendered when called, as Klipper does."""

from __future__ import annotations

from collections.abc import Callable

from demo.klippy.command import Command
from demo.klippy.printer import Printer

RETRACT, Z_HOP, PARK_X, PARK_Y = 1.0, 2.0, 0.0, 190.0


def _print_start(_printer: Printer, command: Command) -> str:
    bed, hotend = command.number("BED", 60.0), command.number("EXTRUDER", 200.0)
    return f"M140 S{bed}\nM104 S{hotend}\nG90\nG28\nG1 Z5 F600\nM190 S{bed}\nM109 S{hotend}"


def _print_end(_printer: Printer, _command: Command) -> str:
    return "M104 S0\nM140 S0\nM106 S0\nG91\nG1 E-2 F1800\nG1 Z2 F600\nG90\nM84"


def _timelapse(_printer: Printer, _command: Command) -> str:
    return 'RESPOND TYPE=command MSG="action:timelapse frame"'


def _pause(printer: Printer, _command: Command) -> str:
    now = printer.clock()
    head = printer.toolhead
    lift = min(Z_HOP, printer.options.machine.axis_maximum[2] - head.position[2])
    target = printer.physical.hotend.target
    lines = [f"SET_GCODE_VARIABLE MACRO=PAUSE VARIABLE=extruder_temp VALUE={target}", "PAUSE_BASE"]
    if printer.can_extrude(now):
        lines += ["M83", f"G1 E-{RETRACT} F2100"]
    if head.homed == "xyz":
        lines += ["G91", f"G1 Z{lift} F600", "G90", f"G1 X{PARK_X} Y{PARK_Y} F6000"]
    return "\n".join(lines)


def _resume(printer: Printer, command: Command) -> str:
    lines = ["M83", f"G1 E{RETRACT} F2100"] if printer.can_extrude(printer.clock()) else []
    return "\n".join([*lines, f"RESUME_BASE {command.rest}"])


def _cancel(printer: Printer, _command: Command) -> str:
    extrude = ["M83", "G1 E-2 F2100"] if printer.can_extrude(printer.clock()) else []
    return "\n".join(["TURN_OFF_HEATERS", "M106 S0", *extrude, "CANCEL_PRINT_BASE"])


Macro = Callable[[Printer, Command], str]
_ALWAYS: dict[str, Macro] = {
    "PRINT_START": _print_start,
    "PRINT_END": _print_end,
    "TIMELAPSE_TAKE_FRAME": _timelapse,
    "_MARK": lambda _printer, _command: "",
    "M600": lambda _printer, _command: "PAUSE",  # as in most printer.cfg files
}
_CLIENT: dict[str, Macro] = {
    "PAUSE": _pause,
    "RESUME": _resume,
    "CANCEL_PRINT": _cancel,
    "_CLIENT_VARIABLE": lambda _printer, _command: "",
}


def expand(printer: Printer, command: Command) -> str | None:
    """The G-code of the macro that `command` calls, None if it is no macro."""
    macro = _ALWAYS.get(command.name)
    if macro is None and printer.options.client_macros:
        macro = _CLIENT.get(command.name)
    return None if macro is None else macro(printer, command)
