"""The G-code commands that the stand-in knows. A handler returns steps if it has to wait."""

from __future__ import annotations

import json

from demo.klippy.command import Command
from demo.klippy.errors import GcodeError
from demo.klippy.interpreter import Handler, Interpreter, Steps
from demo.klippy.thermal import Heater

REPORT_EVERY = 1.0  # s between two temperature lines of a heating wait


# -- motion ------------------------------------------------------------------------------------------------


def _room(it: Interpreter) -> Steps:
    """Wait until the motion queue takes more: this is what keeps the file about a second ahead of the nozzle."""
    while it.printer.toolhead.room_at() > it.now():
        yield it.printer.toolhead.room_at()


def _g1(it: Interpreter, command: Command) -> Steps | None:
    it.printer.moves.linear(command.numbers("XYZEF"), command.line)
    return _room(it) if it.printer.toolhead.room_at() > it.now() else None


def _g4(it: Interpreter, command: Command) -> Steps:
    now = it.now()
    it.printer.toolhead.dwell(command.number("P", 0.0) / 1000.0 + command.number("S", 0.0), now)
    it.printer.idle.touch(now, it.printer.toolhead.queue_end)
    return _room(it)


def _g28(it: Interpreter, command: Command) -> Steps:
    head = it.printer.toolhead
    axes = [axis for axis, letter in enumerate("XYZ") if letter in command.params] or [0, 1, 2]
    yield from _drain(it)
    for axis in axes:
        until = it.now() + head.homing_seconds(axis) / head.speed
        it.printer.idle.touch(it.now(), until)
        yield until
        head.set_axis(axis, 0.0)
        it.printer.moves.homed(axis, head.position)


def _drain(it: Interpreter) -> Steps:
    while it.printer.toolhead.busy(it.now()):
        yield it.printer.toolhead.queue_end


def _m400(it: Interpreter, _command: Command) -> Steps:
    return _drain(it)


def _motors_off(it: Interpreter, _command: Command) -> Steps:
    yield from _drain(it)
    it.printer.toolhead.motors_off()
    it.printer.idle.touch(it.now(), it.now())


def _set_kinematic_position(it: Interpreter, command: Command) -> None:
    for axis, letter in enumerate("XYZ"):
        it.printer.toolhead.set_axis(axis, command.number(letter, it.printer.toolhead.position[axis]))
    it.printer.moves.resync(it.printer.toolhead.position)


def _set_gcode_offset(it: Interpreter, command: Command) -> None:
    offsets = {axis: command.number(axis) for axis in "XYZE" if axis in command.params}
    adjust = {axis: command.number(f"{axis}_ADJUST") for axis in "XYZE" if f"{axis}_ADJUST" in command.params}
    speed = command.number("MOVE_SPEED", it.printer.moves.state.speed) if command.number("MOVE", 0.0) else None
    it.printer.moves.set_offset(offsets, adjust, speed)


def _restore_state(it: Interpreter, command: Command) -> None:
    move = bool(command.number("MOVE", 0.0))
    speed = command.number("MOVE_SPEED") if "MOVE_SPEED" in command.params else None
    it.printer.moves.restore(command.params.get("NAME", "default"), move=move, move_speed=speed)


def _m114(it: Interpreter, _command: Command) -> None:
    it.printer.respond("X:{:.3f} Y:{:.3f} Z:{:.3f} E:{:.3f}".format(*it.printer.moves.gcode_position()))


def _m220(it: Interpreter, command: Command) -> None:
    it.printer.moves.set_speed_factor(_positive(command) / 100.0)


def _m221(it: Interpreter, command: Command) -> None:
    it.printer.moves.set_extrude_factor(_positive(command) / 100.0)


def _positive(command: Command) -> float:
    value = command.number("S", 100.0)
    if value <= 0.0:
        raise GcodeError(f"Error on '{command.line}': S must be above 0")
    return value


def _inches(_it: Interpreter, _command: Command) -> None:
    raise GcodeError("Machine does not support G20 (inches) command")


# -- heat --------------------------------------------------------------------------------------------------


def _wait_for(it: Interpreter, heater: Heater, *, cooling: bool) -> Steps:
    while True:
        it.printer.respond(it.printer.temperature_line())
        report = it.now() + REPORT_EVERY
        while it.now() < report:
            until = heater.reached_at(it.now(), wait_for_cooling=cooling)
            if until <= it.now():
                return
            it.printer.idle.touch(it.now(), it.now())
            yield min(until, report)


def _set_hotend(it: Interpreter, command: Command) -> None:
    it.printer.set_target(it.printer.physical.hotend, command.number("S", 0.0))


def _set_bed(it: Interpreter, command: Command) -> None:
    it.printer.set_target(it.printer.physical.bed, command.number("S", 0.0))


def _wait_hotend(it: Interpreter, command: Command) -> Steps | None:
    _set_hotend(it, command)
    heater = it.printer.physical.hotend
    return _wait_for(it, heater, cooling=True) if heater.target else None


def _wait_bed(it: Interpreter, command: Command) -> Steps | None:
    _set_bed(it, command)
    heater = it.printer.physical.bed
    return _wait_for(it, heater, cooling=False) if heater.target else None


def _set_heater(it: Interpreter, command: Command) -> None:
    it.printer.set_target(it.printer.heater(command.params.get("HEATER", "")), command.number("TARGET", 0.0))


def _temperature_wait(it: Interpreter, command: Command) -> Steps:
    heater = it.printer.heater(command.params.get("SENSOR", ""))
    low, high = command.number("MINIMUM", -273.0), command.number("MAXIMUM", 9999.0)
    while not low <= heater.temperature(it.now()) <= high:
        it.printer.respond(it.printer.temperature_line())
        yield it.now() + REPORT_EVERY


def _heaters_off(it: Interpreter, _command: Command) -> None:
    it.printer.heaters_off()


def _m105(it: Interpreter, _command: Command) -> None:
    it.printer.respond(it.printer.temperature_line())


def _fan(it: Interpreter, command: Command) -> None:
    it.printer.fan_speed = min(1.0, max(0.0, command.number("S", 255.0) / 255.0))
    it.printer.idle.touch(it.now(), it.printer.toolhead.queue_end)


def _fan_off(it: Interpreter, _command: Command) -> None:
    it.printer.fan_speed = 0.0


# -- printing ----------------------------------------------------------------------------------------------


def _print_file(it: Interpreter, command: Command) -> None:
    sdcard = it.printer.sdcard
    if sdcard.active:
        raise GcodeError("SD busy")
    filename = command.params.get("FILENAME")
    if filename is None:
        raise GcodeError(f"Error on '{command.line}': missing FILENAME")
    sdcard.reset(it.now())
    it.printer.exclude.reset()
    sdcard.load(filename)
    sdcard.start(it.now())


def _select_file(it: Interpreter, command: Command) -> None:
    if it.printer.sdcard.active:
        raise GcodeError("SD busy")
    it.printer.sdcard.reset(it.now())
    it.printer.sdcard.load(command.rest)


def _reset_file(it: Interpreter, _command: Command) -> None:
    if it.printer.sdcard.running_line:
        raise GcodeError("SDCARD_RESET_FILE cannot be run from the sdcard")
    it.printer.sdcard.reset(it.now())
    it.printer.exclude.reset()


def _m24(it: Interpreter, _command: Command) -> None:
    it.printer.sdcard.start(it.now())


def _m25(it: Interpreter, _command: Command) -> None:
    it.printer.sdcard.pause(it.now())


def _m27(it: Interpreter, _command: Command) -> None:
    card = it.printer.sdcard
    it.printer.respond(f"SD printing byte {card.position}/{card.size}" if card.file else "Not SD printing.")


def _pause(it: Interpreter, _command: Command) -> None:
    it.printer.pause_resume.pause(it.now())


def _resume(it: Interpreter, command: Command) -> None:
    it.printer.pause_resume.resume(command.number("VELOCITY", 50.0), it.now())


def _cancel(it: Interpreter, _command: Command) -> None:
    it.printer.pause_resume.cancel(it.now())


def _clear_pause(it: Interpreter, _command: Command) -> None:
    it.printer.pause_resume.clear()


def _print_stats_info(it: Interpreter, command: Command) -> None:
    total = int(command.number("TOTAL_LAYER")) if "TOTAL_LAYER" in command.params else None
    current = int(command.number("CURRENT_LAYER")) if "CURRENT_LAYER" in command.params else None
    it.printer.stats.set_layers(total, current)


def _m73(it: Interpreter, command: Command) -> None:
    if "P" in command.params:
        it.printer.display.set_progress(command.number("P") / 100.0, it.now())


def _m117(it: Interpreter, command: Command) -> None:
    it.printer.display.message = command.rest or None


def _respond(it: Interpreter, command: Command) -> None:
    kind = command.params.get("TYPE", "echo").lower()
    prefix = {"echo": "echo: ", "command": "// ", "error": "!! "}.get(kind, "echo: ")
    it.printer.respond(f"{command.params.get('PREFIX', prefix.strip())} {command.params.get('MSG', '')}")


def _m118(it: Interpreter, command: Command) -> None:
    it.printer.respond(f"echo: {command.rest}")


def _set_idle_timeout(it: Interpreter, command: Command) -> None:
    timeout = command.number("TIMEOUT", it.printer.options.idle_timeout)
    if timeout <= 0.0:
        raise GcodeError(f"Error on '{command.line}': TIMEOUT must be above 0")
    it.printer.idle.timeout = timeout
    it.printer.info(f"idle_timeout: Timeout set to {timeout:.2f} s")


def _set_sensor(it: Interpreter, command: Command) -> None:
    it.printer.sensor_enabled = bool(command.number("ENABLE", 1.0))


def _set_variable(it: Interpreter, command: Command) -> None:
    values = it.printer.variables.setdefault(command.params.get("MACRO", ""), {})
    values[command.params.get("VARIABLE", "").lower()] = command.params.get("VALUE", "")


# -- objects -----------------------------------------------------------------------------------------------


def _define_object(it: Interpreter, command: Command) -> None:
    if "NAME" not in command.params:
        return
    definition: dict[str, object] = {"name": command.params["NAME"].upper()}
    try:
        if "CENTER" in command.params:
            definition["center"] = json.loads(f"[{command.params['CENTER']}]")
        if "POLYGON" in command.params:
            definition["polygon"] = json.loads(command.params["POLYGON"])
    except ValueError:
        raise GcodeError(f"Malformed command '{command.line}'") from None
    it.printer.exclude.define(definition)


def _object_start(it: Interpreter, command: Command) -> None:
    it.printer.exclude.current = command.params.get("NAME", "").upper()


def _object_end(it: Interpreter, _command: Command) -> None:
    it.printer.exclude.current = None


def _exclude(it: Interpreter, command: Command) -> None:
    """Kept in the status only: the moves of an excluded object are printed all the same."""
    name = command.params.get("NAME", it.printer.exclude.current or "").upper()
    if name and {"name": name} not in it.printer.exclude.excluded:
        it.printer.exclude.excluded.append({"name": name})


# -- software ----------------------------------------------------------------------------------------------


def _restart(it: Interpreter, _command: Command) -> Steps:
    return _restart_steps(it, firmware=False)


def _firmware_restart(it: Interpreter, _command: Command) -> Steps:
    return _restart_steps(it, firmware=True)


def _restart_steps(it: Interpreter, *, firmware: bool) -> Steps:
    if it.not_ready is None:
        it.printer.toolhead.motors_off()
        it.printer.idle.touch(it.now(), it.now())
        yield from _drain(it)
        yield it.now() + it.printer.options.restart_delay
    it.restart(firmware)


def _m112(it: Interpreter, _command: Command) -> None:
    it.emergency("Shutdown due to M112 command")


def _m115(it: Interpreter, _command: Command) -> None:
    it.printer.respond("FIRMWARE_NAME:Klipper FIRMWARE_VERSION:v0.13.0-stand-in")


def _nothing(_it: Interpreter, _command: Command) -> None:
    """Known, and without effect on anything that a client sees."""


COMMANDS: dict[str, Handler] = {
    "G0": _g1,
    "G1": _g1,
    "G4": _g4,
    "G28": _g28,
    "G20": _inches,
    "G90": lambda it, _c: it.printer.moves.set_absolute_coordinates(True),
    "G91": lambda it, _c: it.printer.moves.set_absolute_coordinates(False),
    "G92": lambda it, c: it.printer.moves.set_position(c.numbers("XYZE")),
    "M82": lambda it, _c: it.printer.moves.set_absolute_extrude(True),
    "M83": lambda it, _c: it.printer.moves.set_absolute_extrude(False),
    "M114": _m114,
    "M220": _m220,
    "M221": _m221,
    "M400": _m400,
    "M18": _motors_off,
    "M84": _motors_off,
    "SET_GCODE_OFFSET": _set_gcode_offset,
    "SAVE_GCODE_STATE": lambda it, c: it.printer.moves.save(c.params.get("NAME", "default")),
    "RESTORE_GCODE_STATE": _restore_state,
    "SET_KINEMATIC_POSITION": _set_kinematic_position,
    "M104": _set_hotend,
    "M109": _wait_hotend,
    "M140": _set_bed,
    "M190": _wait_bed,
    "SET_HEATER_TEMPERATURE": _set_heater,
    "TEMPERATURE_WAIT": _temperature_wait,
    "TURN_OFF_HEATERS": _heaters_off,
    "M105": _m105,
    "M106": _fan,
    "M107": _fan_off,
    "SDCARD_PRINT_FILE": _print_file,
    "SDCARD_RESET_FILE": _reset_file,
    "M23": _select_file,
    "M24": _m24,
    "M25": _m25,
    "M27": _m27,
    "PAUSE": _pause,
    "PAUSE_BASE": _pause,
    "RESUME": _resume,
    "RESUME_BASE": _resume,
    "CANCEL_PRINT": _cancel,
    "CANCEL_PRINT_BASE": _cancel,
    "CLEAR_PAUSE": _clear_pause,
    "SET_PRINT_STATS_INFO": _print_stats_info,
    "M73": _m73,
    "M117": _m117,
    "M118": _m118,
    "RESPOND": _respond,
    "SET_IDLE_TIMEOUT": _set_idle_timeout,
    "SET_FILAMENT_SENSOR": _set_sensor,
    "SET_GCODE_VARIABLE": _set_variable,
    "EXCLUDE_OBJECT_DEFINE": _define_object,
    "EXCLUDE_OBJECT_START": _object_start,
    "EXCLUDE_OBJECT_END": _object_end,
    "EXCLUDE_OBJECT": _exclude,
    "RESTART": _restart,
    "FIRMWARE_RESTART": _firmware_restart,
    "M112": _m112,
    "M115": _m115,
    **dict.fromkeys(
        ("G21", "M21", "M110", "M204", "T0", "ACTIVATE_EXTRUDER", "SET_VELOCITY_LIMIT", "SET_PRESSURE_ADVANCE"),
        _nothing,
    ),
}
