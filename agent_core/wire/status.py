"""The `status` tree of an agent's status message (wire-protocol.md §3.3, payload-mapping.md).

Units: °C, mm, cm³ (filament volume), seconds, bytes, percent (`completion`), factors where 1.0 = 100 %.
A known absence is sent as null with its key kept; every heater has both `actual` and `target`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from agent_core.wire import read
from agent_core.wire.read import Json


def finite(value: float | None, digits: int | None = None) -> float | None:
    """The value for JSON: NaN and infinity become null, floats are rounded to `digits`."""
    if value is None or not math.isfinite(value):
        return None
    return round(value, digits) if digits is not None and isinstance(value, float) else value


@dataclass(frozen=True, slots=True)
class Flags:
    """Printer state flags (seed 003); several can be true at once."""

    operational: bool = False
    printing: bool = False
    paused: bool = False
    pausing: bool = False
    resuming: bool = False
    cancelling: bool = False
    finishing: bool = False
    ready: bool = False
    error: bool = False
    closed_or_error: bool = False
    sd_ready: bool = False

    def to_wire(self) -> dict[str, Any]:
        wire = {item.name: getattr(self, item.name) for item in fields(self)}
        wire["closedOrError"] = wire.pop("closed_or_error")
        wire["sdReady"] = wire.pop("sd_ready")
        return wire

    @classmethod
    def from_wire(cls, wire: Json) -> Flags:
        def said(key: str) -> bool:
            return wire.get(key) is True

        return cls(
            operational=said("operational"), printing=said("printing"), paused=said("paused"),
            pausing=said("pausing"), resuming=said("resuming"), cancelling=said("cancelling"),
            finishing=said("finishing"), ready=said("ready"), error=said("error"),
            closed_or_error=said("closedOrError"), sd_ready=said("sdReady"),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class State:
    text: str
    flags: Flags = field(default_factory=Flags)
    error: str | None = None

    def to_wire(self) -> dict[str, Any]:
        return {"text": self.text, "flags": self.flags.to_wire(), "error": self.error}

    @classmethod
    def from_wire(cls, wire: Json) -> State:
        return cls(
            text=read.text(wire.get("text")) or "",
            flags=Flags.from_wire(read.mapping(wire.get("flags")) or {}),
            error=read.text(wire.get("error")),
        )


@dataclass(frozen=True, slots=True)
class File:
    name: str | None = None
    path: str | None = None
    display: str | None = None
    origin: str | None = None
    size: int | None = None
    date: int | None = None
    g_code_file_id: int | None = None

    def to_wire(self) -> dict[str, Any]:
        return {
            "name": self.name, "path": self.path, "display": self.display, "origin": self.origin,
            "size": self.size, "date": self.date, "obico_g_code_file_id": self.g_code_file_id,
        }  # fmt: skip

    @classmethod
    def from_wire(cls, wire: Json) -> File:
        return cls(
            name=read.text(wire.get("name")), path=read.text(wire.get("path")),
            display=read.text(wire.get("display")), origin=read.text(wire.get("origin")),
            size=read.integer(wire.get("size")), date=read.integer(wire.get("date")),
            g_code_file_id=read.integer(wire.get("obico_g_code_file_id")),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Filament:
    """Filament that a file needs: length in mm, volume in cm³."""

    length: float | None
    volume: float | None

    def to_wire(self) -> dict[str, Any]:
        return {"length": finite(self.length, 2), "volume": finite(self.volume, 3)}


@dataclass(frozen=True, slots=True)
class Job:
    file: File = field(default_factory=File)
    estimated_print_time: float | None = None
    average_print_time: float | None = None
    last_print_time: float | None = None
    filament: Mapping[str, Filament] | None = None
    user: str | None = None

    def to_wire(self) -> dict[str, Any]:
        filament = {tool: used.to_wire() for tool, used in self.filament.items()} if self.filament else None
        return {
            "file": self.file.to_wire(), "estimatedPrintTime": finite(self.estimated_print_time, 1),
            "averagePrintTime": finite(self.average_print_time, 1),
            "lastPrintTime": finite(self.last_print_time, 1), "filament": filament, "user": self.user,
        }  # fmt: skip

    @classmethod
    def from_wire(cls, wire: Json) -> Job:
        filament = {
            tool: Filament(read.number(used.get("length")), read.number(used.get("volume")))
            for tool, used in (read.mapping(wire.get("filament")) or {}).items()
            if isinstance(used, dict)
        }
        return cls(
            file=File.from_wire(read.mapping(wire.get("file")) or {}),
            estimated_print_time=read.number(wire.get("estimatedPrintTime")),
            average_print_time=read.number(wire.get("averagePrintTime")),
            last_print_time=read.number(wire.get("lastPrintTime")),
            filament=filament or None,
            user=read.text(wire.get("user")),
        )


@dataclass(frozen=True, slots=True)
class Progress:
    completion: float | None = None
    filepos: int | None = None
    print_time: float | None = None
    print_time_left: float | None = None
    print_time_left_origin: str | None = None
    filament_used: float | None = None

    def to_wire(self) -> dict[str, Any]:
        return {
            "completion": finite(self.completion, 2), "filepos": self.filepos,
            "printTime": finite(self.print_time, 1), "printTimeLeft": finite(self.print_time_left, 1),
            "printTimeLeftOrigin": self.print_time_left_origin, "filamentUsed": finite(self.filament_used, 2),
        }  # fmt: skip

    @classmethod
    def from_wire(cls, wire: Json) -> Progress:
        return cls(
            completion=read.number(wire.get("completion")), filepos=read.integer(wire.get("filepos")),
            print_time=read.number(wire.get("printTime")),
            print_time_left=read.number(wire.get("printTimeLeft")),
            print_time_left_origin=read.text(wire.get("printTimeLeftOrigin")),
            filament_used=read.number(wire.get("filamentUsed")),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Temperature:
    """`target` None: a sensor, which cannot be set; 0: a heater that is off."""

    actual: float | None = None
    target: float | None = None
    offset: float = 0

    def to_wire(self) -> dict[str, Any]:
        return {
            "actual": finite(self.actual, 2),
            "target": finite(self.target, 2),
            "offset": finite(self.offset, 2),
        }

    @classmethod
    def from_wire(cls, wire: Json) -> Temperature:
        return cls(
            actual=read.number(wire.get("actual")), target=read.number(wire.get("target")),
            offset=read.number(wire.get("offset")) or 0,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Download:
    """Ours: a file on its way to the printer, while the text is `G-Code Downloading`; sizes in bytes."""

    name: str
    done: int = 0
    total: int | None = None

    def to_wire(self) -> dict[str, Any]:
        percent = round(min(100.0, 100.0 * self.done / self.total), 1) if self.total else None
        return {"name": self.name, "done": self.done, "total": self.total, "completion": percent}

    @classmethod
    def from_wire(cls, wire: Json) -> Download:
        done, total = read.integer(wire.get("done")), read.integer(wire.get("total"))
        return cls(read.text(wire.get("name")) or "", done or 0, total)


@dataclass(frozen=True, slots=True)
class Objects:
    """Ours: the parts on the plate, in Klipper's words."""

    current: str | None
    names: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()

    def to_wire(self) -> dict[str, Any]:
        return {
            "current_object": self.current, "objects": list(self.names), "excluded_objects": list(self.excluded),
        }  # fmt: skip

    @classmethod
    def from_wire(cls, wire: Json) -> Objects:
        def names(key: str) -> tuple[str, ...]:
            found = wire.get(key)
            return tuple(name for name in found if isinstance(name, str)) if isinstance(found, list) else ()

        return cls(read.text(wire.get("current_object")), names("objects"), names("excluded_objects"))


@dataclass(frozen=True, slots=True)
class Status:
    """What the printer does at `ts` (Unix seconds); `ts` is always truthy, else a server does not keep it."""

    ts: float
    state: State
    job: Job = field(default_factory=Job)
    progress: Progress = field(default_factory=Progress)
    temperatures: Mapping[str, Temperature] = field(default_factory=dict)
    current_z: float | None = None
    current_layer: int | None = None
    total_layers: int | None = None
    object_height: float | None = None
    file_hash: str | None = None
    feed_rate: float | None = None
    flow_rate: float | None = None
    fan_speed: float | None = None
    message: str | None = None
    user_interaction_required: bool | None = None
    download: Download | None = None
    objects: Objects | None = None

    def to_wire(self) -> dict[str, Any]:
        wire: dict[str, Any] = {
            "_ts": finite(self.ts, 3),
            "state": self.state.to_wire(),
            "job": self.job.to_wire(),
            "progress": self.progress.to_wire(),
            "temperatures": {name: value.to_wire() for name, value in self.temperatures.items()},
            "currentZ": finite(self.current_z, 3),
            # A layer number, despite the name (wire-protocol.md §10, trap 13).
            "currentLayerHeight": self.current_layer,
            "file_metadata": {
                "obico": {"totalLayerCount": self.total_layers},
                "analysis": {"printingArea": {"maxZ": finite(self.object_height, 3)}},
            },
            "currentFeedRate": finite(self.feed_rate, 3),
            "currentFlowRate": finite(self.flow_rate, 3),
            "currentFanSpeed": finite(self.fan_speed, 3),
            "display_status": {"message": self.message},
        }
        if self.file_hash is not None:
            wire["file_metadata"]["hash"] = self.file_hash
        if self.user_interaction_required is not None:
            wire["user_interaction_required"] = self.user_interaction_required
        if self.download is not None:
            wire["download"] = self.download.to_wire()
        if self.objects is not None:
            wire["exclude_object"] = self.objects.to_wire()
        return wire

    @classmethod
    def from_wire(cls, wire: Json) -> Status:
        metadata = read.mapping(wire.get("file_metadata")) or {}
        obico = read.mapping(metadata.get("obico")) or {}
        analysis = read.mapping(metadata.get("analysis")) or {}
        area = read.mapping(analysis.get("printingArea")) or {}
        temperatures = read.mapping(wire.get("temperatures")) or {}
        download = read.mapping(wire.get("download"))
        objects = read.mapping(wire.get("exclude_object"))
        return cls(
            ts=read.number(wire.get("_ts")) or 0,
            state=State.from_wire(read.mapping(wire.get("state")) or {}),
            job=Job.from_wire(read.mapping(wire.get("job")) or {}),
            progress=Progress.from_wire(read.mapping(wire.get("progress")) or {}),
            temperatures={
                name: Temperature.from_wire(value)
                for name, value in temperatures.items()
                if isinstance(value, dict)
            },
            current_z=read.number(wire.get("currentZ")),
            current_layer=read.integer(wire.get("currentLayerHeight")),
            total_layers=read.integer(obico.get("totalLayerCount")),
            object_height=read.number(area.get("maxZ")),
            file_hash=read.text(metadata.get("hash")),
            feed_rate=read.number(wire.get("currentFeedRate")),
            flow_rate=read.number(wire.get("currentFlowRate")),
            fan_speed=read.number(wire.get("currentFanSpeed")),
            message=read.text((read.mapping(wire.get("display_status")) or {}).get("message")),
            user_interaction_required=read.flag(wire.get("user_interaction_required")),
            download=None if download is None else Download.from_wire(download),
            objects=None if objects is None else Objects.from_wire(objects),
        )
