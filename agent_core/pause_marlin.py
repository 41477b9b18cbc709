"""Pausing on printers that OctoPrint feeds (Marlin and its kin): sent G-code to modes, plans to lines.

The lines leave the machine in the modes in which they found it, so OctoPrint's own scripts on either side of them see
it as their author left it. Where it is not known how to do that, they do not move (promise 2).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from agent_core.model import Temperature
from agent_core.pause import (
    MIN_EXTRUDE_TEMP,
    Machine,
    PausePlan,
    PauseSettings,
    ResumePlan,
    is_bed,
    number,
    plan_pause,
    plan_resume,
    told_pause,
    told_resume,
)
from agent_core.pause_record import PauseRecord, Step

_RETRACT_SPEED = 1800  # mm/min
_LIFT_SPEED = 600
_WORD = re.compile(r"([A-Z])\s*([-+]?[0-9]*\.?[0-9]+)")
_COMMAND = re.compile(r"\s*(?:N[0-9]+\s*)?([GMT])0*([0-9]+)(?![0-9.])", re.IGNORECASE)
_M114_PRECISION = 0.02  # mm; it tells two decimals, and two answers are compared
_MAX_TOOLS = 32  # as many flow factors are kept


@dataclass(frozen=True, slots=True)
class MotionModes:
    """What a printer's sent G-code says about its modes; `after` gives the next. A new connection starts a new one.

    `modes`: the last G90/G91 and the last M82/M83, in the order in which they were sent: sent again in that order they
    bring back the state on every firmware, whether G90 and G91 govern E as well (Marlin 2) or not (Marlin 1, RRF).
    `feedrate`: last F in mm/min. `flows`: M221 in percent by tool. `z_homed`: None if neither G28 nor M84 was seen.
    """

    modes: tuple[str, ...] = ()
    feedrate: float | None = None
    flows: Mapping[int, float] = field(default_factory=dict)
    tool: int = 0
    z_homed: bool | None = None

    @property
    def moves_seen(self) -> bool:
        return any(mode in ("G90", "G91") for mode in self.modes)

    @property
    def extrusion_seen(self) -> bool:
        return any(mode in ("M82", "M83") for mode in self.modes)

    @property
    def flow(self) -> float:
        """Of the active tool, percent."""
        return self.flows.get(self.tool, 100.0)

    def after(self, line: str) -> MotionModes:
        """The modes once `line` was sent; self where it changes nothing. Cheap: it sees every line of a print."""
        found = _COMMAND.match(line)
        if found is None:
            return self
        code = found[1].upper() + found[2]
        if code in ("G0", "G1", "G2", "G3"):
            return self._moved(line)
        if code in ("G90", "G91"):
            return self._mode(code, ("G90", "G91"))
        if code in ("M82", "M83"):
            return self._mode(code, ("M82", "M83"))
        if code[0] == "T":
            return replace(self, tool=int(found[2]))
        if code in ("G28", "M18", "M84"):
            return self._homing(code, line[found.end() :])
        if code == "M221":
            return self._flowed(_words(line[found.end() :]))
        return self

    def after_all(self, lines: Iterable[str]) -> MotionModes:
        modes = self
        for line in lines:
            modes = modes.after(line)
        return modes

    def restore_lines(self, *, moved: bool = True) -> list[str]:
        """What brings these modes back after our lines; `moved`: with a G91 among them.

        Where G90 or G91 was never sent, G90 is meant: every firmware starts so.
        """
        modes = ["G90", *self.modes] if moved and not self.moves_seen else list(self.modes)
        return modes + ([f"G1 F{number(self.feedrate)}"] if self.feedrate is not None else [])

    def _mode(self, code: str, family: tuple[str, str]) -> MotionModes:
        if self.modes and self.modes[-1] == code:
            return self
        return replace(self, modes=(*(mode for mode in self.modes if mode not in family), code))

    def _moved(self, line: str) -> MotionModes:
        if "F" not in line and "f" not in line:
            return self
        feedrate = _words(line).get("F")
        return self if feedrate is None or feedrate <= 0 else replace(self, feedrate=feedrate)

    def _homing(self, code: str, rest: str) -> MotionModes:
        axes = {letter for letter in _code(rest) if letter in "XYZE"}
        if code == "G28":
            return replace(self, z_homed=True) if not axes or "Z" in axes else self
        if (not axes and "S" not in _code(rest)) or "Z" in axes:  # with S it only sets the idle time
            return replace(self, z_homed=False)
        return self

    def _flowed(self, words: Mapping[str, float]) -> MotionModes:
        tool, flow = int(words.get("T", self.tool)), words.get("S")
        if flow is None or flow <= 0 or (tool not in self.flows and len(self.flows) >= _MAX_TOOLS):
            return self
        return replace(self, flows={**self.flows, tool: flow})


def _code(line: str) -> str:
    """Without comment and checksum, in capitals."""
    return line.split(";", 1)[0].split("*", 1)[0].split("(", 1)[0].upper()


def _words(line: str) -> dict[str, float]:
    return {letter: float(value) for letter, value in _WORD.findall(_code(line))}


@dataclass(frozen=True, slots=True)
class MarlinFacts:
    """What the OctoPrint host knows at the moment when it needs the lines.

    `temperatures` by OctoPrint's names (`tool0`, `bed`): the targets as they stand in the printer, so with its offsets
    already in them. `z`, `z_max`: currentZ and the profile's height, None if not known. `shared_nozzle`: several
    extruders, one heater. `modes`: from MotionModes, after the user's own lines that come before ours, if known;
    `file_modes`: before them, so the file's own (None: the same). `sunk`: at a resume, mm by which the printer's own
    position (M114) is lower than our lift should have brought it: the firmware clamped it, or somebody lowered it.
    """

    modes: MotionModes
    temperatures: Mapping[str, Temperature] = field(default_factory=dict)
    z: float | None = None
    z_max: float | None = None
    shared_nozzle: bool = False
    min_extrude: float = MIN_EXTRUDE_TEMP
    file_modes: MotionModes | None = None
    sunk: float = 0.0

    @property
    def tool(self) -> str:
        return "tool0" if self.shared_nozzle else f"tool{self.modes.tool}"


def machine(facts: MarlinFacts) -> Machine:
    """Facts for plan_pause and plan_resume."""
    heaters = {name: value for name, value in facts.temperatures.items() if _is_heater(name, facts)}
    actual = {name: value.actual for name, value in heaters.items() if value.actual is not None}
    return Machine(
        tool=f"tool{facts.modes.tool}",
        targets={name: value.target for name, value in heaters.items() if value.target is not None},
        temperatures=actual,
        can_extrude=actual.get(facts.tool, -math.inf) >= facts.min_extrude,
        min_extrude=facts.min_extrude,
        # A file that prints relies on Z; only where it was seen to be let go is it not homed.
        z_homed=facts.modes.z_homed is not False,
        z=facts.z,
        z_max=facts.z_max,
        extrusion_mode_known=facts.modes.extrusion_seen,
        move_mode_known=facts.modes.moves_seen or facts.modes.extrusion_seen,
    )


def _is_heater(name: str, facts: MarlinFacts) -> bool:
    if name == "bed":
        return True
    return name.startswith("tool") and name[4:].isdigit() and (not facts.shared_nozzle or name == "tool0")


@dataclass(frozen=True, slots=True)
class Lines:
    """`record` is to be in the Store before `lines` are handed out; cannot it be kept, hand out none."""

    lines: tuple[str, ...]
    record: PauseRecord | None
    told: str


def after_pause_lines(
    facts: MarlinFacts, settings: PauseSettings, *, filename: str, ts: int | None, at: float
) -> Lines:
    """For the script hook `afterPrintPaused`, after the user's own lines: retract, lift, restore modes, heaters off.

    Only for a pause that we asked for (promise 6). `filename`, `ts`: which print (model.PrintBegan); `at`: Unix s now.
    `told` is the sentence for the command's `done`; `record` None: nothing is done, nothing to keep.
    """
    now = machine(facts)
    plan = plan_pause(now, settings)
    flow = facts.modes.flow
    e_value = round(plan.retract * 100 / flow, 5)
    lines = _moves(
        facts.modes,
        retract=-e_value if plan.retract else 0.0,
        lift=plan.lift,
    )
    lines += [_heat("M104", "M140", name, 0, facts) for name in plan.heaters_off]
    if not lines:
        return Lines((), None, told_pause(plan, {}))
    file = facts.file_modes or facts.modes
    record = PauseRecord(
        filename=filename,
        at=at,
        tool=now.tool,
        ts=ts,
        retract=plan.retract,
        retract_step=Step.DONE if plan.retract else Step.NONE,
        lift=plan.lift,
        lift_step=Step.DONE if plan.lift else Step.NONE,
        targets={name: target for name, target in now.targets.items() if target > 0},
        extrude_target=now.targets.get(facts.tool, 0.0),
        heaters_off=plan.heaters_off,
        e_value=e_value,
        flow=flow,
        modes=file.modes,
        feedrate=file.feedrate,
    )
    return Lines(tuple(lines), record, told_pause(plan, {}))


def before_resume_lines(record: PauseRecord, facts: MarlinFacts) -> Lines:
    """For the script hook `beforePrintResumed`, before the user's own lines: heaters back and waited for, lift undone,
    filament pushed back, modes restored. Whoever resumes: what is retracted and cold must be undone (promise 6).

    The heater lines wait in the printer, where nobody can cancel them: the host's own resume sets the targets and
    watches the temperatures first (`resume_plan`, then pause.is_hot), so that they return at once. The record is done
    with when the lines are handed out: remove it from the Store first.
    """
    plan = resume_plan(record, facts)
    if plan.refusal is not None:
        # The wrong tool must not be pushed; heat and height come back all the same, since OctoPrint resumes anyway.
        plan = replace(resume_plan(record.but(retract_step=Step.NONE), facts), notes=(plan.refusal,))
    lines = [_heat("M109", "M190", name, target, facts) for name, target in _bed_first(plan.wait)]
    tool_hot = plan.wait.get(_heater_of(record.tool, facts), -math.inf) >= facts.min_extrude
    pushed = plan.unretract > 0 and (tool_hot or machine(facts).can_extrude)
    extra = [] if pushed or not plan.unretract else [f"not pushed back {number(plan.unretract)} mm: nozzle too cold"]
    sunk = facts.sunk if facts.sunk > _M114_PRECISION else 0.0
    lower = max(0.0, plan.lower - sunk)  # never below where the print stopped
    if lower or pushed:
        push = record.e_value if pushed else 0.0
        same_flow = facts.modes.flow == record.flow
        around = [] if same_flow or not pushed else [_flow(record.flow)]
        lines += around + _moves(facts.modes, retract=push, lift=-lower)
        lines += [] if same_flow or not pushed else [_flow(facts.modes.flow)]
    return Lines(tuple(lines), None, told_resume(plan, pushed=pushed, extra=extra))


def after_resume_lines(record: PauseRecord) -> tuple[str, ...]:
    """For the same hook, after the user's own lines: the modes that the file had when it was paused. OctoPrint's own
    buttons in a pause leave M82 and G90 behind, which would ruin a file that extrudes relatively (promise 1).
    """
    kept = MotionModes(modes=record.modes, feedrate=record.feedrate)
    return tuple(kept.restore_lines(moved=False))


def resume_plan(record: PauseRecord, facts: MarlinFacts) -> ResumePlan:
    """What a resume will undo; `heat` and `wait` are for the host, which heats before it resumes.

    With a shared nozzle its one heater, `tool0`, stands for every tool.
    """
    now = machine(facts)
    if not facts.shared_nozzle or now.tool == "tool0":
        return plan_resume(record, now)
    plan = plan_resume(record.but(tool="tool0"), replace(now, tool="tool0"))
    if plan.unretract and record.tool != now.tool:
        return plan_resume(record, now)  # refused, in its own words
    return plan


def heat_lines(plan: ResumePlan, facts: MarlinFacts) -> tuple[str, ...]:
    """Sets the targets of a resume without waiting: to be sent before the host watches the temperatures."""
    return tuple(_heat("M104", "M140", name, target, facts) for name, target in _bed_first(plan.heat))


def _heater_of(tool: str, facts: MarlinFacts) -> str:
    return "tool0" if facts.shared_nozzle else tool


def _bed_first(heaters: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(heaters.items(), key=lambda item: (not is_bed(item[0]), item[0]))


def _heat(tool_code: str, bed_code: str, name: str, target: float, facts: MarlinFacts) -> str:
    if is_bed(name):
        return f"{bed_code} S{number(target)}"
    tools = [each for each in facts.temperatures if _is_heater(each, facts) and not is_bed(each)]
    which = f" T{name[4:]}" if len(tools) > 1 or name != "tool0" else ""
    return f"{tool_code}{which} S{number(target)}"


def _flow(percent: float) -> str:
    return f"M221 S{number(percent)}"


def _moves(modes: MotionModes, *, retract: float, lift: float) -> list[str]:
    """Pausing: retract, then lift. Resuming (lift < 0): lower, then push back. Then the modes as they were.

    G91 comes before M83, since on some firmware G91 and G90 govern E as well.
    """
    if not retract and not lift:
        return []
    e = [f"G1 E{number(retract)} F{_RETRACT_SPEED}"] if retract else []
    z = [f"G1 Z{number(lift)} F{_LIFT_SPEED}"] if lift else []
    # M83 only with E to move: it could not be taken back where the file never said M82.
    lines = ["G91"] if z else []
    lines += ["M83"] if e else []
    return [*lines, *(z + e if lift < 0 or retract > 0 else e + z), *modes.restore_lines(moved=bool(z))]


__all__ = [
    "Lines",
    "MarlinFacts",
    "MotionModes",
    "PausePlan",
    "after_pause_lines",
    "after_resume_lines",
    "before_resume_lines",
    "heat_lines",
    "machine",
    "resume_plan",
]
