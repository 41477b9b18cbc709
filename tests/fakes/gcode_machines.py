"""Two independent interpreters of G-code position, to judge the lines that a pause emits.

KlipperMachine follows what the recordings show of Klipper (cases A to R); MarlinMachine what Marlin's documentation
says of G90/G91/M82/M83, M221 and cold extrusion, in both of its generations. Neither shares code with the product.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import Any

_PARAMS = re.compile(r"([A-Z])\s*([-+]?\d*\.?\d+)")
X, Y, Z, E = range(4)

PAUSE_CASES = int(os.environ.get("PAUSE_CASES", "200"))
"""Random cases of each dialect's pause: few while one works (`make unit`), 1,100 each in `make contract`."""


class Refused(Exception):
    """What Klipper would say after "!!"."""


@dataclass
class KlipperMachine:
    """`position` is toolhead.position: where the motors stand; `last`, `base` are gcode_move's."""

    can_extrude: bool = True
    homed: str = "xyz"
    z_max: float = 180.0
    max_extrude_only: float = 50.0
    position: list[float] = field(default_factory=lambda: [0.0] * 4)
    last: list[float] = field(default_factory=lambda: [0.0] * 4)
    base: list[float] = field(default_factory=lambda: [0.0] * 4)
    absolute: bool = True
    absolute_e: bool = True
    speed: float = 25.0
    speed_factor: float = 1 / 60.0
    extrude_factor: float = 1.0
    saved: dict[str, dict[str, Any]] = field(default_factory=dict)
    heaters: dict[str, float] = field(default_factory=dict)
    idle_timeout: float = 1800.0
    is_paused: bool = False
    extruder_moves: int = 0
    macro_pause: list[str] = field(default_factory=list)
    macro_resume: list[str] = field(default_factory=list)

    def script(self, text: str) -> None:
        """Stops at the failing line; what was before it stays in force (case 17)."""
        try:
            for line in text.split("\n"):
                self.line(line)
        except Refused:
            self.last = list(self.position)
            raise

    def line(self, line: str) -> None:  # noqa: C901 - a table of commands
        name, _, rest = line.strip().partition(" ")
        named = dict(part.split("=", 1) for part in rest.split() if "=" in part)
        words = {letter: float(value) for letter, value in _PARAMS.findall(rest)}
        if name in ("G0", "G1"):
            self._move(words)
        elif name in ("G90", "G91"):
            self.absolute = name == "G90"
        elif name in ("M82", "M83"):
            self.absolute_e = name == "M82"
        elif name == "G92":
            for letter, value in words.items():
                axis = "XYZE".index(letter)
                self.base[axis] = self.last[axis] - value * (self.extrude_factor if axis == E else 1.0)
        elif name == "M220":
            factor = words["S"] / 6000.0
            self.speed *= factor / self.speed_factor
            self.speed_factor = factor
        elif name == "M221":
            factor = words["S"] / 100.0
            value = (self.last[E] - self.base[E]) / self.extrude_factor
            self.base[E] = self.last[E] - value * factor
            self.extrude_factor = factor
        elif name == "SET_GCODE_OFFSET":
            self.base[Z] += float(named["Z"])
        elif name == "SAVE_GCODE_STATE":
            self._save(named["NAME"])
        elif name == "RESTORE_GCODE_STATE":
            self._restore(named["NAME"], move=named.get("MOVE") == "1")
        elif name == "SET_HEATER_TEMPERATURE":
            known = {name.split()[-1]: name for name in self.heaters}
            self.heaters[known.get(named["HEATER"], named["HEATER"])] = float(named["TARGET"])
        elif name == "SET_IDLE_TIMEOUT":
            self.idle_timeout = float(named["TIMEOUT"])
        elif name == "CLEAR_PAUSE":
            self.is_paused = False
        elif name != "M117":
            raise Refused(f"Unknown command:{name}")

    def pause(self) -> None:
        self._save("PAUSE_STATE")
        self.is_paused = True
        for line in self.macro_pause:
            self.line(line)

    def resume(self) -> None:
        for line in self.macro_resume:
            self.line(line)
        self._restore("PAUSE_STATE", move=True)
        self.is_paused = False

    def gcode_position(self) -> list[float]:
        found = [last - base for last, base in zip(self.last, self.base, strict=True)]
        found[E] /= self.extrude_factor
        return found

    def modes(self) -> tuple[Any, ...]:
        return (self.absolute, self.absolute_e, round(self.speed, 9), self.speed_factor, self.extrude_factor)

    def _save(self, name: str) -> None:
        self.saved[name] = {
            "absolute": self.absolute, "absolute_e": self.absolute_e, "base": list(self.base), "last": list(self.last),
            "speed": self.speed, "speed_factor": self.speed_factor, "extrude_factor": self.extrude_factor,
        }  # fmt: skip

    def _restore(self, name: str, *, move: bool) -> None:
        state = self.saved.get(name)
        if state is None:
            raise Refused(f"Unknown g-code state: {name}")
        for key in ("absolute", "absolute_e", "speed", "speed_factor", "extrude_factor"):
            setattr(self, key, state[key])
        self.base = list(state["base"])
        self.base[E] += self.last[E] - state["last"][E]
        if move:
            self._go([*state["last"][:3], self.last[E]])

    def _move(self, words: dict[str, float]) -> None:
        goal = list(self.last)
        for letter in "XYZE":
            if letter not in words:
                continue
            axis, value = "XYZE".index(letter), words[letter]
            relative = not self.absolute
            if axis == E:
                value *= self.extrude_factor
                relative = relative or not self.absolute_e
            goal[axis] = goal[axis] + value if relative else value + self.base[axis]
        if "F" in words:
            self.speed = words["F"] * self.speed_factor
        self._go(goal)

    def _go(self, goal: list[float]) -> None:
        moved = [abs(to - at) > 1e-9 for to, at in zip(goal, self.position, strict=True)]
        if any(moved[:3]) and set("xyz") - set(self.homed):
            raise Refused("Must home axis first")
        if moved[Z] and not -2.0 <= goal[Z] <= self.z_max + 1e-9:
            raise Refused("Move out of range")
        if moved[E]:
            if not self.can_extrude:
                raise Refused("Extrude below minimum temp")
            if not any(moved[:3]) and abs(goal[E] - self.position[E]) > self.max_extrude_only + 1e-9:
                raise Refused("Extrude only move too long")
            self.extruder_moves += 1
        self.last = list(goal)
        self.position = list(goal)


@dataclass
class MarlinMachine:
    """`logical` is what M114 says, `filament` what each extruder really pushed, `z` where the head really is.

    `g90_governs_e`: Marlin 2, where G90 and G91 set the extruder's mode too; else Marlin 1, where G91 makes E relative
    as long as it lasts and M83 stays whatever G90 says.
    """

    g90_governs_e: bool = True
    min_extrude: float = 170.0
    clamps: bool = False
    """Whether its soft end-stop silently shortens a move beyond z_max."""
    logical: list[float] = field(default_factory=lambda: [0.0] * 4)
    filament: dict[int, float] = field(default_factory=lambda: {0: 0.0, 1: 0.0})
    tool: int = 0
    relative: bool = False
    relative_e: bool = False
    flow: dict[int, float] = field(default_factory=lambda: {0: 100.0, 1: 100.0})
    feedrate: float = 1500.0
    z_max: float = 180.0
    targets: dict[str, float] = field(default_factory=lambda: {"tool0": 0.0, "tool1": 0.0, "bed": 0.0})
    temps: dict[str, float] = field(default_factory=lambda: {"tool0": 20.0, "tool1": 20.0, "bed": 20.0})
    cold_moves: int = 0
    above_limit: int = 0
    odd_numbers: list[str] = field(default_factory=list)

    def run(self, lines: list[str] | tuple[str, ...]) -> None:
        for line in lines:
            self.line(line)

    def line(self, line: str) -> None:  # noqa: C901 - a table of commands
        name, _, rest = line.strip().partition(" ")
        if re.search(r"\de|\.\d*0(\s|$)|-0(\s|$)", rest):
            self.odd_numbers.append(line)
        words = {letter: float(value) for letter, value in _PARAMS.findall(rest)}
        if name in ("G0", "G1"):
            self._move(words)
        elif name in ("G90", "G91"):
            self.relative = name == "G91"
            if self.g90_governs_e:
                self.relative_e = self.relative
        elif name in ("M82", "M83"):
            self.relative_e = name == "M83"
        elif name == "G92":
            for letter, value in words.items():
                self.logical["XYZE".index(letter)] = value
        elif name == "M221":
            self.flow[int(words.get("T", self.tool))] = words["S"]
        elif name in ("M104", "M109"):
            heater = f"tool{int(words.get('T', self.tool))}"
            self.targets[heater] = words["S"]
            if name == "M109":
                self.temps[heater] = words["S"]
        elif name in ("M140", "M190"):
            self.targets["bed"] = words["S"]
            if name == "M190":
                self.temps["bed"] = words["S"]
        elif name in ("T0", "T1"):
            self.tool = int(name[1])
        elif name not in ("G28", "M400", "M114"):
            raise AssertionError(f"unexpected line {line!r}")

    @property
    def e_is_relative(self) -> bool:
        return self.relative_e if self.g90_governs_e else self.relative_e or self.relative

    def modes(self) -> tuple[Any, ...]:
        return (self.relative, self.e_is_relative, self.feedrate, dict(self.flow), self.tool)

    def _move(self, words: dict[str, float]) -> None:
        if "F" in words:
            self.feedrate = words["F"]
        for letter in "XYZE":
            if letter not in words:
                continue
            axis = "XYZE".index(letter)
            relative = self.e_is_relative if axis == E else self.relative
            goal = words[letter] + (self.logical[axis] if relative else 0.0)
            if axis == E:
                if self.temps[f"tool{self.tool}"] < self.min_extrude:
                    self.cold_moves += 1
                else:
                    self.filament[self.tool] += (goal - self.logical[E]) * self.flow[self.tool] / 100
            if axis == Z and goal > self.z_max + 1e-6 and goal > self.logical[Z]:
                self.above_limit += 1
                goal = max(self.z_max, self.logical[Z]) if self.clamps else goal
            self.logical[axis] = goal
