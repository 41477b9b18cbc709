"""What the agent reports of its printer, out of Klipper's status and what Moonraker knows of the file; pure.

Sources and rules: payload-mapping.md §3 to §7, column M with its *Better* column.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from agent_core.model import FilamentNeed, Job, Phase, PrinterReport, PrintObjects, Progress
from moonraker_obico.heaters import temperatures
from moonraker_obico.objects import LAYER_MACRO, as_number, as_whole, number, text
from moonraker_obico.objects import field as raw

if TYPE_CHECKING:
    from agent_core.gcode.index import GCodeIndex

DEFAULT_DIAMETER = 1.75
"""mm of filament; Klipper's own requirement is that the configuration names it, this is for when we cannot see it."""


_OBJECT_LIMIT = 100
"""Objects of a plate that are named; a full plate has some dozens."""
_NAME_LIMIT = 80


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What is known of the file at hand beside the printer's status; fetched once per print."""

    filename: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    average_time: float | None = None
    last_time: float | None = None
    user: str | None = None
    filament_diameter: float = DEFAULT_DIAMETER

    def value(self, key: str) -> float | None:
        return as_number(self.metadata.get(key))


def ready_report(
    status: Mapping[str, Mapping[str, Any]],
    phase: Phase,
    facts: FileFacts,
    settled_z: float | None,
    index: GCodeIndex | None = None,
) -> PrinterReport:
    """The report of a Klipper that is ready. `index` of the file in print, where the printer itself does not count its
    layers; `settled_z`: the height without z-hops, for an estimate without either."""
    filename = text(status, "print_stats", "filename")
    facts = facts if facts.filename == filename else FileFacts(filename)
    failed = text(status, "print_stats", "state") == "error"
    layer, layers = _layers(status, facts, settled_z, index) if phase.active else (None, None)
    return PrinterReport(
        phase=phase,
        error=(text(status, "print_stats", "message") or None) if failed else None,
        error_flag=failed,
        sd_ready="virtual_sdcard" in status,
        job=job(facts),
        progress=_progress(status, phase, facts),
        temperatures=temperatures(status),
        z=_z(status, facts),
        layer=layer,
        total_layers=layers,
        object_height=facts.value("object_height"),
        speed_factor=number(status, "gcode_move", "speed_factor"),
        flow_factor=number(status, "gcode_move", "extrude_factor"),
        fan_speed=number(status, "fan", "speed"),
        message=text(status, "display_status", "message") or None,
        objects=_objects(status) if phase.active else None,
    )


def counts_layers(status: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether the file itself tells its layers (SET_PRINT_STATS_INFO, our own macro)."""
    info = raw(status, "print_stats", "info")
    told = as_whole(info.get("current_layer")) if isinstance(info, dict) else None
    return bool(told or as_whole(raw(status, LAYER_MACRO, "current_layer")))


def _objects(status: Mapping[str, Mapping[str, Any]]) -> PrintObjects | None:
    """What [exclude_object] knows of the file; None if the file names no objects."""
    listed, excluded = raw(status, "exclude_object", "objects"), raw(status, "exclude_object", "excluded_objects")
    if not isinstance(listed, list) or not listed:
        return None
    return PrintObjects(
        text(status, "exclude_object", "current_object")[:_NAME_LIMIT] or None, _names(listed), _names(excluded)
    )


def _names(listed: Any) -> tuple[str, ...]:
    names = [each.get("name") for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    return tuple(name[:_NAME_LIMIT] for name in names if isinstance(name, str))[:_OBJECT_LIMIT]


def stopped_report(status: Mapping[str, Mapping[str, Any]], reason: str) -> PrinterReport:
    """The report of a Klipper that has shut down or cannot start: it says why, and nothing can be asked of it."""
    return PrinterReport(
        phase=Phase.ERROR,
        error=reason or None,
        printing=False,
        ready=False,
        error_flag=True,
        closed_or_error=True,
        temperatures=temperatures(status),
    )


def job(facts: FileFacts) -> Job:
    if not facts.filename:
        return Job()
    name = facts.filename.rsplit("/", 1)[-1]
    modified = facts.value("modified")
    return Job(
        name=name,
        path=facts.filename,
        display=name,
        origin="local",
        size=as_whole(facts.metadata.get("size")),
        date=None if modified is None else int(modified),
        user=facts.user,
        estimated_print_time=facts.value("estimated_time"),
        average_print_time=facts.average_time,
        last_print_time=facts.last_time,
        filament=_filament(facts),
        signature=None if modified is None else f"ts:{modified}",
    )


def fraction_done(status: Mapping[str, Mapping[str, Any]], facts: FileFacts) -> float | None:
    """0 to 1 of the bytes that are G-code: thumbnails at the start would count as printed otherwise."""
    start, end = facts.value("gcode_start_byte"), facts.value("gcode_end_byte")
    position = number(status, "virtual_sdcard", "file_position")
    if start is not None and end is not None and position is not None and end > start:
        return min(1.0, max(0.0, (position - start) / (end - start)))
    share = number(status, "virtual_sdcard", "progress")
    return None if share is None else min(1.0, max(0.0, share))


def time_left(
    *, done: float | None, printed: float | None, estimated: float | None, speed: float | None
) -> tuple[float | None, str | None]:
    """(seconds left, its origin in OctoPrint's words).

    `done` 0 to 1, `printed` seconds of printing, `estimated` the slicer's total, `speed` the M220 factor. The slicer is
    trusted at first, the printer's own pace more and more as the print goes on.
    """
    paced = printed / done - printed if printed and done is not None and done > 0.001 else None
    if estimated is None or estimated <= 0:
        return (None, None) if paced is None else (paced, "linear")
    sliced = estimated / (speed if speed and speed > 0 else 1.0) - (printed or 0.0)
    if paced is None or done is None or done < 0.1:
        return max(1.0, sliced), "analysis"
    if sliced <= 0:
        return max(1.0, paced), "linear"
    return max(1.0, (1.0 - done) * sliced + done * paced), "mixed-analysis"


def _progress(status: Mapping[str, Mapping[str, Any]], phase: Phase, facts: FileFacts) -> Progress:
    state = text(status, "print_stats", "state")
    if not phase.active and state != "complete":
        return Progress(filepos=as_whole(raw(status, "virtual_sdcard", "file_position")) or 0)
    done = 1.0 if state == "complete" else fraction_done(status, facts)
    printed = number(status, "print_stats", "print_duration")
    left, origin = (
        (0.0, None)
        if state == "complete"
        else time_left(
            done=_slicers_share(status) or done,
            printed=printed,
            estimated=facts.value("estimated_time"),
            speed=number(status, "gcode_move", "speed_factor"),
        )
    )
    used = number(status, "print_stats", "filament_used")
    return Progress(
        completion=None if done is None else round(done * 100.0, 2),
        filepos=as_whole(raw(status, "virtual_sdcard", "file_position")) or 0,
        print_time=number(status, "print_stats", "total_duration"),
        print_time_includes_pauses=True,
        print_time_left=None if left is None else round(left),
        print_time_left_origin=origin,
        filament_used=None if used is None else max(0.0, used),
    )


def with_final_figures(last: PrinterReport, status: Mapping[str, Mapping[str, Any]]) -> PrinterReport:
    """The last report of a print that has ended, with the filament and time that Klipper keeps of it until the next one
    begins; an SDCARD_RESET_FILE in the macro that ended it has cleared them."""
    if text(status, "print_stats", "state") not in {"complete", "cancelled", "error"}:
        return last
    used, spent = number(status, "print_stats", "filament_used"), number(status, "print_stats", "total_duration")
    if used is None or not spent:
        return last
    # Less than before where the end retracts; below 0 where nothing but that was done.
    progress = replace(
        last.progress, filament_used=max(0.0, used), print_time=spent, print_time_includes_pauses=True
    )
    return replace(last, progress=progress)


def _slicers_share(status: Mapping[str, Mapping[str, Any]]) -> float | None:
    """0 to 1 of the time, by the file's M73; None if it has none: Klipper then shows the share of the bytes again."""
    shown, of_bytes = number(status, "display_status", "progress"), number(status, "virtual_sdcard", "progress")
    if shown is None or of_bytes is None or abs(shown - of_bytes) < 1e-6:
        return None
    return min(1.0, max(0.0, shown))


def _filament(facts: FileFacts) -> dict[str, FilamentNeed]:
    length = facts.value("filament_total")
    if length is None:
        return {}
    return {"tool0": FilamentNeed(length, round(length * math.pi * (facts.filament_diameter / 2.0) ** 2 / 1000.0, 2))}


def height(status: Mapping[str, Mapping[str, Any]]) -> float | None:
    """mm of the G-code position, which leaves offsets out."""
    position = raw(status, "gcode_move", "gcode_position")
    return as_number(position[2]) if isinstance(position, list) and len(position) > 2 else None


def _z(status: Mapping[str, Mapping[str, Any]], facts: FileFacts) -> float | None:
    """None above the object (parked, lifted): 0, as the public agent says then, would be a lie."""
    z, top = height(status), facts.value("object_height")
    return None if z is None or (top is not None and z > top) else round(z, 3)


def _layers(
    status: Mapping[str, Mapping[str, Any]], facts: FileFacts, settled_z: float | None, index: GCodeIndex | None
) -> tuple[int | None, int | None]:
    """(current, total), both or neither (payload-mapping.md §6)."""
    info = raw(status, "print_stats", "info")
    info = info if isinstance(info, dict) else {}
    if index is not None and index.layer_count and not counts_layers(status):
        position = as_whole(raw(status, "virtual_sdcard", "file_position"))
        return (None, None) if position is None else (index.at(position).layer, index.layer_count)
    first, each, top = facts.value("first_layer_height"), facts.value("layer_height"), facts.value("object_height")
    total = as_whole(info.get("total_layer")) or as_whole(facts.metadata.get("layer_count"))
    if not total and first is not None and each and top is not None:
        total = max(0, math.ceil(round((top - first) / each + 1, 3)))
    current = as_whole(info.get("current_layer")) or as_whole(raw(status, LAYER_MACRO, "current_layer")) or None
    if current is None and settled_z is not None and first is not None and each and total:
        current = min(total, max(0, math.ceil(round((settled_z - first) / each + 1, 3))))
    if not total or current is None or not number(status, "print_stats", "print_duration"):
        return None, None
    return current, total
