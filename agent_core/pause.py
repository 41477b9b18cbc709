"""Pause, resume and cancel: what may be done to a hot machine, decided without any I/O (pause-contract.md).

Facts in, plan out. `pause_klipper.py` and `pause_marlin.py` turn a plan into lines; docs/pause.md tells the whole flow.
Lengths in mm, temperatures in °C, times in Unix seconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agent_core.errors import Rejected
from agent_core.pause_record import PauseRecord, Step

RECORD_KEY = "pause"
"""Where the host keeps the PauseRecord in its Store."""
MAX_RETRACT = 50.0
MAX_LIFT = 100.0
MIN_EXTRUDE_TEMP = 170.0
"""Below this no extruder is moved, where the printer does not tell its own limit (Marlin's and Klipper's default)."""
HEAT_BAND = 2.0
"""A heater counts as back when it is at most so far below its target."""
_BEDS = frozenset({"bed", "heater_bed"})
_LEAST = 0.001  # mm; a move that is shorter is none


def is_bed(heater: str) -> bool:
    return heater in _BEDS


def is_tool(heater: str) -> bool:
    return heater.startswith(("tool", "extruder"))


def heater_shown(heater: str) -> str:
    """`chamber` for Klipper's `heater_generic chamber`, as its G-code and its users name it."""
    return heater.rsplit(maxsplit=1)[-1]


def number(value: float) -> str:
    """As printers want it: `6.5`, `200`, never `6.500000`, an exponent or `-0`; five decimals at most."""
    text = f"{value:.5f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


@dataclass(frozen=True, slots=True)
class PauseSettings:
    """What the user wants of a pause: mm of retraction and lift, which heaters go off."""

    retract: float = 0.0
    lift_z: float = 0.0
    tools_off: bool = False
    bed_off: bool = False

    @classmethod
    def from_args(cls, args: Mapping[str, Any] | None) -> PauseSettings:
        """From a command's `args`: absent or null is 0 or false. Raises Rejected for anything that is negative, not
        finite, absurd or of a wrong type; nothing has moved then.
        """
        if args is None:
            return cls()
        if not isinstance(args, Mapping):
            raise Rejected("pause: its settings are not an object")
        return cls(
            retract=_length(args, "retract", MAX_RETRACT),
            lift_z=_length(args, "lift_z", MAX_LIFT),
            tools_off=_switch(args, "tools_off"),
            bed_off=_switch(args, "bed_off"),
        )


def _length(args: Mapping[str, Any], name: str, most: float) -> float:
    value = args.get(name)
    if value is None:
        return 0.0
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Rejected(f"pause: {name} must be a number of mm")
    if not 0 <= value <= most:  # NaN and infinities fail here too
        raise Rejected(f"pause: {name} must be from 0 to {number(most)} mm")
    return float(value)


def _switch(args: Mapping[str, Any], name: str) -> bool:
    value = args.get(name)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise Rejected(f"pause: {name} must be true or false")
    return value


@dataclass(frozen=True, slots=True)
class Machine:
    """What a plan needs to know of the printer right now, on either host."""

    tool: str
    """The active tool by the host's own name: `extruder`, `tool0`."""
    targets: Mapping[str, float] = field(default_factory=dict)
    """Of tools, beds and other heaters, by the host's names; 0 is off."""
    temperatures: Mapping[str, float] = field(default_factory=dict)
    can_extrude: bool = False
    min_extrude: float = MIN_EXTRUDE_TEMP
    max_retract: float | None = None
    """Klipper's max_extrude_only_distance."""
    z_homed: bool = False
    z: float | None = None
    z_max: float | None = None
    extrusion_mode_known: bool = True
    move_mode_known: bool = True


@dataclass(frozen=True, slots=True)
class PausePlan:
    """What a pause will do after it is confirmed; `notes` says in words what of the wish it will not do, by step."""

    retract: float = 0.0
    lift: float = 0.0
    heaters_off: tuple[str, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)


def plan_pause(machine: Machine, settings: PauseSettings) -> PausePlan:
    """Promises 2 and 5: what is refused leaves the rest as it is."""
    notes: dict[str, str] = {}
    retract = _plan_retract(machine, settings.retract, notes)
    lift = _plan_lift(machine, settings.lift_z, notes)
    off = tuple(
        name
        for name, target in sorted(machine.targets.items())
        if target > 0 and ((is_bed(name) and settings.bed_off) or (is_tool(name) and settings.tools_off))
    )
    return PausePlan(retract, lift, off, notes)


def _plan_retract(machine: Machine, wanted: float, notes: dict[str, str]) -> float:
    if wanted < _LEAST:
        return 0.0
    if not machine.extrusion_mode_known:
        notes["retract"] = "not retracted: the file never said M82 or M83, so the extrusion mode is not known"
        return 0.0
    if not machine.can_extrude:
        notes["retract"] = "not retracted: the nozzle is too cold"
        return 0.0
    if machine.max_retract is not None and wanted > machine.max_retract:
        most = max(0.0, machine.max_retract)
        notes["retract"] = f"retracted {number(most)} of {number(wanted)} mm: max_extrude_only_distance"
        return most
    return wanted


def _plan_lift(machine: Machine, wanted: float, notes: dict[str, str]) -> float:
    if wanted < _LEAST:
        return 0.0
    if not machine.z_homed:
        notes["lift"] = "not lifted: Z is not homed"
        return 0.0
    if not machine.move_mode_known:
        notes["lift"] = "not lifted: the file said neither G90, G91, M82 nor M83, so the move mode is not known"
        return 0.0
    if machine.z is None or machine.z_max is None:
        return wanted
    # Rounded down: a limit must not be exceeded by a decimal.
    room = math.floor(round((machine.z_max - machine.z) * 1000, 3)) / 1000
    if room < _LEAST:
        notes["lift"] = "not lifted: the axis limit is reached"
        return 0.0
    if room < wanted:
        notes["lift"] = f"lifted {number(room)} of {number(wanted)} mm: axis limit"
        return room
    return wanted


def told_pause(plan: PausePlan, refused: Mapping[str, str]) -> str:
    """The sentence of promise 10. `refused`: by step (`retract`, `lift`, `heaters`) why it was not done."""
    parts = ["paused"]
    if "retract" not in refused:
        parts += [plan.notes.get("retract") or f"retracted {number(plan.retract)} mm"] if _says(plan, "retract") else []
    if "lift" not in refused:
        parts += [plan.notes.get("lift") or f"lifted {number(plan.lift)} mm"] if _says(plan, "lift") else []
    if plan.heaters_off and "heaters" not in refused:
        parts.append(f"{' and '.join(map(heater_shown, plan.heaters_off))} off")
    parts += refused.values()
    return "; ".join(parts)


def _says(plan: PausePlan, step: str) -> bool:
    return step in plan.notes or (plan.retract if step == "retract" else plan.lift) >= _LEAST


# --- resume -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ResumePlan:
    """`heat`: targets to set; `wait`: temperatures to wait for; `unretract`: mm to push back once it is hot.

    `refusal` (then nothing is to be done): why resuming would ruin the print. `notes`: what could not be undone.
    """

    heat: Mapping[str, float] = field(default_factory=dict)
    wait: Mapping[str, float] = field(default_factory=dict)
    unretract: float = 0.0
    lower: float = 0.0
    refusal: str | None = None
    notes: tuple[str, ...] = ()


def plan_resume(record: PauseRecord, machine: Machine, *, e_now: float | None = None) -> ResumePlan:
    """What undoes the pause, and nothing else (promise 2). `e_now`: the extruder's own position, where it is known; it
    tells what became of a step at which the agent was killed (promise 8).
    """
    retracted, notes = outstanding(record, e_now)
    if retracted >= _LEAST and machine.tool != record.tool:
        return ResumePlan(
            refusal=f"{machine.tool} is active, but {record.tool} was when the print was paused and holds "
            f"{number(retracted)} mm of retracted filament: activate {record.tool}, then resume"
        )
    heat: dict[str, float] = {}
    wait: dict[str, float] = {}
    for name in record.heaters_off:
        kept, now = record.targets.get(name, 0.0), machine.targets.get(name, 0.0)
        if now > 0:
            wait[name] = now  # somebody set it meanwhile, or it was never switched off: his value counts
        elif kept > 0:
            heat[name] = wait[name] = kept
    # A chamber may never have reached its target, nor did the print wait for it.
    wait = {name: target for name, target in wait.items() if is_bed(name) or is_tool(name)}
    if retracted >= _LEAST or record.tool in record.heaters_off:
        # Also where somebody has set the nozzle so low that the print would be lost at its first move.
        tool = record.tool
        target = heat.get(tool, machine.targets.get(tool, 0.0))
        if target < machine.min_extrude <= record.extrude_target:
            heat[tool] = target = record.extrude_target
        if target > 0:
            wait[tool] = target
    lower = record.lift if record.lift_step in (Step.INTENDED, Step.DONE) else 0.0
    return ResumePlan(heat, wait, retracted, lower, None, notes)


def outstanding(record: PauseRecord, e_now: float | None) -> tuple[float, tuple[str, ...]]:
    """mm of our retraction that are still to be pushed back, and what a person should know about it."""
    if record.retract_step in (Step.NONE, Step.UNDONE):
        return 0.0, ()
    if record.retract_step is Step.DONE:
        return record.retract, ()
    # The agent was killed between "is about to be" and "is" done: the extruder's own position knows.
    if e_now is not None and record.e_before is not None:
        if abs(record.e_before - record.retract - e_now) < min(0.01, record.retract / 2):
            return record.retract, ()
        if abs(record.e_before - e_now) < min(0.01, record.retract / 2):
            return 0.0, ()
    return 0.0, (
        f"it is not known whether {number(record.retract)} mm of filament are still retracted: watch the extrusion",
    )


def is_hot(wait: Mapping[str, float], temperatures: Mapping[str, float]) -> bool:
    """Whether each awaited heater is back: at most HEAT_BAND below its target. One without a reading is not."""
    return all(temperatures.get(name, -math.inf) >= target - HEAT_BAND for name, target in wait.items())


def told_resume(plan: ResumePlan, *, pushed: bool = True, extra: Iterable[str] = ()) -> str:
    parts = ["resumed"]
    if plan.heat:
        back = sorted(
            (heater_shown(name), "back" if is_bed(name) or is_tool(name) else "set back", to)
            for name, to in plan.heat.items()
        )
        parts.append(" and ".join(f"{name} {how} at {number(target)} °C" for name, how, target in back))
    if pushed and plan.unretract >= _LEAST:
        parts.append(f"pushed back {number(plan.unretract)} mm")
    return "; ".join([*parts, *plan.notes, *extra])
