"""The `settings` block of an agent's status message (wire-protocol.md §3.4, payload-mapping.md §8)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agent_core.wire import read
from agent_core.wire.read import Json


@dataclass(frozen=True, slots=True)
class AgentInfo:
    """Who speaks; repeated in every settings block, since leaving it out clears it on a public server (Q)."""

    name: str
    version: str

    def to_wire(self) -> dict[str, Any]:
        return {"name": self.name, "version": self.version}


@dataclass(frozen=True, slots=True)
class Webcam:
    """A camera as clients see it: `rotation` clockwise in degrees, `stream_ratio` `16:9` or `4:3`."""

    name: str
    is_primary_camera: bool = False
    is_nozzle_camera: bool = False
    flip_h: bool = False
    flip_v: bool = False
    rotation: int = 0
    stream_ratio: str = "4:3"
    stream_mode: str | None = None
    stream_id: int | None = None

    def to_wire(self) -> dict[str, Any]:
        return {
            "name": self.name, "is_primary_camera": self.is_primary_camera,
            "is_nozzle_camera": self.is_nozzle_camera, "flipH": self.flip_h, "flipV": self.flip_v,
            "rotation": self.rotation, "streamRatio": self.stream_ratio,
            "stream_mode": self.stream_mode, "stream_id": self.stream_id,
        }  # fmt: skip

    @classmethod
    def from_wire(cls, wire: Json) -> Webcam:
        rotation = read.integer(wire.get("rotation"))
        return cls(
            name=read.text(wire.get("name")) or "",
            is_primary_camera=wire.get("is_primary_camera") is True,
            is_nozzle_camera=wire.get("is_nozzle_camera") is True,
            flip_h=wire.get("flipH") is True,
            flip_v=wire.get("flipV") is True,
            rotation=rotation if rotation in {0, 90, 180, 270} else 0,
            stream_ratio="16:9" if wire.get("streamRatio") == "16:9" else "4:3",
            stream_mode=read.text(wire.get("stream_mode")),
            stream_id=read.integer(wire.get("stream_id")),
        )


@dataclass(frozen=True, slots=True)
class Settings:
    """What an agent says of itself and its printer; None: keep what was said before.

    `temperature_profiles`: `{"name": str, "<heater>": °C or null, …}` each. `platform_uname`: the uname fields, then
    the board model or "". `extra`: further keys a host sends as they are (`octoprint_version`, …).
    """

    agent: AgentInfo
    webcams: tuple[Webcam, ...] | None = None
    temperature_profiles: tuple[Mapping[str, Any], ...] | None = None
    platform_uname: tuple[str, ...] | None = None
    installed_plugins: tuple[str, ...] | None = None
    printer_metadata: Mapping[str, Any] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def to_wire(self) -> dict[str, Any]:
        wire: dict[str, Any] = {**self.extra, "agent": self.agent.to_wire()}
        if self.webcams is not None:
            wire["webcams"] = [webcam.to_wire() for webcam in self.webcams]
        if self.temperature_profiles is not None:
            wire["temperature"] = {"profiles": [dict(profile) for profile in self.temperature_profiles]}
        if self.platform_uname is not None:
            wire["platform_uname"] = list(self.platform_uname)
        if self.installed_plugins is not None:
            wire["installed_plugins"] = list(self.installed_plugins)
        if self.printer_metadata is not None:
            wire["printer_metadata"] = dict(self.printer_metadata)
        return wire
