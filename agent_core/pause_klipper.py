"""Klipper: its status objects to facts, plans to scripts (the nine steps of recordings/moonraker/README.md)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from agent_core.pause import MIN_EXTRUDE_TEMP, Machine, heater_shown, number

STATE_NAME = "obico_agent"
"""Of our SAVE_GCODE_STATE; PAUSE_STATE is Klipper's own."""
PROLONGED_IDLE = 24 * 3600.0
"""s; a pause of ours whose heaters are off is not ended by idle_timeout earlier. Renewed while the agent lives."""
WARM_MARGIN = 900.0
"""s beyond the user's own idle_timeout while a heater is on: time enough for us to switch it off and keep the motors
on; should the agent be dead, Klipper switches everything off then."""
_RETRACT_SPEED = 1800  # mm/min, as measured in case R1
_LIFT_SPEED = 600

Objects = Mapping[str, Mapping[str, Any]]


def _field(objects: Objects, name: str, key: str) -> Any:
    found = objects.get(name)
    return found.get(key) if isinstance(found, Mapping) else None


def _real(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


def _axis(objects: Objects, key: str, index: int) -> float | None:
    vector = _field(objects, "toolhead", key)
    return _real(vector[index]) if isinstance(vector, (list, tuple)) and len(vector) > index else None


def not_ready(objects: Objects) -> str | None:
    """Why Klipper cannot be commanded at all; comes before print_stats: "paused" in a shutdown is no pause."""
    if not objects:
        return "Moonraker or Klipper is not connected"
    state = _field(objects, "webhooks", "state")
    if state == "ready":
        return None
    words = str(_field(objects, "webhooks", "state_message") or "").strip().splitlines()
    return f"Klipper is not ready ({state})" + (f": {words[0]}" if words else "")


def print_state(objects: Objects) -> str:
    return str(_field(objects, "print_stats", "state") or "")


def is_paused_flag(objects: Objects) -> bool:
    return _field(objects, "pause_resume", "is_paused") is True


def is_printing(objects: Objects) -> bool:
    return not_ready(objects) is None and print_state(objects) == "printing"


def is_paused(objects: Objects) -> bool:
    """Both must say so: "ok" is no proof, and is_paused may be left over."""
    return not_ready(objects) is None and print_state(objects) == "paused" and is_paused_flag(objects)


def not_paused(objects: Objects) -> str | None:
    """Why the print is not paused (any more), in words; None if it is, be it by PAUSE or by M25."""
    why = not_ready(objects)
    if why is None and print_state(objects) != "paused":
        why = f"the printer is not paused any more (Klipper says {print_state(objects) or 'nothing'})"
    return why


def filename(objects: Objects) -> str:
    return str(_field(objects, "print_stats", "filename") or "")


def print_clock(objects: Objects) -> float | None:
    clock = _real(_field(objects, "print_stats", "total_duration"))
    return clock if clock is not None and clock >= 0 else None


def unhomed(objects: Objects) -> bool:
    """Whether an axis lost its homing; False where that is not known."""
    homed = _field(objects, "toolhead", "homed_axes")
    return isinstance(homed, str) and not set("xyz") <= set(homed.lower())


def heaters(objects: Objects) -> list[str]:
    """Names of the extruders, of the bed and of any other heater (`heater_generic chamber`)."""
    return sorted(
        name for name in objects if name == "heater_bed" or (name.startswith("extruder") and name[8:].isdigit())
        or name == "extruder" or name.startswith("heater_generic ")
    )  # fmt: skip


def targets(objects: Objects) -> dict[str, float]:
    """Of heaters that are on."""
    found = {name: _real(_field(objects, name, "target")) for name in heaters(objects)}
    return {name: target for name, target in found.items() if target is not None and target > 0}


def temperatures(objects: Objects) -> dict[str, float]:
    found = {name: _real(_field(objects, name, "temperature")) for name in heaters(objects)}
    return {name: actual for name, actual in found.items() if actual is not None}


def extrude_factor(objects: Objects) -> float:
    """By which Klipper multiplies each E (M221)."""
    factor = _real(_field(objects, "gcode_move", "extrude_factor"))
    return factor if factor is not None and factor > 0 else 1.0


def extruder_position(objects: Objects) -> float | None:
    """The active extruder's own position in mm: neither G92 nor SAVE/RESTORE_GCODE_STATE touch it."""
    return _axis(objects, "position", 3)


def idle_timeout(objects: Objects) -> float | None:
    """s; what is in force, else what is configured."""
    found = _real(_field(objects, "idle_timeout", "idle_timeout"))
    if found is None:
        found = _real(_setting(objects, "idle_timeout", "timeout"))
    return found if found is not None and found > 0 else None


def _setting(objects: Objects, section: str, key: str) -> Any:
    settings = _field(objects, "configfile", "settings")
    found = settings.get(section) if isinstance(settings, Mapping) else None
    return found.get(key) if isinstance(found, Mapping) else None


def machine(objects: Objects) -> Machine:
    """Facts for plan_pause and plan_resume; what is not known reads as the careful answer."""
    tool = str(_field(objects, "toolhead", "extruder") or "extruder")
    homed = _field(objects, "toolhead", "homed_axes")
    z, z_max = _axis(objects, "position", 2), _axis(objects, "axis_maximum", 2)
    least = _real(_setting(objects, tool, "min_extrude_temp"))
    return Machine(
        tool=tool,
        targets=targets(objects),
        temperatures=temperatures(objects),
        can_extrude=_field(objects, tool, "can_extrude") is True,
        min_extrude=MIN_EXTRUDE_TEMP if least is None else least,
        max_retract=_real(_setting(objects, tool, "max_extrude_only_distance")),
        z_homed=isinstance(homed, str) and "z" in homed and z is not None and z_max is not None,
        z=z,
        z_max=z_max,
    )


# --- scripts ------------------------------------------------------------------------------------------------------


def _kept(*lines: str) -> str:
    return "\n".join((f"SAVE_GCODE_STATE NAME={STATE_NAME}", *lines, f"RESTORE_GCODE_STATE NAME={STATE_NAME}"))


def repair() -> str:
    """To be sent after any error of a script below: a failing script leaves its modes behind (case 17)."""
    return f"RESTORE_GCODE_STATE NAME={STATE_NAME}"


def retract(length: float, factor: float) -> str:
    """`length` mm of filament really pulled, whatever M221 says; rounded towards zero, so that no limit is exceeded."""
    return _kept("M83", f"G1 E-{_e(length, factor)} F{_RETRACT_SPEED}")


def unretract(length: float, factor: float) -> str:
    return _kept("M83", f"G1 E{_e(length, factor)} F{_RETRACT_SPEED}")


def _e(length: float, factor: float) -> str:
    return number(math.floor(round(length / factor * 1e5, 3)) / 1e5)


def lift(height: float) -> str:
    return _kept("G91", f"G1 Z{number(height)} F{_LIFT_SPEED}")


def set_heaters(wanted: Mapping[str, float]) -> str:
    """Returns at once, unlike M109: the temperature is watched in the status."""
    return "\n".join(
        f"SET_HEATER_TEMPERATURE HEATER={heater_shown(name)} TARGET={number(to)}" for name, to in sorted(wanted.items())
    )


def heaters_off(names: Iterable[str]) -> str:
    return set_heaters(dict.fromkeys(names, 0.0))


def set_idle_timeout(seconds: float) -> str:
    return f"SET_IDLE_TIMEOUT TIMEOUT={number(seconds)}"
