"""The control channel: tests and the demo act the printer's misfortunes out, and read its true state.

One JSON object a line, `{"id", "method", "params"}`; answered by `{"id", "result"}` or `{"id", "error"}`.
`demo/klippy_control.py` is the client and documents the methods.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from demo.klippy.host import Host
from demo.klippy.interpreter import MAX_HISTORY, Obstacle

Method = Callable[[dict[str, Any]], Any]


class ControlError(Exception):
    """A control request that makes no sense; the text says why."""


class Control:
    """Carries control requests out. `drop` closes klippy's connections without a word."""

    def __init__(self, host: Host, drop: Callable[[], None]) -> None:
        self._host = host
        self._methods: dict[str, Method] = {
            "state": lambda _p: self._state(),
            "history": self._history,
            "shutdown": lambda p: host.shutdown(_text(p, "reason", "MCU 'mcu' shutdown: Timer too close")),
            "lose_mcu": lambda _p: host.lose_mcu(),
            "return_mcu": lambda _p: host.return_mcu(),
            "config_error": self._config_error,
            "drop_connection": lambda _p: drop(),
            "set_temperature": self._set_temperature,
            "set_speed": self._set_speed,
            "filament": self._filament,
            "refuse": self._refuse,
            "hold": self._hold,
            "block": self._block,
            "release": lambda _p: host.obstacles.release(),
            "script": self._script,
        }

    def handle(self, message: object) -> dict[str, Any]:
        """One request, and its answer."""
        if not isinstance(message, dict):
            return {"id": None, "error": "A request is a JSON object"}
        params = message.get("params") or {}
        method = self._methods.get(str(message.get("method")))
        try:
            if method is None or not isinstance(params, dict):
                raise ControlError(f"No such method; known are {', '.join(self._methods)}")
            return {"id": message.get("id"), "result": method(params)}
        except ControlError as error:
            return {"id": message.get("id"), "error": str(error)}

    def _state(self) -> dict[str, Any]:
        host = self._host
        now = host.clock()
        printer = host.printer
        state = printer.moves.state
        return {
            "state": host.state,
            "message": host.message,
            "online": host.online,
            "locked": host.locked(),
            "blocked": host.obstacles.blocked,
            "held": host.obstacles.held,
            "moving": printer.toolhead.busy(now),
            "position": list(printer.toolhead.position),
            "live_position": list(printer.toolhead.live(now)[0]),
            "gcode_position": list(printer.moves.gcode_position()),
            "homed_axes": printer.toolhead.homed,
            "absolute_coordinates": state.absolute_coordinates,
            "absolute_extrude": state.absolute_extrude,
            "speed": printer.moves.gcode_speed(),
            "speed_factor": state.speed_factor,
            "extrude_factor": state.extrude_factor,
            "homing_origin": list(state.homing_origin),
            "print_state": printer.stats.state,
            "print_message": printer.stats.message,
            "filename": printer.stats.filename,
            "current_layer": printer.stats.current_layer,
            "is_paused": printer.pause_resume.is_paused,
            "file_position": printer.sdcard.position,
            "file_size": printer.sdcard.size,
            "progress": printer.sdcard.progress(),
            "idle_state": printer.idle.state,
            "idle_timeout": printer.idle.timeout,
            "extruder": {"temperature": host.physical.hotend.temperature(now), "target": host.physical.hotend.target},
            "heater_bed": {"temperature": host.physical.bed.temperature(now), "target": host.physical.bed.target},
            "fan": printer.fan_speed,
            "executed": host.interpreter.executed,
        }

    def _history(self, params: dict[str, Any]) -> list[dict[str, Any]]:
        limit = max(0, min(MAX_HISTORY, int(_number(params, "limit", 100.0))))
        return [asdict(line) for line in list(self._host.interpreter.history)[-limit:]] if limit else []

    def _config_error(self, params: dict[str, Any]) -> None:
        self._host.config_error = _text(params, "message", "") or None

    def _set_temperature(self, params: dict[str, Any]) -> None:
        name = _text(params, "heater", "")
        heaters = {heater.name: heater for heater in (self._host.physical.hotend, self._host.physical.bed)}
        if name not in heaters:
            raise ControlError(f"No such heater; known are {', '.join(heaters)}")
        heaters[name].force(_number(params, "value"), self._host.clock())

    def _set_speed(self, params: dict[str, Any]) -> None:
        speed = _number(params, "speed")
        if speed <= 0.0:
            raise ControlError("speed must be above 0")
        self._host.set_speed(speed)

    def _filament(self, params: dict[str, Any]) -> None:
        if params.get("present"):
            self._host.physical.filament_present = True
        else:
            self._host.filament_runout()

    def _refuse(self, params: dict[str, Any]) -> None:
        obstacles = self._host.obstacles
        if len(obstacles.refusals) >= 100:
            raise ControlError("100 refusals are enough")
        message, count = _text(params, "message", "Refused by the test"), int(_number(params, "count", 1.0))
        obstacles.refusals.append(Obstacle(_pattern(params), message, count))

    def _hold(self, params: dict[str, Any]) -> None:
        self._host.obstacles.held = False
        self._host.obstacles.hold = _pattern(params)

    def _block(self, params: dict[str, Any]) -> None:
        self._host.obstacles.block = _pattern(params)

    def _script(self, params: dict[str, Any]) -> None:
        self._host.run(_text(params, "script", ""), lambda _error: None)


def _text(params: dict[str, Any], key: str, default: str) -> str:
    value = params.get(key, default)
    if not isinstance(value, str):
        raise ControlError(f"{key} must be a text")
    return value


def _number(params: dict[str, Any], key: str, default: float | None = None) -> float:
    value = params.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ControlError(f"{key} must be a number")
    return float(value)


def _pattern(params: dict[str, Any]) -> re.Pattern[str]:
    try:
        return re.compile(_text(params, "pattern", ""))
    except re.error as error:
        raise ControlError(f"pattern is no regular expression: {error}") from None
