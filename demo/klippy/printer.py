"""One printer as klippy knows it between two restarts: all models together, and their status objects."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from demo.klippy.errors import GcodeError
from demo.klippy.gcode_move import GcodeMove
from demo.klippy.idle import IdleTimeout
from demo.klippy.motion import Position, Toolhead
from demo.klippy.options import Options
from demo.klippy.print_job import PauseResume, PrintStats, VirtualSdcard
from demo.klippy.printer_cfg import configfile_status
from demo.klippy.thermal import AMBIENT, Heater

MIN_EXTRUDE_TEMP = 170.0
M73_TIMEOUT = 5.0  # s after which an M73 progress is forgotten while nothing prints
MAX_OBJECTS = 500  # of EXCLUDE_OBJECT_DEFINE


@dataclass(slots=True)
class Physical:
    """What a restart of the software does not change."""

    hotend: Heater
    bed: Heater
    filament_present: bool = True


def new_physical(speed: float) -> Physical:
    """Heaters as fast as in the recordings: 6 °C/s and 3 °C/s at speed 1."""
    return Physical(
        Heater("extruder", 6.0, 38.0, 280.0, speed),
        Heater("heater_bed", 3.0, 127.0, 130.0, speed),
    )


@dataclass(slots=True)
class ExcludeObject:
    objects: list[dict[str, object]] = field(default_factory=list)
    excluded: list[dict[str, str]] = field(default_factory=list)
    current: str | None = None

    def define(self, definition: dict[str, object]) -> None:
        if len(self.objects) < MAX_OBJECTS:
            self.objects.append(definition)

    def reset(self) -> None:
        self.objects, self.excluded, self.current = [], [], None

    def status(self) -> dict[str, object]:
        return {"objects": self.objects, "excluded_objects": self.excluded, "current_object": self.current}


class Display:
    """display_status: M117 and M73."""

    def __init__(self) -> None:
        self.message: str | None = None
        self._progress: float | None = None
        self._expires = 0.0

    def set_progress(self, progress: float, now: float) -> None:
        self._progress = min(1.0, max(0.0, progress))
        self._expires = now + M73_TIMEOUT

    def status(self, now: float, idle_state: str, file_progress: float) -> dict[str, object]:
        if self._progress is not None and now > self._expires and idle_state != "Printing":
            self._progress = None
        progress = file_progress if self._progress is None else self._progress
        return {"progress": progress, "message": self.message}


class Printer:
    """Everything that RESTART sets back. `clock` gives monotonic seconds, `respond` sends a raw G-code answer."""

    def __init__(
        self,
        options: Options,
        physical: Physical,
        speed: float,
        clock: Callable[[], float],
        respond: Callable[[str], None],
    ) -> None:
        self.options = options
        self.physical = physical
        self.clock = clock
        self.respond = respond
        self.started = clock()
        self.toolhead = Toolhead(options.machine, speed)
        self.moves = GcodeMove(self._move)
        self.stats = PrintStats(self.moves)
        self.sdcard = VirtualSdcard(options.gcodes, self.stats, respond)
        self.pause_resume = PauseResume(self.sdcard, self.moves, self.info)
        self.idle = IdleTimeout(options.idle_timeout)
        self.display = Display()
        self.exclude = ExcludeObject()
        self.fan_speed = 0.0
        self.sensor_enabled = True
        self.variables: dict[str, dict[str, object]] = {"PAUSE": {"extruder_temp": 0}}
        self._chamber_seen = False

    def info(self, text: str) -> None:
        self.respond("// " + "\n// ".join(line.strip() for line in text.strip().split("\n")))

    def echo_error(self, text: str) -> None:
        lines = [line.strip() for line in text.strip().split("\n")]
        if len(lines) > 1:
            self.info("\n".join(lines))
        self.respond(f"!! {lines[0]}")

    def sensors_ready(self, now: float) -> bool:
        """False for a moment after start-up, when every reading is still 0."""
        return now >= self.started + self.options.sensor_time

    def can_extrude(self, now: float) -> bool:
        return self.sensors_ready(now) and self.physical.hotend.temperature(now) >= MIN_EXTRUDE_TEMP

    def _move(self, target: Position, velocity: float) -> None:
        now = self.clock()
        self.toolhead.move(target, velocity, now, can_extrude=self.can_extrude(now))
        self.idle.touch(now, self.toolhead.queue_end)

    def heater(self, name: str) -> Heater:
        """Raises GcodeError for an unknown name."""
        for heater in (self.physical.hotend, self.physical.bed):
            if heater.name == name:
                return heater
        raise GcodeError(f"The value '{name}' is not valid for HEATER")

    def set_target(self, heater: Heater, target: float) -> None:
        now = self.clock()
        heater.set_target(target, now)
        self.idle.touch(now, self.toolhead.queue_end)

    def heaters_off(self) -> None:
        for heater in (self.physical.hotend, self.physical.bed):
            self.set_target(heater, 0.0)

    def temperature_line(self) -> str:
        """The answer to M105."""
        now = self.clock()
        bed, hotend = self.physical.bed, self.physical.hotend
        return f"B:{bed.temperature(now):.1f} /{bed.target:.1f} T0:{hotend.temperature(now):.1f} /{hotend.target:.1f}"

    # -- status objects ------------------------------------------------------------------------------------

    def object_names(self) -> list[str]:
        macros = ["gcode_macro _CLIENT_VARIABLE", "gcode_macro PAUSE", "gcode_macro RESUME", "gcode_macro CANCEL_PRINT"]
        if not self.options.client_macros:
            macros = ["gcode_macro _MARK"]
        return [
            "gcode", "webhooks", "configfile", "mcu", *macros, "heaters", "heater_bed", "temperature_sensor chamber",
            "fan", "pause_resume", "filament_switch_sensor runout", "gcode_move", "print_stats", "virtual_sdcard",
            "display_status", "exclude_object", "idle_timeout", "gcode_macro TIMELAPSE_TAKE_FRAME",
            "gcode_macro PRINT_START", "gcode_macro PRINT_END", "query_endstops", "stepper_enable", "motion_report",
            "toolhead", "extruder", "system_stats", "manual_probe",
        ]  # fmt: skip

    def status(self, name: str, now: float) -> dict[str, object] | None:
        """The object's whole state, None if klippy has no such object."""
        method = _STATUS.get(name)
        if method is not None:
            return method(self, now)
        if name not in self.object_names():
            return None
        if name.startswith("gcode_macro "):
            return dict(self.variables.get(name.removeprefix("gcode_macro "), {}))
        return {}

    def _toolhead(self, now: float) -> dict[str, object]:
        head, machine = self.toolhead, self.options.machine
        return {
            "homed_axes": head.homed,
            "axis_minimum": [*machine.axis_minimum, 0],
            "axis_maximum": [*machine.axis_maximum, 0],
            "print_time": max(0.0, head.queue_end - self.started),
            "stalls": head.stalls,
            "estimated_print_time": now - self.started,
            "extruder": "extruder",
            "position": list(head.position),
            "max_velocity": machine.max_velocity,
            "max_accel": 2000.0,
            "minimum_cruise_ratio": 0.5,
            "square_corner_velocity": 5.0,
            "extra_axes": {"extruder": 3},
        }

    def _gcode_move(self, _now: float) -> dict[str, object]:
        state = self.moves.state
        return {
            "speed_factor": state.speed_factor,
            "speed": self.moves.gcode_speed(),
            "extrude_factor": state.extrude_factor,
            "absolute_coordinates": state.absolute_coordinates,
            "absolute_extrude": state.absolute_extrude,
            "homing_origin": list(state.homing_origin),
            "position": list(state.last_position),
            "gcode_position": list(self.moves.gcode_position()),
            "axis_map": {"X": 0, "Y": 1, "Z": 2, "E": 3},
        }

    def _motion_report(self, now: float) -> dict[str, object]:
        position, velocity, extruder_velocity = self.toolhead.live(now)
        return {
            "live_position": list(position),
            "live_velocity": velocity,
            "live_extruder_velocity": extruder_velocity,
            "steppers": ["extruder", "stepper_x", "stepper_y", "stepper_z"],
            "trapq": ["extruder", "toolhead"],
        }

    def _heater(self, heater: Heater, now: float) -> dict[str, object]:
        temperature = round(heater.temperature(now), 2) if self.sensors_ready(now) else 0.0
        return {"temperature": temperature, "target": heater.target, "power": heater.power(now)}

    def _extruder(self, now: float) -> dict[str, object]:
        return {
            **self._heater(self.physical.hotend, now),
            "can_extrude": self.can_extrude(now),
            "pressure_advance": 0.0,
            "smooth_time": 0.04,
            "motion_queue": None,
        }

    def _chamber(self, now: float) -> dict[str, object]:
        if not self.sensors_ready(now):
            return {"temperature": 0.0, "measured_min_temp": 99999999.0, "measured_max_temp": 0.0}
        return {"temperature": AMBIENT, "measured_min_temp": AMBIENT, "measured_max_temp": AMBIENT}

    def _filament(self, now: float) -> dict[str, object]:
        detected = self.physical.filament_present and self.sensors_ready(now)
        return {"filament_detected": detected, "enabled": self.sensor_enabled}

    def _heaters(self, _now: float) -> dict[str, object]:
        return {
            "available_heaters": ["heater_bed", "extruder"],
            "available_sensors": ["heater_bed", "temperature_sensor chamber", "extruder"],
            "available_monitors": [],
        }

    def _system_stats(self, _now: float) -> dict[str, object]:
        # The real one samples once a second too.
        return {"sysload": round(os.getloadavg()[0], 2), "cputime": round(time.process_time(), 1), "memavail": 0}


_STATUS: dict[str, Callable[[Printer, float], dict[str, object]]] = {
    "print_stats": lambda p, now: p.stats.status(now),
    "virtual_sdcard": lambda p, _now: p.sdcard.status(),
    "display_status": lambda p, now: p.display.status(now, p.idle.state, p.sdcard.progress()),
    "idle_timeout": lambda p, now: p.idle.status(now),
    "pause_resume": lambda p, _now: {"is_paused": p.pause_resume.is_paused},
    "exclude_object": lambda p, _now: p.exclude.status(),
    "fan": lambda p, _now: {"speed": p.fan_speed, "rpm": None},
    "heater_bed": lambda p, now: p._heater(p.physical.bed, now),
    "query_endstops": lambda _p, _now: {"last_query": {}},
    "manual_probe": lambda _p, _now: {
        "is_active": False, "z_position": None, "z_position_lower": None, "z_position_upper": None,
    },
    "configfile": lambda p, _now: configfile_status(p.options),
    "mcu": lambda _p, _now: {"mcu_version": "v0.13.0-stand-in", "mcu_build_versions": "", "last_stats": {}},
    "toolhead": Printer._toolhead,
    "gcode_move": Printer._gcode_move,
    "motion_report": Printer._motion_report,
    "extruder": Printer._extruder,
    "temperature_sensor chamber": Printer._chamber,
    "filament_switch_sensor runout": Printer._filament,
    "heaters": Printer._heaters,
    "system_stats": Printer._system_stats,
}  # fmt: skip
