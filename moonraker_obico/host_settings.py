"""The `settings` block's sources: what Moonraker and the operating system say of this host (payload-mapping.md §8)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moonraker_obico.objects import as_number

_PROFILE_LIMIT = 50
_PLUGIN_LIMIT = 100
_NO_PLUGINS = frozenset({"system", "moonraker", "klipper"})


def temperature_profiles(presets: Any) -> tuple[Mapping[str, Any], ...]:
    """Mainsail's presets that only set temperatures: `{name, heater_bed, extruder}`, what is not set left out.

    `presets`: the result of server.database.get_item for mainsail, presets; None if there is none.
    """
    value = presets.get("value") if isinstance(presets, dict) else None
    inner = value.get("presets") if isinstance(value, dict) else None
    entries = inner if isinstance(inner, dict) else {}
    profiles = []
    for entry in list(entries.values())[:_PROFILE_LIMIT]:
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str) or entry.get("gcode"):
            continue
        profile: dict[str, Any] = {"name": entry["name"]}
        values = entry.get("values")
        for heater in ("heater_bed", "extruder"):
            setting = values.get(heater) if isinstance(values, dict) else None
            if isinstance(setting, dict) and setting.get("bool") is not False:
                degrees = as_number(setting.get("value"))
                if degrees is not None:
                    profile[heater] = degrees
        if len(profile) > 1:
            profiles.append(profile)
    return tuple(profiles)


def installed_plugins(update_status: Any) -> tuple[str, ...]:
    """Names of what the update manager looks after, without what every host has."""
    parts = update_status.get("version_info") if isinstance(update_status, dict) else None
    return tuple(name for name in parts if name not in _NO_PLUGINS)[:_PLUGIN_LIMIT] if isinstance(parts, dict) else ()


def printer_metadata(printer_info: Any) -> Mapping[str, Any] | None:
    """Klipper's version and the host's processor; no paths."""
    if not isinstance(printer_info, dict):
        return None
    return {
        "FIRMWARE_NAME": "Klipper",
        "FIRMWARE_VERSION": str(printer_info.get("software_version") or ""),
        "HOST_CPU": str(printer_info.get("cpu_info") or ""),
    }


def platform_uname() -> tuple[str, ...]:
    """The fields of uname, then the board's model or "" (wire-protocol.md §3.4)."""
    name = os.uname()
    try:
        model = Path("/proc/device-tree/model").read_text(encoding="utf-8", errors="replace").rstrip("\0\n")
    except OSError:
        model = ""
    return (name.sysname, name.nodename, name.release, name.version, name.machine, model)
