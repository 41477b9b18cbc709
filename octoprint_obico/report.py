"""One look at OctoPrint -> a PrinterReport (payload-mapping.md, column O with its *Better* column).

Imports neither OctoPrint nor anything that does I/O. `Reading` is what the plugin reads off OctoPrint in one look.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from agent_core.gcode.index import GCodeIndex
from agent_core.model import (
    FilamentNeed,
    Job,
    Phase,
    PrinterReport,
    Progress,
    Temperature,
)

_PHASES = {
    "NONE": Phase.OFFLINE,
    "OFFLINE": Phase.OFFLINE,
    "CLOSED": Phase.OFFLINE,
    "CLOSED_WITH_ERROR": Phase.OFFLINE,
    "ERROR": Phase.ERROR,
    "OPEN_SERIAL": Phase.CONNECTING,
    "DETECT_SERIAL": Phase.CONNECTING,
    "DETECTING": Phase.CONNECTING,
    "CONNECTING": Phase.CONNECTING,
    "OPERATIONAL": Phase.OPERATIONAL,
    # A transfer to the printer's SD card: nothing is printed, and nothing can be started either.
    "TRANSFERING_FILE": Phase.OPERATIONAL,
    "TRANSFERRING_FILE": Phase.OPERATIONAL,
    "STARTING": Phase.STARTING,
    "PRINTING": Phase.PRINTING,
    "PAUSING": Phase.PAUSING,
    "PAUSED": Phase.PAUSED,
    "RESUMING": Phase.RESUMING,
    "FINISHING": Phase.FINISHING,
    "CANCELLING": Phase.CANCELLING,
}
"""State ids of OctoPrint 1.11 (`MachineCom.STATE_*`) and 2.0 (`ConnectedPrinterState`)."""

_OWN_TEXT = frozenset({"CLOSED_WITH_ERROR", "TRANSFERING_FILE", "TRANSFERRING_FILE"})
"""States for which OctoPrint's own words say more than the phase; so do those of every connecting state."""


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What OctoPrint's file metadata tell of one file; `path` and `origin` say of which."""

    path: str
    origin: str
    hash: str | None = None
    max_z: float | None = None
    average_print_time: float | None = None
    last_print_time: float | None = None


@dataclass(frozen=True, slots=True)
class Overrides:
    """Seen in the G-code on its way to the printer: factors where 1.0 = 100 %, and the display's text."""

    speed_factor: float | None = None
    flow_factor: float | None = None
    fan_speed: float | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at OctoPrint: the printer's state id, `get_current_data()` and `get_current_temperatures()`."""

    state_id: str
    data: Mapping[str, Any]
    temperatures: Mapping[str, Any] = field(default_factory=dict)
    overrides: Overrides = Overrides()
    facts: FileFacts | None = None


def phase_of(state_id: str) -> Phase:
    """The phase of one of OctoPrint's state ids; a state that we do not know counts as offline."""
    return _PHASES.get(state_id, Phase.OFFLINE)


def report(reading: Reading) -> PrinterReport:
    """All that one look tells. Foreign values of the wrong kind read as unknown."""
    data = reading.data
    state = _mapping(data.get("state"))
    flags = _mapping(state.get("flags"))
    phase = phase_of(reading.state_id)
    job = _job(_mapping(data.get("job")), reading.facts)
    own_text = phase is Phase.CONNECTING or reading.state_id in _OWN_TEXT
    failed = reading.state_id in {"ERROR", "CLOSED_WITH_ERROR"}
    facts = reading.facts if _is_of(reading.facts, job) else None
    return PrinterReport(
        phase=phase,
        text=text(state.get("text")) if own_text else None,
        error=text(state.get("error")) or None,
        ready=reading.state_id == "OPERATIONAL",
        sd_ready=flags.get("sdReady") is True,
        error_flag=failed or flags.get("error") is True,
        closed_or_error=phase in {Phase.OFFLINE, Phase.ERROR},
        job=job,
        progress=_progress(_mapping(data.get("progress")), job),
        temperatures=temperatures(reading.temperatures),
        z=number(data.get("currentZ")),
        object_height=facts.max_z if facts is not None else None,
        speed_factor=reading.overrides.speed_factor,
        flow_factor=reading.overrides.flow_factor,
        fan_speed=reading.overrides.fan_speed,
        message=reading.overrides.message,
    )


def placed(seen: PrinterReport, index: GCodeIndex, position: int) -> PrinterReport:
    """The report with layer, filament and time left from the file's index; `position`: bytes OctoPrint has read.

    What the slicer itself says of the time left goes before OctoPrint's estimate.
    """
    place = index.at(position)
    progress = replace(seen.progress, filament_used=place.filament)
    if place.time_left is not None:
        progress = replace(progress, print_time_left=place.time_left, print_time_left_origin="analysis")
    return replace(
        seen,
        progress=progress,
        layer=place.layer or None,
        total_layers=index.layer_count or None,
        z=seen.z if seen.z is not None else place.z,
        object_height=seen.object_height if seen.object_height is not None else index.max_z,
    )


def file_facts(path: str, origin: str, metadata: Mapping[str, Any], profile: str) -> FileFacts:
    """The few of a file's metadata that clients read; times are those of the printer profile `profile`."""
    area = _mapping(_mapping(metadata.get("analysis")).get("printingArea"))
    statistics = _mapping(metadata.get("statistics"))
    return FileFacts(
        path=path,
        origin=origin,
        hash=text(metadata.get("hash")),
        max_z=number(area.get("maxZ")),
        average_print_time=number(_mapping(statistics.get("averagePrintTime")).get(profile)),
        last_print_time=number(_mapping(statistics.get("lastPrintTime")).get(profile)),
    )


def _is_of(facts: FileFacts | None, job: Job) -> bool:
    return facts is not None and facts.path == job.path and facts.origin == job.origin


def _job(data: Mapping[str, Any], facts: FileFacts | None) -> Job:
    file = _mapping(data.get("file"))
    name = text(file.get("name"))
    needs = {
        tool: FilamentNeed(number(need.get("length")), number(need.get("volume")))
        for tool, need in _mapping(data.get("filament")).items()
        if isinstance(need, Mapping)
    }
    job = Job(
        name=name,
        path=text(file.get("path")),
        display=text(file.get("display")) or name,
        origin=text(file.get("origin")),
        size=_whole(file.get("size")),
        date=_whole(file.get("date")),
        user=text(data.get("user")),
        estimated_print_time=number(data.get("estimatedPrintTime")),
        average_print_time=number(data.get("averagePrintTime")),
        last_print_time=number(data.get("lastPrintTime")),
        filament=needs,
    )
    if facts is None or not _is_of(facts, job):
        return job
    # OctoPrint 2.0 keeps no hash any more; the time of the upload then tells files of one name apart.
    dated = f"ts:{job.date}" if job.date is not None else None
    return replace(
        job,
        hash=facts.hash,
        signature=f"md5:{facts.hash}" if facts.hash else dated,
        average_print_time=job.average_print_time or facts.average_print_time,
        last_print_time=job.last_print_time or facts.last_print_time,
    )


def _progress(data: Mapping[str, Any], job: Job) -> Progress:
    completion = number(data.get("completion"))
    return Progress(
        completion=completion,
        filepos=_whole(data.get("filepos")),
        print_time=number(data.get("printTime")),
        print_time_left=number(data.get("printTimeLeft")),
        print_time_left_origin=text(data.get("printTimeLeftOrigin")),
        filament_used=filament_used(job, completion),
    )


def filament_used(job: Job, completion: float | None) -> float | None:
    """What has gone through so far, by the file's own estimate: charging a cancelled print in full would be wrong."""
    lengths = [need.length for need in job.filament.values() if need.length is not None]
    if not lengths or completion is None:
        return None
    return sum(lengths) * min(max(completion, 0.0), 100.0) / 100.0


def temperatures(data: Mapping[str, Any]) -> dict[str, Temperature]:
    """`get_current_temperatures()` as the model has it: tools, bed and chamber, no other sensors.

    OctoPrint lists a chamber for every printer; one that never told a temperature is none.
    """
    found = {
        name: Temperature(number(heat.get("actual")), number(heat.get("target")), number(heat.get("offset")) or 0.0)
        for name, heat in data.items()
        if isinstance(heat, Mapping) and (name in {"bed", "chamber"} or _is_tool(name))
    }
    if found.get("chamber") == Temperature(None, None, 0.0):
        del found["chamber"]
    return found


def _is_tool(name: object) -> bool:
    return isinstance(name, str) and name.startswith("tool") and name[4:].isdigit()


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


def _whole(value: object) -> int | None:
    found = number(value)
    return None if found is None else int(found)
