"""Klipper's status objects: which fields are wanted, how updates are merged, and how values are read from them.

A status is `{object: {field: value}}`; updates carry changed fields only (recordings/moonraker/README.md,
"Connecting").
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

Status = dict[str, dict[str, Any]]

TIMELAPSE_MACRO = "gcode_macro TIMELAPSE_TAKE_FRAME"
LAYER_MACRO = "gcode_macro _OBICO_LAYER_CHANGE"
LINK_MACRO = "gcode_macro _OBICO_LINK_STATUS"

_WANTED: Mapping[str, tuple[str, ...]] = {
    "webhooks": ("state", "state_message"),
    "print_stats": (
        "state", "filename", "message", "info", "total_duration", "print_duration", "filament_used",
    ),
    "virtual_sdcard": ("progress", "is_active", "file_position", "file_path"),
    "display_status": ("message", "progress"),
    "exclude_object": ("current_object", "excluded_objects", "objects"),
    "pause_resume": ("is_paused",),
    "idle_timeout": ("state", "printing_time", "idle_timeout"),
    "toolhead": ("homed_axes", "extruder", "axis_maximum", "position"),
    "gcode_move": ("speed_factor", "extrude_factor", "gcode_position"),
    "fan": ("speed",),
    "heaters": ("available_heaters", "available_sensors"),
    TIMELAPSE_MACRO: ("is_paused",),
    LAYER_MACRO: ("current_layer",),
    LINK_MACRO: ("is_linked", "connected"),
}  # fmt: skip
"""What reports and pausing need (klipper_api.OBJECTS), by name: other fields, as toolhead.estimated_print_time,
change at each tick and would wake us for nothing.
"""

_SENSOR_LIMIT = 40
"""Heaters and sensors that are followed; the largest known machines have about 20."""

_FILAMENT_SENSORS = 16
"""Filament sensors that are followed: one for each tool of the largest tool changers."""

_LARGEST = 1e300
"""No quantity of a printer comes near; far larger whole numbers are valid JSON, and break arithmetic with floats."""


def subscription(
    available: Iterable[str], heaters: Mapping[str, Any], *, temperatures: bool = True
) -> dict[str, list[str]]:
    """What to subscribe to, of the objects that this Klipper has; `heaters` is its object of that name.

    `temperatures` False leaves them out: a real sensor reads a little different at each tick.
    """
    known = list(dict.fromkeys(available))
    wanted = {name: list(fields) for name, fields in _WANTED.items() if name in known}
    for name in [name for name in known if is_filament_sensor(name)][:_FILAMENT_SENSORS]:
        wanted[name] = ["filament_detected", "enabled"]
    for name in heater_names(heaters):
        wanted[name] = [*(["temperature"] if temperatures else []), "target"]
        if name.startswith("extruder"):
            wanted[name].append("can_extrude")
    if temperatures:
        for name in sensor_names(heaters):
            wanted.setdefault(name, ["temperature"])
    return wanted


def is_filament_sensor(name: str) -> bool:
    return name.startswith(("filament_switch_sensor ", "filament_motion_sensor "))


def readings(heaters: Mapping[str, Any]) -> dict[str, list[str]]:
    """What to query for the temperatures alone."""
    return {name: ["temperature"] for name in [*heater_names(heaters), *sensor_names(heaters)]}


def heater_names(heaters: Mapping[str, Any]) -> list[str]:
    return _names(heaters.get("available_heaters"))


def sensor_names(heaters: Mapping[str, Any]) -> list[str]:
    """Sensors that heat nothing. `temperature_fan` is left out: it is a fan's own control (payload-mapping.md §7)."""
    return [name for name in _names(heaters.get("available_sensors")) if name.startswith("temperature_sensor ")]


def _names(value: Any) -> list[str]:
    if not isinstance(value, list):
        return []
    return [name for name in value if isinstance(name, str)][:_SENSOR_LIMIT]


def merge(status: Status, update: Any) -> None:
    """Takes an update's fields over, in place; anything that has not the shape of a status is left out."""
    if not isinstance(update, dict):
        return
    for name, fields in update.items():
        if not isinstance(fields, dict):
            continue
        known = status.get(name)
        if known is None:
            status[name] = dict(fields)
        else:
            known.update(fields)


def field(status: Mapping[str, Mapping[str, Any]], name: str, key: str) -> Any:
    obj = status.get(name)
    return None if obj is None else obj.get(key)


def number(status: Mapping[str, Mapping[str, Any]], name: str, key: str) -> float | None:
    return as_number(field(status, name, key))


def text(status: Mapping[str, Mapping[str, Any]], name: str, key: str) -> str:
    value = field(status, name, key)
    return value if isinstance(value, str) else ""


def as_number(value: Any) -> float | None:
    """A finite number, else None (a payload must be JSON without NaN)."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    # First the range: a whole number may be too large to be asked whether it is finite.
    return value if abs(value) < _LARGEST and math.isfinite(value) else None


def as_whole(value: Any) -> int | None:
    number_ = as_number(value)
    return None if number_ is None else int(number_)


def first_line(value: Any) -> str:
    """The first line with text in it; Klipper's messages go on with advice about restarting."""
    if isinstance(value, str):
        for line in value.splitlines():
            if line.strip():
                return line.strip()[:300]
    return ""
