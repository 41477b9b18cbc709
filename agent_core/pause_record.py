"""What a pause has done, as it stands on disk before it is done (pause-contract.md, promise 8)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from typing import Any


class Step(Enum):
    """How far a step is. INTENDED and UNDOING were written before the printer was told, so they may or may not have
    happened when the agent was killed there.
    """

    NONE = "none"
    INTENDED = "intended"
    DONE = "done"
    UNDOING = "undoing"
    UNDONE = "undone"


_HEATER = re.compile(
    r"[^\s;#\"'=*]{1,80}( [^\s;#\"'=*]{1,80})*"
)  # names go into G-code: a damaged record must not bring lines of its own
_MAX_HEATERS = 32  # more is no printer; also the bound of what a damaged record can make us send


@dataclass(frozen=True, slots=True)
class PauseRecord:
    """One pause of ours. Lengths in mm, temperatures in °C, times in Unix seconds."""

    filename: str
    at: float
    """When the pause was confirmed."""
    tool: str
    ts: int | None = None
    """The print's identity (model.PrintBegan.ts), None if it was not known."""
    print_clock: float | None = None
    """The host's own clock of this print in s, which only grows (Klipper: print_stats.total_duration)."""
    retract: float = 0.0
    retract_step: Step = Step.NONE
    e_before: float | None = None
    """The extruder's own position before the retraction (Klipper: toolhead.position[3])."""
    lift: float = 0.0
    lift_step: Step = Step.NONE
    targets: Mapping[str, float] = field(default_factory=dict)
    """What the heaters come back to."""
    extrude_target: float = 0.0
    """The active tool's target while it printed: a user's macro may have put it on stand-by before we came."""
    heaters_off: tuple[str, ...] = ()
    """Those that we switch off, and thus those that we may switch on again."""
    idle_timeout: float | None = None
    """Klipper's own idle_timeout in s, to be put back; None: not touched."""
    idle_prolonged: float = 0.0
    """What we set it to, s; if another value is in force later, somebody else has set it and it is left alone."""
    idle_set_at: float = 0.0
    warm_since: float = 0.0
    """From when the user's own idle_timeout counts for heaters that are still on."""
    cooled: bool = False
    """Whether every heater was off when last looked; the user's idle_timeout begins anew when one goes on."""
    homing_alerted: bool = False
    e_value: float = 0.0
    """OctoPrint: the number after E that retracts `retract` mm at `flow` percent."""
    flow: float = 100.0
    modes: tuple[str, ...] = ()
    """OctoPrint: the last G90/G91 and M82/M83 before the pause, in the order in which they were sent."""
    feedrate: float | None = None

    def but(self, **changes: Any) -> PauseRecord:
        return replace(self, **changes)

    @property
    def moved(self) -> bool:
        """Whether anything of ours may be left to undo."""
        return bool(self.heaters_off) or {self.retract_step, self.lift_step} - {Step.NONE, Step.UNDONE} != set()

    def same_print(self, filename: str, *, ts: int | None = None, print_clock: float | None = None) -> bool:
        """Whether the print that is there now is the one that was paused; what is not known does not contradict."""
        if filename != self.filename:
            return False
        if ts is not None and self.ts is not None and ts != self.ts:
            return False
        return print_clock is None or self.print_clock is None or print_clock >= self.print_clock - 1.0

    def to_json(self) -> dict[str, Any]:
        wire: dict[str, Any] = {}
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, Step):
                value = value.value
            elif isinstance(value, tuple):
                value = list(value)
            elif isinstance(value, Mapping):
                value = dict(value)
            wire[each.name] = value
        return wire

    @classmethod
    def from_json(cls, wire: object) -> PauseRecord | None:
        """None for anything that to_json cannot have written: nothing is done to a printer by a damaged record."""
        if not isinstance(wire, Mapping):
            return None
        try:
            return cls(
                filename=_text(wire["filename"]),
                at=_number(wire["at"], 0.0, 1e12),
                tool=_heater(wire["tool"]),
                ts=None if wire["ts"] is None else int(_number(wire["ts"], 1, 1e12)),
                print_clock=_optional(wire["print_clock"], 0.0, 1e9),
                retract=_number(wire["retract"], 0.0, 50.0),
                retract_step=Step(wire["retract_step"]),
                e_before=_optional(wire["e_before"], -1e9, 1e9),
                lift=_number(wire["lift"], 0.0, 100.0),
                lift_step=Step(wire["lift_step"]),
                targets=_targets(wire["targets"]),
                extrude_target=_number(wire["extrude_target"], 0.0, 600.0),
                heaters_off=tuple(_heater(each) for each in _texts(wire["heaters_off"])),
                idle_timeout=_optional(wire["idle_timeout"], 0.0, 1e9),
                idle_set_at=_number(wire["idle_set_at"], 0.0, 1e12),
                idle_prolonged=_number(wire["idle_prolonged"], 0.0, 1e9),
                warm_since=_number(wire["warm_since"], 0.0, 1e12),
                cooled=_flag(wire["cooled"]),
                homing_alerted=_flag(wire["homing_alerted"]),
                e_value=_number(wire["e_value"], 0.0, 5000.0),
                flow=_number(wire["flow"], 1.0, 1000.0),
                modes=_modes(wire["modes"]),
                feedrate=_optional(wire["feedrate"], 0.0, 1e6),
            )
        except (KeyError, TypeError, ValueError):
            return None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _number(value: object, least: float, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise TypeError
    if not least <= value <= most:
        raise ValueError
    return float(value)


def _optional(value: object, least: float, most: float) -> float | None:
    return None if value is None else _number(value, least, most)


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)) or len(value) > _MAX_HEATERS:
        raise TypeError
    return tuple(_text(each) for each in value)


def _heater(value: object) -> str:
    name = _text(value)
    if not _HEATER.fullmatch(name):
        raise ValueError
    return name


def _modes(value: object) -> tuple[str, ...]:
    modes = _texts(value)
    if any(mode not in ("G90", "G91", "M82", "M83") for mode in modes):
        raise ValueError
    return modes


def _targets(value: object) -> dict[str, float]:
    if not isinstance(value, Mapping) or len(value) > _MAX_HEATERS:
        raise TypeError
    return {_heater(name): _number(target, 0.0, 600.0) for name, target in value.items()}
