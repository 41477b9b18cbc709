"""Klipper's heater names and the ones that every Obico payload uses, both ways (architecture.md, decision 4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent_core.model import Temperature
from moonraker_obico.objects import as_number, heater_names, sensor_names


def public_name(klipper_name: str) -> str | None:
    """`extruder` → `tool0`, `extruder1` → `tool1`, `heater_bed` → `bed`; other heaters and sensors keep their own
    name without the kind in front. None for names that begin with `_`: their owner hides them.
    """
    if klipper_name == "extruder":
        return "tool0"
    if klipper_name.startswith("extruder") and klipper_name[8:].isdigit():
        return "tool" + klipper_name[8:]
    if klipper_name == "heater_bed":
        return "bed"
    kind, _, own = klipper_name.partition(" ")
    name = own.strip() or kind
    if name.startswith("_"):
        return None
    return "chamber" if kind == "heater_generic" and name.lower() == "chamber" else name


def temperatures(status: Mapping[str, Mapping[str, Any]]) -> dict[str, Temperature]:
    """All heaters, then all sensors. A missing reading is None: 0 °C would look like a broken heater."""
    heaters = status.get("heaters", {})
    found: dict[str, Temperature] = {}
    for name in heater_names(heaters):
        public = public_name(name)
        if public is not None:
            reading = status.get(name, {})
            # A heater's target is 0 when off; None would say that it cannot be set.
            found[public] = Temperature(_degrees(reading), as_number(reading.get("target")) or 0.0)
    for name in sensor_names(heaters):
        public = public_name(name)
        if public is not None:
            found.setdefault(
                public if public not in found else f"{public}_sensor", Temperature(_degrees(status.get(name, {})))
            )
    return found


def klipper_names(heaters: Mapping[str, Any]) -> dict[str, str]:
    """Public name → Klipper's, for commands; Klipper's own names lead to themselves, so both are understood."""
    both: dict[str, str] = {}
    for name in heater_names(heaters):
        public = public_name(name)
        if public is not None:
            both[public] = name
        both[name] = name
    return both


def _degrees(reading: Mapping[str, Any]) -> float | None:
    value = as_number(reading.get("temperature"))
    return None if value is None else round(value, 2)
