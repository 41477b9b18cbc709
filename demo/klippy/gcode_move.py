"""Klipper's G-code coordinates: modes, factors, offsets, saved states. Behaviour as in the recordings' README."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from demo.klippy.errors import GcodeError
from demo.klippy.motion import ORIGIN, Position

MAX_SAVED_STATES = 64  # names come from scripts; the oldest goes first
Mover = Callable[[Position, float], None]


@dataclass(frozen=True, slots=True)
class MoveState:
    """All that SAVE_GCODE_STATE keeps. `speed` is in mm/s with `speed_factor` applied, as F is."""

    absolute_coordinates: bool = True
    absolute_extrude: bool = True
    base_position: Position = ORIGIN
    last_position: Position = ORIGIN
    homing_origin: Position = ORIGIN
    speed: float = 25.0
    speed_factor: float = 1.0
    extrude_factor: float = 1.0


def _with(position: Position, axis: int, value: float) -> Position:
    changed = list(position)
    changed[axis] = value
    return (changed[0], changed[1], changed[2], changed[3])


class GcodeMove:
    """Turns G-code coordinates into tool-head positions; `mover` carries the move out or raises GcodeError."""

    def __init__(self, mover: Mover) -> None:
        self._mover = mover
        self._saved: dict[str, MoveState] = {}
        self.state = MoveState()

    def gcode_position(self) -> Position:
        s = self.state
        x, y, z, e = (last - base for last, base in zip(s.last_position, s.base_position, strict=True))
        return (x, y, z, e / s.extrude_factor)

    def gcode_speed(self) -> float:
        """The speed as the file gave it, in mm/min."""
        return self.state.speed / self.state.speed_factor * 60.0

    def resync(self, position: Position) -> None:
        """Take the tool head's position as ours: after homing, and after a refused move."""
        self.state = replace(self.state, last_position=position)

    def set_absolute_coordinates(self, absolute: bool) -> None:
        self.state = replace(self.state, absolute_coordinates=absolute)

    def set_absolute_extrude(self, absolute: bool) -> None:
        self.state = replace(self.state, absolute_extrude=absolute)

    def linear(self, values: Mapping[str, float], line: str) -> None:
        """G0/G1. As in Klipper, F counts before the move is checked, and G91 makes E relative too."""
        s = self.state
        position = s.last_position
        for axis, letter in enumerate("XYZ"):
            if letter in values:
                base = s.base_position[axis] if s.absolute_coordinates else position[axis]
                position = _with(position, axis, values[letter] + base)
        if "E" in values:
            extruded = values["E"] * s.extrude_factor
            absolute = s.absolute_coordinates and s.absolute_extrude
            position = _with(position, 3, extruded + (s.base_position[3] if absolute else position[3]))
        speed = s.speed
        if "F" in values:
            if values["F"] <= 0.0:
                raise GcodeError(f"Invalid speed in '{line}'")
            speed = values["F"] / 60.0 * s.speed_factor
        self.state = replace(s, last_position=position, speed=speed)
        self._mover(position, speed)

    def set_position(self, values: Mapping[str, float]) -> None:
        """G92."""
        s = self.state
        base = s.base_position
        for axis, letter in enumerate("XYZE"):
            if letter in values:
                offset = values[letter] * (s.extrude_factor if letter == "E" else 1.0)
                base = _with(base, axis, s.last_position[axis] - offset)
        self.state = replace(s, base_position=base if values else s.last_position)

    def set_speed_factor(self, factor: float) -> None:
        """M220; the running speed changes with it."""
        s = self.state
        self.state = replace(s, speed=s.speed / s.speed_factor * factor, speed_factor=factor)

    def set_extrude_factor(self, factor: float) -> None:
        """M221; the E coordinate stays what it was."""
        s = self.state
        coordinate = (s.last_position[3] - s.base_position[3]) / s.extrude_factor
        base = _with(s.base_position, 3, s.last_position[3] - coordinate * factor)
        self.state = replace(s, base_position=base, extrude_factor=factor)

    def set_offset(self, offsets: Mapping[str, float], adjust: Mapping[str, float], move_speed: float | None) -> None:
        """SET_GCODE_OFFSET; `move_speed` is None without MOVE=1."""
        deltas = [0.0, 0.0, 0.0, 0.0]
        s = self.state
        base, origin = s.base_position, s.homing_origin
        for axis, letter in enumerate("XYZE"):
            if letter in offsets:
                offset = offsets[letter]
            elif letter in adjust:
                offset = adjust[letter] + origin[axis]
            else:
                continue
            deltas[axis] = offset - origin[axis]
            base = _with(base, axis, base[axis] + deltas[axis])
            origin = _with(origin, axis, offset)
        self.state = replace(s, base_position=base, homing_origin=origin)
        if move_speed is not None:
            x, y, z, e = (p + d for p, d in zip(s.last_position, deltas, strict=True))
            self.state = replace(self.state, last_position=(x, y, z, e))
            self._mover((x, y, z, e), move_speed)

    def homed(self, axis: int, position: Position) -> None:
        """An axis was homed: its G-code zero is the machine's zero plus the Z offset again."""
        base = _with(self.state.base_position, axis, self.state.homing_origin[axis])
        self.state = replace(self.state, base_position=base, last_position=position)

    def save(self, name: str) -> None:
        self._saved.pop(name, None)
        while len(self._saved) >= MAX_SAVED_STATES:
            del self._saved[next(iter(self._saved))]
        self._saved[name] = self.state

    def restore(self, name: str, *, move: bool, move_speed: float | None) -> None:
        """RESTORE_GCODE_STATE. E differences since the save vanish from the coordinate but are not undone."""
        saved = self._saved.get(name)
        if saved is None:
            raise GcodeError(f"Unknown g-code state: {name}")
        current = self.state.last_position
        base = _with(saved.base_position, 3, saved.base_position[3] + current[3] - saved.last_position[3])
        self.state = replace(saved, base_position=base, last_position=current)
        if move:
            target = (*saved.last_position[:3], current[3])
            self.state = replace(self.state, last_position=target)
            self._mover(target, move_speed if move_speed is not None else self.state.speed)
